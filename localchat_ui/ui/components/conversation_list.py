"""The conversations of this installation: find, open, begin, pin, rename, take out to files, delete with undo."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from nicegui import ui
from nicegui.events import GenericEventArguments

from localchat_ui.chat import ChatError, ChatService
from localchat_ui.conversation import Conversation
from localchat_ui.history.errors import HistoryError
from localchat_ui.ui import icons
from localchat_ui.ui.components.conversation_rows import ConversationRows
from localchat_ui.ui.components.element import icon_button, text_button
from localchat_ui.ui.components.exchange_menu import ExchangeMenu, Notes
from localchat_ui.ui.components.search_box import SearchBox
from localchat_ui.ui.page_layout import link

PAGE_SIZE = 50
UNDO_SECONDS = 10


class ConversationList:
    def __init__(
        self,
        chat: ChatService,
        recent: Sequence[Conversation],
        *,
        on_open: Callable[[str | None], Awaitable[None]],
        on_reach: Callable[[str], Awaitable[None]],
        on_delete: Callable[[str], Awaitable[None]],
        on_error: Callable[[str], None],
    ) -> None:
        self._chat = chat
        self._on_open = on_open
        self._on_reach = on_reach
        self._on_delete = on_delete
        self._on_error = on_error
        self._shown = PAGE_SIZE
        self._is_stale = self._is_reading = False
        self._nav = ui.element("nav").classes("sidebar").props("id=conversations aria-label=Conversations")
        with self._nav:
            with ui.element("div").classes("sidebar-top"):
                self._new = ui.button("New chat", icon=icons.NEW, on_click=lambda: on_open(None), color=None)
                self._new.props("flat no-caps align=left").classes("new-chat")
                self._exchange = ExchangeMenu(chat)
                icon_button(icons.CLOSE, "Close conversations", controls="conversations").classes("only-phone")
            SearchBox(chat.search, on_open=self._open_hit)
            with ui.element("div").classes("conversations"):
                has_more = len(recent) > PAGE_SIZE
                self._rows = ConversationRows(recent[:PAGE_SIZE], more=has_more, is_writing=chat.is_writing)
                self._rows.on("open", self._on_row_open).on("act", self._on_act).on("more", self._show_more, args=[])
                self._more = text_button("Show more", self._show_more).classes("show-more")
                self._more.set_visibility(has_more)
            self._notes = self._exchange.notes = Notes()
            with ui.element("div").classes("sidebar-bottom"):
                link(icons.MODELS, "Models", "/models")
            with ui.element("div").classes("undo").props("role=status") as self._undo:
                self._undo_text = ui.label()
                self._undo_button = text_button("Undo", self._restore)
            self._undo.set_visibility(False)
        self._deleted: str | None = None
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

    async def _open_hit(self, conversation_id: str, message_id: str | None) -> None:
        """Open what a search has found, on the branch where it was said, and go there."""
        conversation = await self._chat.open(conversation_id)
        problem = ""
        if conversation and message_id:
            try:
                await self._chat.select_version(conversation, message_id)
            except (ChatError, HistoryError) as error:
                messages, _ = await self._chat.messages(conversation_id)
                problem = "" if any(message.id == message_id for message in messages) else str(error)
        await self._open(conversation_id)
        if problem:
            self._on_error(problem)
        elif message_id:
            await self._on_reach(message_id)

    async def _on_act(self, event: GenericEventArguments) -> None:
        """Something in the menu of a row was chosen."""
        conversation_id, action = str(event.args["id"]), str(event.args["action"])
        with self._acting():
            if action in ("pin", "unpin"):
                await self._chat.set_pinned(conversation_id, action == "pin")
            elif action == "rename" and (title := str(event.args["title"]).strip()):
                await self._chat.rename(conversation_id, title)
            elif action in ("markdown", "json"):
                await self._exchange.export("json" if action == "json" else "md", conversation_id)
            elif action == "delete":
                await self._delete(conversation_id)

    async def _delete(self, conversation_id: str) -> None:
        conversation = await self._chat.open(conversation_id)
        await self._chat.delete(conversation_id)
        self._deleted = conversation_id
        title = conversation.title if conversation else ""
        self._undo_text.set_text(f"“{title or 'New chat'}” was deleted.")
        self._undo.set_visibility(True)
        ui.timer(UNDO_SECONDS, lambda: self._forget(conversation_id), once=True)
        ui.run_javascript(f"localchat.focus.later(getHtmlElement({self._undo_button.id}))")
        await self._on_delete(conversation_id)

    async def _restore(self) -> None:
        if self._deleted is not None:
            conversation_id = self._deleted
            self._forget(conversation_id)
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
                self._notes.complain(str(error))

    def _forget(self, conversation_id: str) -> None:
        if self._deleted == conversation_id:
            self._deleted = None
            self._undo.set_visibility(False)
