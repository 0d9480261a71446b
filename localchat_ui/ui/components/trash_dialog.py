"""The trash: deleted conversations and messages, to be restored or erased for good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from nicegui import ui

from localchat_ui.chat import ChatError, ChatService
from localchat_ui.conversation import Conversation
from localchat_ui.history import trash
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.trash import Deleted
from localchat_ui.i18n import _, number, translated
from localchat_ui.text import N_
from localchat_ui.ui import dates, icons
from localchat_ui.ui.components.confirm import Confirm
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.words import messages

KEPT = N_("What you delete is kept here for {n} days.")
FOR_GOOD = N_("All conversations and messages in it are erased and cannot be restored.")


class TrashDialog:
    """Draws the button that opens it; filled each time it is opened."""

    def __init__(self, chat: ChatService, *, on_restore: Callable[[str, str | None], Awaitable[None]]) -> None:
        """`on_restore` gets the ids of what is back: a conversation, and a message if it was one."""
        self._chat = chat
        self._on_restore = on_restore
        button = text_button(_("Trash"), self._draw).classes("quiet").props(f'icon="{icons.DELETE}"')
        self._dialog = Dialog(_("Trash"), close=_("Close"), html_id="trash")
        self._dialog.open_with(button)
        with self._dialog.body:
            ui.label(_(KEPT).format(n=number(trash.RETENTION.days))).classes("dialog-text")
            self._trouble = ui.label().classes("outcome failed").props("role=alert")
            self._list = ui.element("ul").classes("trash-list")
            with ui.element("div").classes("dialog-actions"):
                self._empty = text_button(_("Empty Trash"), self._ask).classes("danger")
        self._confirm = Confirm()
        self._trouble.set_visibility(False)

    async def _draw(self) -> None:
        self._complain("")
        try:
            deleted = await self._chat.deleted()
        except HistoryError as error:
            self._complain(translated(error))
            return
        self._list.clear()
        self._empty.set_visibility(bool(deleted))
        with self._list:
            for each in deleted:
                self._row(each)
            if not deleted:
                with ui.element("li"):
                    ui.label(_("The Trash is empty.")).classes("hint")

    def _row(self, each: Deleted) -> None:
        title = each.title or _("New chat")
        name = " ".join(each.excerpt.split()) or (_("Message") if each.message_id else title)
        size = messages(each.n_messages)
        where = _("From “{title}”").format(title=title) if each.message_id else _("Conversation")
        with ui.element("li"):
            with ui.element("div").classes("trash-item"):
                ui.label(name).classes("trash-name").props("dir=auto")
                ui.label(
                    " · ".join((where, size, _("deleted {day}").format(day=dates.day_of(each.deleted_at))))
                ).classes("hint")
            restore = text_button(_("Restore"), partial(self._restore, each))
            restore.props["aria-label"] = _("Restore {name}").format(name=name)

    async def _restore(self, each: Deleted) -> None:
        try:
            if each.message_id is None:
                await self._chat.restore(each.conversation_id)
            else:
                await self._chat.restore_message(Conversation(id=each.conversation_id), each.message_id)
        except (ChatError, HistoryError) as error:
            self._complain(translated(error))
            return
        self._dialog.close()
        await self._on_restore(each.conversation_id, each.message_id)

    def _ask(self) -> None:
        self._confirm.ask(_("Empty the Trash?"), _(FOR_GOOD), _("Erase all"), self._erase)

    async def _erase(self) -> None:
        try:
            await self._chat.empty_trash()
        except HistoryError as error:
            self._complain(translated(error))
        else:
            await self._draw()

    def _complain(self, text: str) -> None:
        self._trouble.set_text(text)
        self._trouble.set_visibility(bool(text))
