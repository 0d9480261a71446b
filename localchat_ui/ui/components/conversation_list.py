"""The conversations of this installation: open, begin, rename, delete with undo."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from nicegui import ui
from nicegui.events import GenericEventArguments

from localchat_ui.chat import ChatService
from localchat_ui.conversation import Conversation
from localchat_ui.history.errors import HistoryError
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import icon_button, text_button

PAGE_SIZE = 50
UNDO_SECONDS = 10

# A plain click stays on this page; with a modifier, or the middle button, the browser opens the link as usual.
OPEN_HERE = """(event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  emit();
}"""


class ConversationList:
    def __init__(
        self,
        chat: ChatService,
        recent: Sequence[Conversation],
        *,
        on_open: Callable[[str | None], Awaitable[None]],
        on_delete: Callable[[str], Awaitable[None]],
        on_error: Callable[[str], None],
    ) -> None:
        self._chat = chat
        self._on_open = on_open
        self._on_delete = on_delete
        self._on_error = on_error
        self._selected: str | None = None
        self._shown = PAGE_SIZE
        self._drawn: object = None
        self._nav = ui.element("nav").classes("sidebar").props("id=conversations aria-label=Conversations")
        with self._nav:
            with ui.element("div").classes("sidebar-top"):
                self._new = ui.button("New chat", icon=icons.NEW, on_click=lambda: on_open(None), color=None)
                self._new.props("flat no-caps align=left").classes("new-chat")
                icon_button(icons.CLOSE, "Close conversations", controls="conversations").classes("only-phone")
            self._list = ui.element("ul").classes("conversations")
            with ui.element("div").classes("undo").props("role=status") as self._undo:
                self._undo_text = ui.label()
                self._undo_button = text_button("Undo", self._restore)
            self._undo.set_visibility(False)
        self._deleted: str | None = None
        ui.element("div").classes("backdrop").on("click", js_handler="() => localchat.closeOverlays()")
        chat.list_changed.subscribe(self._refresh)
        self._draw(recent)

    def select(self, conversation_id: str) -> None:
        """Mark the conversation that is open."""
        if conversation_id != self._selected:
            self._selected = conversation_id
            for item in self._list:
                _mark(item, item.props.get("data-id") == conversation_id)

    async def _refresh(self) -> None:
        # One more than is shown tells whether there are more.
        conversations = await self._chat.conversations(self._shown + 1)
        if not self._list.is_deleted:
            self._draw(conversations)

    def _draw(self, conversations: Sequence[Conversation]) -> None:
        drawn = (self._shown, [(c.id, c.title, self._chat.is_writing(c.id)) for c in conversations])
        if drawn == self._drawn:
            return
        self._drawn = drawn
        self._list.clear()
        with self._list:
            for conversation in conversations[: self._shown]:
                self._item(conversation)
            if len(conversations) > self._shown:
                with ui.element("li"):
                    text_button("Show more", self._show_more)

    async def _show_more(self) -> None:
        self._shown += PAGE_SIZE
        with self._nav:
            await self._refresh()

    def _item(self, conversation: Conversation) -> None:
        title = conversation.title or "New chat"
        with ui.element("li").classes("conversation") as item:
            item.props["data-id"] = conversation.id
            link = ui.element("a").classes("conversation-link")
            link.props["href"] = f"/c/{conversation.id}"
            link.props["title"] = title
            link.on("click", lambda: self._open(conversation.id), js_handler=OPEN_HERE)
            with link:
                ui.label(title)
                if self._chat.is_writing(conversation.id):
                    ui.element("span").classes("writing").props('role=img aria-label="A reply is being written"')
            box = ui.element("input").classes("rename").props("type=text maxlength=200")
            box.props["aria-label"] = f"Title of {title}"
            box.props["value"] = title
            self._rename_on_enter(box, item, conversation.id)
            more = icon_button(icons.MORE, f"Actions for {title}").classes("conversation-more")
            with more, ui.menu().props("auto-close anchor='bottom end' self='top end'"):
                ui.menu_item("Rename").on("click", js_handler=f"() => localchat.rename('{item.html_id}')")
                ui.menu_item("Delete", lambda: self._delete(conversation.id, title))
        _mark(item, conversation.id == self._selected)

    async def _open(self, conversation_id: str) -> None:
        with self._acting():
            await self._on_open(conversation_id)

    def _rename_on_enter(self, box: ui.element, item: ui.element, conversation_id: str) -> None:
        async def rename(event: GenericEventArguments) -> None:
            title = str(event.args).strip()
            if title:
                with self._acting():
                    await self._chat.rename(conversation_id, title)

        box.on("keydown", rename, js_handler="(event) => localchat.renameKey(event, emit)")
        box.on("blur", js_handler="(event) => event.target.parentElement.classList.remove('renaming')")

    async def _delete(self, conversation_id: str, title: str) -> None:
        with self._acting():
            await self._chat.delete(conversation_id)
            self._deleted = conversation_id
            self._undo_text.set_text(f"“{title}” was deleted.")
            self._undo.set_visibility(True)
            ui.timer(UNDO_SECONDS, lambda: self._forget(conversation_id), once=True)
            ui.run_javascript(f"localchat.focusLater(getHtmlElement({self._undo_button.id}))")
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
        """What a person does to an item may redraw the list, and the item with it; the list itself stays."""
        with self._nav:
            try:
                yield
            except HistoryError as error:
                self._on_error(str(error))

    def _forget(self, conversation_id: str) -> None:
        if self._deleted == conversation_id:
            self._deleted = None
            self._undo.set_visibility(False)


def _mark(item: ui.element, selected: bool) -> None:
    item.classes(add="selected") if selected else item.classes(remove="selected")
    for child in item:
        if child.tag == "a":
            if selected:
                child.props["aria-current"] = "page"
            else:
                child.props.pop("aria-current", None)
            child.update()
