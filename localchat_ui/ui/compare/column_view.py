"""One column: its model and what it does at the top, its replies below."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from nicegui import ui

from localchat_ui.chat import ComparisonService, Reply
from localchat_ui.comparison import Choice, Column, Comparison, differences
from localchat_ui.conversation import Message
from localchat_ui.i18n import _, translated
from localchat_ui.inference import ModelRef, ModelRegistry
from localchat_ui.ui import icons
from localchat_ui.ui.branch import read_branch
from localchat_ui.ui.compare.model_select import ModelSelect
from localchat_ui.ui.components.element import icon_button
from localchat_ui.ui.components.message_footer import FooterOptions
from localchat_ui.ui.components.message_log import MessageLog
from localchat_ui.ui.components.status_line import REDRAW_SECONDS, reply_text

ACTIONS = ("regenerate", "copy-text", "speak", "fork", "about")
# What tells nothing of the model.
SECRET_ACTIONS = ("copy-text", "speak")


@dataclass(frozen=True)
class ColumnHandlers:
    """What the buttons of a head do."""

    choose: Callable[[Column, str], None]
    settings: Callable[[Column], Awaitable[None]]
    remove: Callable[[Column], None]


class ColumnView:
    """The head and the log are items of the grid that it is made in."""

    def __init__(
        self,
        service: ComparisonService,
        models: ModelRegistry,
        comparison: Comparison,
        column: Column,
        handlers: ColumnHandlers,
    ) -> None:
        self.column = column
        self.letter = comparison.letter(column)
        self._service = service
        self._models = models
        self._comparison = comparison
        self._handlers = handlers
        self._reply: Reply | None = None
        self._drawn_at = 0.0
        place = comparison.columns.index(column) + 1
        with ui.element("section").classes("compare-head").style(f"--column: {place}") as head:
            head.props["aria-label"] = _("Column {letter}").format(letter=self.letter)
            with ui.element("div").classes("compare-name"):
                ui.label(self.letter).classes("compare-letter")
                self._draw_name()
            with ui.element("div").classes("compare-line"):
                self._note = ui.label()
                self._state = ui.label().classes("compare-state")
        secret = comparison.is_secret
        options = FooterOptions(SECRET_ACTIONS if secret else ACTIONS, f"message-menu-{place}", with_figures=True)
        with ui.element("div").classes("compare-column").style(f"--column: {place}"):
            label = _("Replies of {letter}") if secret or not comparison.title else _("Replies of {letter}: {model}")
            self.log = MessageLog(label.format(letter=self.letter, model=self.name), options)
        # The first of it is sent with the page; what is shown later is told.
        self.log.show([], {}, None)
        self.show_note()

    @property
    def name(self) -> str:
        return self._service.name_of(self.column)

    def focus(self) -> None:
        """The keyboard goes on from here."""
        ui.run_javascript(f"getHtmlElement({self._settings.id}).focus()")

    def _draw_name(self) -> None:
        comparison, column, letter = self._comparison, self.column, self.letter
        if not comparison.title:
            name = _("Model {letter}").format(letter=letter)
            ModelSelect(self._models, name, column.model, lambda model: self._handlers.choose(column, model))
        else:
            ui.label(_("Hidden until you vote") if comparison.is_secret else self.name).classes("compare-model")
        self._stop = icon_button(icons.STOP, _("Stop {letter}").format(letter=letter), self._stop_reply)
        self._stop.set_visibility(False)
        name = _("Settings of {letter}").format(letter=letter)
        self._settings = icon_button(icons.SETTINGS, name, lambda: self._handlers.settings(column))
        self._settings.props["aria-haspopup"] = "dialog"
        self._settings.set_visibility(not comparison.is_secret)
        if not comparison.title and len(comparison.columns) > 2:
            name = _("Remove {letter}").format(letter=letter)
            icon_button(icons.CLOSE, name, lambda: self._handlers.remove(column))

    def _stop_reply(self) -> None:
        self._service.runs.stop(self._comparison, self.column)

    def show_note(self) -> None:
        """What tells it from the others, and where it runs."""
        model = self._service.model_of(self.column)
        others = [each.options for each in self._comparison.columns if each is not self.column]
        parts = [*map(translated, differences(self.column.options, others)), place_of(model)]
        text = " · ".join(filter(None, parts)) or (translated(model.details) if model else _("No longer here"))
        self._note.set_text("" if self._comparison.is_secret else text)
        self._note.props["title"] = self._note.text

    async def sync(self) -> None:
        """Show what it says now, and follow the reply being written."""
        messages, versions, reply = await read_branch(self._service.chat, self.column.conversation.id)
        if self.log.is_deleted:
            return
        self._follow(reply)
        self.log.show(self._without_secrets(messages, reply), versions, reply)
        self.show_state()

    def leave(self) -> None:
        """It is no longer shown."""
        self._follow(None)

    def show_state(self) -> None:
        """How far its reply is, or why there is none yet."""
        self._drawn_at = time.monotonic()
        text = self._what_it_does()
        self._stop.set_visibility(bool(text))
        text = text or self._verdict()
        if text != self._state.text:
            self._state.set_text(text)
            self._state.props["title"] = text

    def _verdict(self) -> str:
        """What the vote said of it."""
        vote = self._comparison.vote
        if vote is Choice.TIE:
            return _("Tie")
        if vote is Choice.BAD:
            return _("Bad")
        return _("Better") if vote is not None and vote.value == self.letter.lower() else ""

    def _what_it_does(self) -> str:
        why = self._service.runs.reason_to_wait(self._comparison, self.column)
        if why is not None:
            return translated(why) or _("Waiting")
        if self._service.runs.is_preparing(self._comparison, self.column):
            return _("Loading the model")
        if self._reply is None:
            return ""
        # The speed would tell who it is.
        return _("Writing") if self._comparison.is_secret else reply_text(self._reply) or _("Loading the model")

    def _follow(self, reply: Reply | None) -> None:
        if reply is self._reply:
            return
        if self._reply is not None:
            self._reply.changed.unsubscribe(self._show_state_seldom)
        if reply is not None:
            reply.changed.subscribe(self._show_state_seldom)
        self._reply = reply

    def _show_state_seldom(self) -> None:
        if time.monotonic() - self._drawn_at > REDRAW_SECONDS:
            self.show_state()

    def _without_secrets(self, messages: Sequence[Message], reply: Reply | None) -> Sequence[Message]:
        """Without what would tell which model wrote them, before the vote."""
        if not self._comparison.is_secret:
            return messages
        growing = reply.message if reply else None
        why = _("This model could not answer.")
        return [
            message
            if message is growing
            else replace(message, model=None, stats=None, error=why if message.error else None)
            for message in messages
        ]


def place_of(model: ModelRef | None) -> str:
    """Where what one writes goes to, if it is not this program."""
    if model is None or model.is_local:
        return ""
    return (_("{server} · leaves this machine") if model.leaves_machine else "{server}").format(server=model.engine)
