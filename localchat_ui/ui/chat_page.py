"""The chat page, as a list of named sections."""

from __future__ import annotations

import asyncio

from nicegui import ui

from localchat_ui.chat import ChatError, ChatService
from localchat_ui.conversation import Conversation
from localchat_ui.history.errors import HistoryError
from localchat_ui.model_manager import ModelManager
from localchat_ui.ui import design, icons
from localchat_ui.ui.components.composer import Composer
from localchat_ui.ui.components.conversation_list import ConversationList
from localchat_ui.ui.components.element import icon_button
from localchat_ui.ui.components.model_picker import ModelPicker, ModelProgress
from localchat_ui.ui.components.notices import Notices
from localchat_ui.ui.components.sampling_panel import SamplingPanel
from localchat_ui.ui.components.status_line import StatusLine
from localchat_ui.ui.components.transcript import Transcript

TITLE = "LocalChat"


class ChatPage:
    """What one tab looks at. It subscribes, takes snapshots, and may vanish at any moment."""

    def __init__(self, chat: ChatService, models: ModelManager, conversation: Conversation | None) -> None:
        self._stored = conversation is not None
        self.chat = chat
        self.models = models
        self.conversation = conversation or chat.new_conversation()
        self._syncing = asyncio.Lock()
        design.apply()
        with ui.element("div").classes("page"):
            self.conversation_list = ConversationList(
                chat, on_open=self.open, on_delete=self._left, on_error=self._complain
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

    async def open(self, conversation_id: str | None, *, remember: bool = True) -> None:
        """Show another conversation, or an empty one, without loading the page anew."""
        conversation = await self.chat.open(conversation_id) if conversation_id else None
        self.conversation = conversation or self.chat.new_conversation()
        self._stored = conversation is not None
        if remember:
            ui.navigate.history.push(f"/c/{conversation.id}" if conversation else "/")
        await self.sync()
        ui.run_javascript("localchat.closeOverlays(); localchat.toEnd(); localchat.box().focus()")

    async def sync(self) -> None:
        """Show what the conversation is now; cheap when little has changed."""
        async with self._syncing:
            conversation = self.conversation
            messages, reply = await self.chat.messages(conversation.id)
            if conversation is not self.conversation:
                return
            self.transcript.show(messages, reply)
            self.composer.show_writing(reply is not None)
            self.status.watch(messages, reply)
            self.panel.show(conversation)
            self.conversation_list.select(conversation.id)
            ui.page_title(f"{conversation.title} · {TITLE}" if conversation.title else TITLE)

    def _header(self) -> None:
        with ui.element("header").classes("header"):
            icon_button(icons.MENU, "Conversation list", controls="conversations")
            ModelPicker(self.models)
            ui.element("div").classes("grow")
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
        if conversation is not None:
            self.conversation = conversation
            if not self._stored:
                ui.navigate.history.replace(f"/c/{conversation_id}")
            self._stored = True
        await self.sync()

    async def _left(self, conversation_id: str) -> None:
        if conversation_id == self.conversation.id:
            await self.open(None)

    async def _navigate(self, path: str) -> None:
        await self.open(path.removeprefix("/c/") if path.startswith("/c/") else None, remember=False)


def register(chat: ChatService, models: ModelManager) -> None:
    """The routes `/` and `/c/{conversation_id}`."""

    @ui.page("/")
    async def start_page() -> None:
        await chat.started()
        await ChatPage(chat, models, None).sync()

    @ui.page("/c/{conversation_id}")
    async def conversation_page(conversation_id: str) -> None:
        await chat.started()
        conversation = await chat.open(conversation_id)
        page = ChatPage(chat, models, conversation)
        if conversation is None:
            page.notices.show("There is no such conversation here. It may have been deleted.")
            ui.navigate.history.replace("/")
        await page.sync()
