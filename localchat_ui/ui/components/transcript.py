"""The conversation: a log of messages, or an invitation to begin one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui

from localchat_ui.chat import ChatService
from localchat_ui.conversation import Message
from localchat_ui.model_manager import ModelManager
from localchat_ui.reply import Reply
from localchat_ui.ui.components.download_card import DownloadCard
from localchat_ui.ui.components.message import MessageView


class Transcript:
    """Shows one branch. Messages that stay are left alone, so a long conversation costs nothing while it grows."""

    def __init__(self, chat: ChatService, models: ModelManager, *, on_retry: Callable[[], Awaitable[None]]) -> None:
        self._views: list[MessageView] = []
        self._on_retry = on_retry
        with ui.element("div").classes("transcript"):
            with ui.element("div").classes("welcome") as self._welcome:
                with ui.element("h1"):
                    ui.label("What is on your mind?")
                with ui.element("p"):
                    ui.label("Everything stays on this machine.")
                DownloadCard(models)
            self.log = ui.element("div").classes("log").props("role=log aria-label=Conversation")

    def show(self, messages: Sequence[Message], reply: Reply | None) -> None:
        """Bring the views in line with the branch; the last one follows the reply being written, if any."""
        kept = 0
        for view, message in zip(self._views, messages, strict=False):
            if not view.shows(message):
                break
            kept += 1
        for view in self._views[kept:]:
            view.delete()
        del self._views[kept:]
        with self.log:
            for index, message in enumerate(messages[kept:], start=kept + 1):
                is_last = index == len(messages)
                growing = reply if is_last else None
                self._views.append(MessageView(message, growing, on_retry=self._on_retry if is_last else None))
        self._welcome.set_visibility(not messages)
        self.log.props["aria-busy"] = "true" if reply else "false"
        self.log.update()
