"""The rows of the conversation list, as one element of the page: this side sends what changed, and no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

from localchat_ui.conversation import Conversation
from localchat_ui.i18n import _
from localchat_ui.ui import dates
from localchat_ui.ui.components.element import SelfDrawn, root_path


class Row(TypedDict):
    id: str
    title: str
    group: str
    pinned: bool
    writing: bool


class ConversationRows(SelfDrawn, component="conversation_rows.js"):
    """Emits `open`, `more`, and `act` with the id of a conversation, the name of an action, and a title to rename to.

    The browser's copy of the rows starts as the property and follows by `apply`; the property is kept up to date
    without being sent, for whenever the element is sent as a whole.
    """

    def __init__(self, conversations: Sequence[Conversation], *, more: bool, is_writing: Callable[[str], bool]) -> None:
        super().__init__()
        self._is_writing = is_writing
        self.rows = self._rows(conversations)
        self.keep(rows=self.rows, selected="", more=more, root=root_path())

    @property
    def selected(self) -> str:
        return str(self._props["selected"])

    def select(self, conversation_id: str) -> None:
        """Mark the conversation that is open."""
        if conversation_id != self.selected:
            self.keep(selected=conversation_id)
            self.run_method("select", conversation_id)

    def show(self, conversations: Sequence[Conversation], *, more: bool) -> None:
        before, self.rows = self.rows, self._rows(conversations)
        puts, drops = changes(before, self.rows)
        if puts or drops or more != self._props["more"]:
            self.keep(rows=self.rows, more=more)
            self.run_method("apply", puts, drops, more)

    def _rows(self, conversations: Sequence[Conversation]) -> list[Row]:
        today = dates.local_today()
        return [
            {
                "id": conversation.id,
                "title": conversation.title or _("New chat"),
                "group": _(dates.PINNED) if conversation.pinned else dates.age_of(conversation.updated_at, today),
                "pinned": conversation.pinned,
                "writing": self._is_writing(conversation.id),
            }
            for conversation in conversations
        ]


def changes(before: Sequence[Row], after: Sequence[Row]) -> tuple[list[tuple[int, Row]], list[str]]:
    """What turns one list into the other: rows to take out and put in at their place in `after`, and ids to drop.

    Rows that neither changed nor moved are not among them: taking all these out first, and then putting them in
    one after the other, gives `after`. It does so too when the list is `after` already.
    """
    wanted = {row["id"]: row for row in after}
    drops = [row["id"] for row in before if row["id"] not in wanted]
    stays = [row["id"] for row in before if wanted.get(row["id"]) == row]
    puts: list[tuple[int, Row]] = []
    moved: set[str] = set()
    at = 0
    for index, row in enumerate(after):
        while at < len(stays) and stays[at] in moved:
            at += 1
        if at < len(stays) and stays[at] == row["id"]:
            at += 1
        else:
            puts.append((index, row))
            moved.add(row["id"])
    return puts, drops
