"""The conversations of this installation: find, open, begin, pin, rename, take out to files, delete and restore."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from nicegui import ui
from nicegui.events import GenericEventArguments

from localchat_ui.chat import ChatError, ChatService
from localchat_ui.conversation import Conversation
from localchat_ui.history.errors import HistoryError
from localchat_ui.i18n import _, translated
from localchat_ui.ui import icons
from localchat_ui.ui.components.conversation_rows import ConversationRows
from localchat_ui.ui.components.element import icon_button, text_button
from localchat_ui.ui.components.exchange_menu import ExchangeMenu
from localchat_ui.ui.components.notices import Notices
from localchat_ui.ui.components.search_box import SearchBox
from localchat_ui.ui.components.trash_dialog import TrashDialog
from localchat_ui.ui.page_layout import link

PAGE_SIZE = 50
# What the menu of a row calls a format, and the extension of its files.
EXPORTED = {"markdown": "md", "html": "html", "json": "json"}


class ConversationList:
    def __init__(
        self,
        chat: ChatService,
        recent: Sequence[Conversation],
        notices: Notices,
        *,
        on_open: Callable[[str | None], Awaitable[None]],
        on_reach: Callable[[str, str], Awaitable[None]],
        on_delete: Callable[[str], Awaitable[None]],
    ) -> None:
        """`on_reach` gets the id of a message and what was searched for."""
        self._chat = chat
        self._notices = notices
        self._on_open = on_open
        self._on_reach = on_reach
        self._on_delete = on_delete
        self._shown = PAGE_SIZE
        self._is_stale = self._is_reading = False
        with ui.element("div").classes("sidebar").props("id=conversations"):
            self._nav = ui.element("nav").classes("sidebar-nav")
            self._nav.props["aria-label"] = _("Conversations")
            with ui.element("nav").classes("sidebar-bottom") as pages:
                pages.props["aria-label"] = _("Other pages")
                link(icons.MODELS, _("Models"), "/models")
                link(icons.COLUMNS, _("Compare"), "/compare")
        with self._nav:
            with ui.element("div").classes("sidebar-top"):
                self._new = ui.button(_("New chat"), icon=icons.NEW, on_click=lambda: on_open(None), color=None)
                self._new.props("flat no-caps align=left").classes("new-chat")
                icon_button(icons.CLOSE, _("Close conversations"), controls="conversations").classes("only-phone")
            SearchBox(chat.search, on_open=self._open_hit)
            with ui.element("div").classes("conversations"):
                has_more = len(recent) > PAGE_SIZE
                self._rows = ConversationRows(recent[:PAGE_SIZE], more=has_more, is_writing=chat.is_writing)
                self._rows.on("open", self._on_row_open).on("act", self._on_act).on("more", self._show_more, args=[])
                self._more = text_button(_("Show more"), self._show_more).classes("show-more")
                self._more.set_visibility(has_more)
            with ui.element("div").classes("sidebar-bottom"):
                self._exchange = ExchangeMenu(chat, notices)
                TrashDialog(chat, on_restore=self._show_restored)
        ui.element("div").classes("backdrop").on("click", js_handler="() => localchat.panels.close()")
        chat.list_changed.subscribe(self._refresh)

    def select(self, conversation_id: str) -> None:
        """Mark the conversation that is open."""
        self._rows.select(conversation_id)

    async def _refresh(self) -> None:
        """Read and draw what there is now; however often it changes, one reading at a time."""
        self._is_stale = True
        if self._is_reading:
            return
        self._is_reading = True
        try:
            while self._is_stale and not self._nav.is_deleted:
                self._is_stale = False
                # One more than is shown tells whether there are more.
                conversations = await self._chat.conversations(self._shown + 1)
                if not self._nav.is_deleted:
                    self._draw(conversations)
        finally:
            self._is_reading = False

    def _draw(self, conversations: Sequence[Conversation]) -> None:
        has_more = len(conversations) > self._shown
        self._rows.show(conversations[: self._shown], more=has_more)
        self._more.set_visibility(has_more)

    async def _show_more(self) -> None:
        if self._more.visible:
            self._shown += PAGE_SIZE
            with self._acting():
                await self._refresh()

    async def _on_row_open(self, event: GenericEventArguments) -> None:
        await self._open(str(event.args["id"]))

    async def _open(self, conversation_id: str) -> None:
        with self._acting():
            await self._on_open(conversation_id)

    async def _show_restored(self, conversation_id: str, message_id: str | None) -> None:
        await self._open(conversation_id)
        if message_id:
            await self._on_reach(message_id, "")

    async def _open_hit(self, conversation_id: str, message_id: str | None, query: str) -> None:
        """Open what a search has found, on the branch where it was said, and go there."""
        conversation = await self._chat.open(conversation_id)
        problem = ""
        if conversation and message_id:
            try:
                await self._chat.select_version(conversation, message_id)
            except (ChatError, HistoryError) as error:
                messages, _reply = await self._chat.messages(conversation_id)
                problem = "" if any(message.id == message_id for message in messages) else translated(error)
        await self._open(conversation_id)
        if problem:
            self._notices.show(problem)
        elif message_id:
            await self._on_reach(message_id, query)

    async def _on_act(self, event: GenericEventArguments) -> None:
        """Something in the menu of a row was chosen."""
        conversation_id, action = str(event.args["id"]), str(event.args["action"])
        with self._acting():
            if action in ("pin", "unpin"):
                await self._chat.set_pinned(conversation_id, action == "pin")
            elif action == "rename" and (title := str(event.args["title"]).strip()):
                await self._chat.rename(conversation_id, title)
            elif action in EXPORTED:
                await self._exchange.export(EXPORTED[action], conversation_id)
            elif action == "delete":
                await self._delete(conversation_id)

    async def _delete(self, conversation_id: str) -> None:
        conversation = await self._chat.open(conversation_id)
        await self._chat.delete(conversation_id)
        title = (conversation.title if conversation else "") or _("New chat")
        undo = partial(self._restore, conversation_id)
        self._notices.offer(_("Moved to the Trash: “{title}”").format(title=title), _("Undo"), undo, focus=True)
        await self._on_delete(conversation_id)

    async def _restore(self, conversation_id: str) -> None:
        with self._acting():
            await self._chat.restore(conversation_id)
            await self._on_open(conversation_id)

    @contextmanager
    def _acting(self) -> Iterator[None]:
        """What a person does in the list; what is wrong with it is said there."""
        with self._nav:
            try:
                yield
            except HistoryError as error:
                self._notices.show(translated(error))
