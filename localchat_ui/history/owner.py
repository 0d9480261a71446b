"""Whose conversations a transaction may see and make: those of one owner, by a condition on every statement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from localchat_ui.history.tables import ConversationRow

# Set while somebody is acted for in the background, where nobody's page or request says who it is.
_ACTING_FOR: ContextVar[tuple[str | None] | None] = ContextVar("acting_for", default=None)
OWNER = "owner"


class OwnedSession(Session):
    """A session with `info[OWNER]` sees no conversation of anybody else; without it, all of them."""


@event.listens_for(OwnedSession, "do_orm_execute")
def _only_of_the_owner(state: ORMExecuteState) -> None:
    if OWNER in state.session.info:
        is_theirs = ConversationRow.owner_id == state.session.info[OWNER]
        state.statement = state.statement.options(
            with_loader_criteria(ConversationRow, is_theirs, include_aliases=True)
        )


@contextmanager
def acting_for(owner: str | None) -> Iterator[None]:
    """Tasks that are begun within this block act for that owner for as long as they run."""
    token = _ACTING_FOR.set((owner,))
    try:
        yield
    finally:
        _ACTING_FOR.reset(token)


def acted_for() -> tuple[str | None] | None:
    """The owner acted for in the background; None where nobody is."""
    return _ACTING_FOR.get()
