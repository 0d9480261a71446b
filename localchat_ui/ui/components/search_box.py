"""Search over titles and messages, as one types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from localchat_ui.history.errors import HistoryError
from localchat_ui.history.search import SearchHit
from localchat_ui.i18n import _, ngettext, number, translated
from localchat_ui.ui.components.element import root_path

LIMIT = 50

Search = Callable[[str, int], Awaitable[list[SearchHit]]]
# The conversation, the message in it if it is one, and what was searched for.
OpenHit = Callable[[str, str | None, str], Awaitable[None]]


class SearchBox(ui.element, component="search_box.js"):
    """Waits in the browser for a pause in typing, and shows an answer there only if nothing newer was asked."""

    def __init__(self, search: Search, *, on_open: OpenHit) -> None:
        super().__init__()
        self._props["root"] = root_path()
        self._search = search
        self._on_open = on_open
        self._newest = 0
        self.on("search", self._on_search)
        self.on("open", self._on_hit)

    async def _on_search(self, event: GenericEventArguments) -> None:
        ticket = self._newest = int(event.args["ticket"])
        try:
            hits = await self._search(str(event.args["query"]), LIMIT + 1)
        except HistoryError as error:
            self.run_method("fail", ticket, translated(error))
            return
        if ticket == self._newest:
            self.run_method("show", ticket, [_parts(hit) for hit in hits[:LIMIT]], _outcome(len(hits)))

    async def _on_hit(self, event: GenericEventArguments) -> None:
        await self._on_open(str(event.args["id"]), event.args["message"], str(event.args["query"]))


def _outcome(count: int) -> str:
    if count > LIMIT:
        return _("The first {n} conversations found").format(n=number(LIMIT))
    found = ngettext("{n} conversation found", "{n} conversations found", count).format(n=number(count))
    return found if count else _("Nothing found")


def _parts(hit: SearchHit) -> dict[str, Any]:
    return {
        "id": hit.conversation.id,
        "message": hit.message_id,
        "title": hit.title or [(_("New chat"), False)],
        "text": hit.snippet,
    }
