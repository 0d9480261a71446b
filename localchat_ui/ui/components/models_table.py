"""The models there are as a table: which are in memory, and which answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from nicegui import ui

from localchat_ui.inference import ModelRef, ModelRegistry, Phase
from localchat_ui.ui.components.element import text_button

LOOK_SECONDS = 2.0
Act = Callable[[ModelRef], Awaitable[None]]


class ModelsTable:
    def __init__(
        self, models: ModelRegistry, *, choose: Act | None, buttons: Callable[[ModelRef], None] = lambda model: None
    ) -> None:
        """`choose` is for the button "Use", `buttons` draws more of them."""
        self._models = models
        self._choose = choose
        self._buttons = buttons
        self._drawn: object = None
        self._table = ui.element("div")
        self._draw()
        models.changed.subscribe(self._draw)
        # Models leave memory by themselves when they were idle for long.
        ui.timer(LOOK_SECONDS, self._draw)

    def _draw(self) -> None:
        models = sorted(self._models.models, key=lambda model: model.error is not None)
        shown = [(model, self._state(model), self._models.forecast(model).lines) for model in models]
        if shown == self._drawn:
            return
        self._drawn = shown
        self._table.clear()
        with self._table:
            if not shown:
                ui.label("There are none yet.").classes("page-text")
                return
            with ui.element("table").classes("page-table"):
                with ui.element("thead"), ui.element("tr"):
                    for name in ("Model", "State"):
                        ui.html(name, sanitize=False, tag="th")
                    ui.html("", sanitize=False, tag="td")
                with ui.element("tbody"):
                    for model, state, forecast in shown:
                        self._row(model, state, forecast)

    def _row(self, model: ModelRef, state: str, forecast: Sequence[str]) -> None:
        with ui.element("tr"):
            with ui.element("td").classes("name"):
                ui.label(model.name).props("dir=auto")
                ui.label(model.details).classes("hint")
                for line in forecast:
                    ui.label(line).classes("hint")
            with ui.element("td").classes("state"):
                ui.label(state)
            with ui.element("td").classes("actions-cell"):
                in_use = self._in_use
                if self._choose and model.refusal is None and model.id != (in_use.id if in_use else None):
                    button = text_button("Use", partial(self._choose, model))
                    button.props["aria-label"] = f"Use {model.name}"
                self._buttons(model)

    @property
    def _in_use(self) -> ModelRef | None:
        return self._models.status.target or self._models.status.model

    def _state(self, model: ModelRef) -> str:
        if model.error:
            return "Cannot be loaded" if model.is_local else "Not responding"
        if not model.kind.can_chat:
            return "For programs" if model.kind.is_model else "Cannot chat"
        status = self._models.status
        if model == status.target and status.phase is Phase.LOADING:
            return "Loading"
        if not model.is_local:
            return "In use" if status.model and model.id == status.model.id else f"On {model.engine}"
        in_memory = model.path in self._models.in_memory
        if model == status.model:
            return "In use" if in_memory else "In use, loads with the next message"
        return "In memory" if in_memory else "On disk"
