"""What the model reads: how full its context is, the tokens of each message, and the exact prompt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from html import escape

from nicegui import ui

from localchat_ui.chat import ChatError, PromptView
from localchat_ui.conversation import Message, Role
from localchat_ui.engine.base import EngineError
from localchat_ui.history.errors import HistoryError
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import icon_button
from localchat_ui.ui.words import counted

EXCERPT = 90


class ContextDialog:
    """Filled each time it is opened: counting takes a moment, and what it counts changes with every message."""

    def __init__(self, look: Callable[[], Awaitable[tuple[Sequence[Message], PromptView]]]) -> None:
        self._look = look
        with ui.dialog() as self._dialog, ui.element("section").classes("sheet") as self._sheet:
            self._sheet.props["aria-label"] = "Context"

    async def open(self) -> None:
        self._sheet.clear()
        with self._sheet:
            with ui.element("header").classes("sheet-title"):
                with ui.element("h2"):
                    ui.label("Context")
                icon_button(icons.CLOSE, "Close", self._dialog.close)
            try:
                messages, view = await self._look()
            except (ChatError, EngineError, HistoryError) as error:
                ui.label(str(error)).classes("outcome failed").props("role=alert")
            else:
                self._fill(messages, view)
        self._dialog.open()

    def _fill(self, messages: Sequence[Message], view: PromptView) -> None:
        used = f"{view.n_tokens:,} of {counted(view.n_ctx, 'token')}" if view.n_ctx else counted(view.n_tokens, "token")
        about = "about " if view.is_estimate else ""
        ui.label(f"The next reply will start after {about}{used}.").classes("card-text")
        if view.n_unseen:
            unseen = counted(view.n_unseen, "message")
            ui.label(f"The context is full: the first {unseen} will not be read.").classes("card-text")
        for note in view.notes:
            ui.label(note).classes("card-text")
        # One element, however long the conversation is.
        ui.html(_table(messages, view), sanitize=False)
        with ui.element("details").classes("prompt"):
            with ui.element("summary"):
                ui.label("What is sent" if view.is_estimate else "The exact prompt")
            with ui.element("pre").props("tabindex=0"):
                ui.label(view.text)


def _table(messages: Sequence[Message], view: PromptView) -> str:
    rows = [_row("System prompt", view.system_tokens)] if view.system_tokens else []
    rows += [
        _row(_excerpt(message), view.message_tokens.get(message.id, 0), is_read=index >= view.n_unseen)
        for index, message in enumerate(messages)
    ]
    head = '<thead><tr><th scope="col">Message</th><th scope="col">Tokens</th></tr></thead>'
    return f'<table class="tokens">{head}<tbody>{"".join(rows)}</tbody></table>'


def _row(words: str, n_tokens: int, *, is_read: bool = True) -> str:
    kind = "" if is_read else ' class="not-read"'
    return f"<tr{kind}><td>{escape(words)}</td><td>{n_tokens:,}</td></tr>"


def _excerpt(message: Message) -> str:
    who = "You" if message.role is Role.USER else message.role.value.capitalize()
    words = " ".join([*message.text.split(), *(f"[{file.name}]" for file in message.attachments)])
    return f"{who}: {words[:EXCERPT]}{'…' if len(words) > EXCERPT else ''}"
