"""What a transaction may see and make: that of one owner, by a condition on every statement."""

from __future__ import annotations

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from localchat_ui.history.tables import ComparisonRow, ConversationRow, VoteRow

OWNER = "owner"
OWNED = (ConversationRow, ComparisonRow, VoteRow)


class OwnedSession(Session):
    """A session with `info[OWNER]` sees nothing of anybody else; without it, all of them."""


@event.listens_for(OwnedSession, "do_orm_execute")
def _only_of_the_owner(state: ORMExecuteState) -> None:
    if OWNER in state.session.info:
        for table in OWNED:
            is_theirs = table.owner_id == state.session.info[OWNER]
            state.statement = state.statement.options(with_loader_criteria(table, is_theirs, include_aliases=True))
