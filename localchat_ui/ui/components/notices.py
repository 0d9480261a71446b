"""What the page tells a person: news, warnings, errors, and what can be undone, in one stack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from nicegui.events import GenericEventArguments

from localchat_ui.i18n import translated
from localchat_ui.inference import ModelRegistry, Phase
from localchat_ui.ui.components.element import SelfDrawn

Action = Callable[[], Awaitable[None]]


class Kind(str, Enum):
    """Warnings and errors are announced at once and stay until they are dismissed; the others go by themselves."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Notice:
    id: str
    kind: Kind
    text: str
    label: str = ""
    action: Action | None = None


class NoticeStack(SelfDrawn, component="notices.js"):
    """Lies over the conversation, never over the box. The browser tells of its own troubles here, too.

    Emits `act` with the id of a notice whose button was pressed, and `gone` with that of one that went.
    """


class Notices:
    def __init__(self, models: ModelRegistry) -> None:
        self._stack = NoticeStack()
        self.shown: list[Notice] = []
        self._models = models
        self._n_shown = 0
        self._about_model = ""
        self._stack.keep(first=[])
        self._stack.on("act", self._on_act)
        self._stack.on("gone", lambda event: self._forget(str(event.args["id"])))
        models.changed.subscribe(self._on_model_changed)
        models.failed.subscribe(lambda _: self._on_model_changed())
        self._on_model_changed()

    def show(
        self, text: str, kind: Kind = Kind.ERROR, *, label: str = "", action: Action | None = None, focus: bool = False
    ) -> None:
        """Pressing the button called `label`, if any, runs the `action`; with `focus` the keyboard goes there."""
        self._n_shown += 1
        notice = Notice(f"n{self._n_shown}", kind, text, label, action)
        self.shown = [*(other for other in self.shown if other.text != text), notice]
        self._remember()
        self._stack.run_method("show", _told(notice) | ({"focus": True} if focus else {}))

    def offer(self, text: str, label: str, action: Action, *, focus: bool = False) -> None:
        """Offer to do something for a while."""
        self.show(text, Kind.INFO, label=label, action=action, focus=focus)

    def show_model_error(self, error: str) -> None:
        """Until a model is loaded, or another is chosen."""
        self._about_model = error
        self.show(error)

    def clear(self) -> None:
        """Take away what went wrong before: something else is done now."""
        self._drop([notice.id for notice in self.shown if notice.kind is Kind.ERROR])

    def _drop(self, ids: list[str]) -> None:
        if ids:
            self.shown = [notice for notice in self.shown if notice.id not in ids]
            self._remember()
            self._stack.run_method("drop", ids)

    def _forget(self, notice_id: str) -> Notice | None:
        gone = next((notice for notice in self.shown if notice.id == notice_id), None)
        self.shown = [notice for notice in self.shown if notice.id != notice_id]
        self._remember()
        return gone

    async def _on_act(self, event: GenericEventArguments) -> None:
        notice = self._forget(str(event.args["id"]))
        if notice is not None and notice.action is not None:
            await notice.action()

    def _remember(self) -> None:
        self._stack.keep(first=[_told(notice) for notice in self.shown])

    def _on_model_changed(self) -> None:
        """That no model can answer concerns everybody; a choice that failed beside one that can, only who made it."""
        status = self._models.status
        if status.phase is Phase.FAILED and status.error:
            self.show_model_error(translated(status.error))
        elif self._about_model and not status.error:
            self._drop([notice.id for notice in self.shown if notice.text == self._about_model])
            self._about_model = ""


def _told(notice: Notice) -> dict[str, str]:
    return {"id": notice.id, "kind": notice.kind.value, "text": notice.text, "action": notice.label}
