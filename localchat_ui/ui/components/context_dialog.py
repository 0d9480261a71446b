"""What the model reads: how full its context is, the tokens of each message, and the exact prompt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from html import escape

from nicegui import ui

from localchat_ui.chat import ChatError, PromptView
from localchat_ui.conversation import Message, Role
from localchat_ui.engine.base import EngineError
from localchat_ui.history.errors import HistoryError
from localchat_ui.i18n import _, ngettext, number, translated
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import icon_button
from localchat_ui.ui.words import used_tokens

EXCERPT = 90


class ContextDialog:
    """Filled each time it is opened: counting takes a moment, and what it counts changes with every message."""

    def __init__(self, look: Callable[[], Awaitable[tuple[Sequence[Message], PromptView]]]) -> None:
        self._look = look
        with ui.dialog() as self._dialog, ui.element("section").classes("sheet") as self._sheet:
            self._sheet.props["aria-label"] = _("Context")

    async def open(self) -> None:
        self._sheet.clear()
        with self._sheet:
            with ui.element("header").classes("sheet-title"):
                with ui.element("h2"):
                    ui.label(_("Context"))
                icon_button(icons.CLOSE, _("Close"), self._dialog.close)
            try:
                messages, view = await self._look()
            except (ChatError, EngineError, HistoryError) as error:
                ui.label(translated(error)).classes("outcome failed").props("role=alert")
            else:
                self._fill(messages, view)
        self._dialog.open()

    def _fill(self, messages: Sequence[Message], view: PromptView) -> None:
        used = used_tokens(view.n_tokens, view.n_ctx, is_estimate=view.is_estimate)
        ui.label(_("The next reply will start after {used}.").format(used=used)).classes("card-text")
        if view.n_unseen:
            unseen = ngettext(
                "The context is full: the first {n} message will not be read.",
                "The context is full: the first {n} messages will not be read.",
                view.n_unseen,
            )
            ui.label(unseen.format(n=number(view.n_unseen))).classes("card-text")
        for note in view.notes:
            ui.label(translated(note)).classes("card-text")
        # One element, however long the conversation is.
        ui.html(_table(messages, view), sanitize=False)
        with ui.element("details").classes("prompt"):
            with ui.element("summary"):
                ui.label(_("What is sent") if view.is_estimate else _("The exact prompt"))
            with ui.element("pre").props("tabindex=0"):
                ui.label(view.text)


def _table(messages: Sequence[Message], view: PromptView) -> str:
    rows = [_row(_("System prompt"), view.system_tokens)] if view.system_tokens else []
    rows += [
        _row(_excerpt(message), view.message_tokens.get(message.id, 0), is_read=index >= view.n_unseen)
        for index, message in enumerate(messages)
    ]
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in (_("Message"), _("Tokens")))
    head = f"<thead><tr>{names}</tr></thead>"
    return f'<table class="tokens">{head}<tbody>{"".join(rows)}</tbody></table>'


def _row(words: str, n_tokens: int, *, is_read: bool = True) -> str:
    kind = "" if is_read else ' class="not-read"'
    return f"<tr{kind}><td>{escape(words)}</td><td>{number(n_tokens)}</td></tr>"


def _excerpt(message: Message) -> str:
    names = {Role.USER: _("You"), Role.ASSISTANT: _("Assistant"), Role.SYSTEM: _("System prompt"), Role.TOOL: _("Tool")}
    who = names[message.role]
    words = " ".join([*message.text.split(), *(f"[{file.name}]" for file in message.attachments)])
    return f"{who}: {words[:EXCERPT]}{'…' if len(words) > EXCERPT else ''}"
