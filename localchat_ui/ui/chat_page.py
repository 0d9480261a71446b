"""The chat page, as a list of named sections."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nicegui import ui

from localchat_ui.chat import ChatError, ChatService
from localchat_ui.conversation import Conversation, Message
from localchat_ui.history.errors import HistoryError
from localchat_ui.model_manager import ModelManager
from localchat_ui.reply import Reply
from localchat_ui.ui import design, icons
from localchat_ui.ui.components.composer import Composer
from localchat_ui.ui.components.conversation_list import PAGE_SIZE, ConversationList
from localchat_ui.ui.components.element import icon_button
from localchat_ui.ui.components.help_dialog import HelpDialog
from localchat_ui.ui.components.model_picker import ModelPicker, ModelProgress
from localchat_ui.ui.components.notices import Notices
from localchat_ui.ui.components.sampling_panel import SamplingPanel
from localchat_ui.ui.components.status_line import StatusLine
from localchat_ui.ui.components.transcript import Transcript

TITLE = "LocalChat"


class ChatPage:
    """What one tab looks at. It subscribes, takes snapshots, and may vanish at any moment."""

    def __init__(
        self,
        chat: ChatService,
        models: ModelManager,
        conversation: Conversation | None,
        recent: Sequence[Conversation],
    ) -> None:
        self.is_stored = conversation is not None
        self.chat = chat
        self.models = models
        self.conversation = conversation or chat.new_conversation()
        self._syncing = asyncio.Lock()
        self._wanted: str | None = None
        design.apply()
        with ui.element("div").classes("page"):
            self.conversation_list = ConversationList(
                chat, recent, on_open=self.open, on_delete=self._left, on_error=self._complain
            )
            with ui.element("div").classes("main"):
                self._header()
                self.progress = ModelProgress(models)
                with ui.element("main").classes("scroller").props("tabindex=-1") as self.scroller:
                    self.transcript = Transcript(chat, models, on_retry=self._retry)
                with ui.element("div").classes("dock"):
                    self.notices = Notices(models)
                    self.composer = Composer(on_send=self._send, on_stop=lambda: chat.stop(self.conversation.id))
                    self.status = StatusLine(models)
            self.panel = SamplingPanel(chat, notices=self.notices)
        chat.conversation_changed.subscribe(self._on_conversation_changed)
        ui.on("navigate", lambda event: self._navigate(event.args))
        ui.run_javascript('localchat.follow(document.querySelector(".scroller")); localchat.mirror()')

    async def open(self, conversation_id: str | None, *, remember: bool = True, arrive: bool = True) -> None:
        """Show another conversation, or an empty one, without loading the page anew; the person goes there with it."""
        self._wanted = conversation_id
        conversation = await self.chat.open(conversation_id) if conversation_id else None
        if self._wanted != conversation_id:
            return
        self.conversation = conversation or self.chat.new_conversation()
        self.is_stored = conversation is not None
        if remember:
            ui.navigate.history.push(f"/c/{conversation.id}" if conversation else "/")
        if conversation_id and conversation is None:
            self.say_that_it_is_gone()
        else:
            self.notices.clear()
        await self.sync()
        if arrive:
            ui.run_javascript("localchat.arrive()")

    async def sync(self) -> None:
        """Show what the conversation is now; cheap when little has changed."""
        async with self._syncing:
            conversation = self.conversation
            messages, reply = await self.chat.messages(conversation.id)
            if conversation is self.conversation:
                self.show(messages, reply)

    def show(self, messages: Sequence[Message], reply: Reply | None) -> None:
        """Draw what `ChatService.messages` just returned, and follow the reply from there."""
        self.transcript.show(messages, reply)
        self.composer.show_writing(reply is not None)
        self.status.watch(messages, reply)
        self.panel.show(self.conversation)
        self.conversation_list.select(self.conversation.id)
        title = self.conversation.title
        ui.page_title(f"{title} · {TITLE}" if title else TITLE)

    def say_that_it_is_gone(self) -> None:
        self.notices.show("There is no such conversation here. It may have been deleted.")
        ui.navigate.history.replace("/")

    def _header(self) -> None:
        with ui.element("header").classes("header"):
            icon_button(icons.MENU, "Conversation list", controls="conversations")
            ModelPicker(self.models)
            ui.element("div").classes("grow")
            HelpDialog()
            icon_button(icons.SETTINGS, "Settings", controls="settings")

    def _complain(self, error: str) -> None:
        self.notices.show(error)

    async def _send(self, text: str) -> None:
        await self.panel.save()
        try:
            await self.chat.send(self.conversation, text)
        except (ChatError, HistoryError) as error:
            self.composer.restore(text)
            self.notices.show(str(error))
            return
        self.notices.clear()
        ui.run_javascript("localchat.toEnd()")

    async def _retry(self) -> None:
        await self.panel.save()
        try:
            await self.chat.retry(self.conversation)
        except (ChatError, HistoryError) as error:
            self.notices.show(str(error))

    async def _on_conversation_changed(self, conversation_id: str) -> None:
        if conversation_id != self.conversation.id:
            return
        conversation = await self.chat.open(conversation_id)
        if conversation_id != self.conversation.id:
            return  # somebody opened another one meanwhile
        if conversation is not None:
            self.conversation = conversation
            if not self.is_stored:
                ui.navigate.history.replace(f"/c/{conversation_id}")
            self.is_stored = True
        await self.sync()

    async def _left(self, conversation_id: str) -> None:
        if conversation_id == self.conversation.id:
            await self.open(None, arrive=False)  # the person stays at the list, where Undo is

    async def _navigate(self, path: str) -> None:
        await self.open(path.removeprefix("/c/") if path.startswith("/c/") else None, remember=False)


def register(chat: ChatService, models: ModelManager) -> None:
    """The routes `/` and `/c/{conversation_id}`."""

    async def open_page(conversation_id: str | None) -> ChatPage:
        # Everything is read before the first element is made, so that the page arrives with its messages in it.
        await chat.started()
        recent = await chat.conversations(PAGE_SIZE + 1)
        conversation = await chat.open(conversation_id) if conversation_id else None
        messages, reply = await chat.messages(conversation.id) if conversation else ([], None)
        page = ChatPage(chat, models, conversation, recent)
        page.show(messages, reply)
        return page

    @ui.page("/")
    async def start_page() -> None:
        await open_page(None)

    @ui.page("/c/{conversation_id}")
    async def conversation_page(conversation_id: str) -> None:
        page = await open_page(conversation_id)
        if not page.is_stored:
            page.say_that_it_is_gone()
