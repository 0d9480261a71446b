"""The models there are as a table: which are in memory, and which answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from html import escape

from nicegui import ui

from localchat_ui.i18n import _, translated
from localchat_ui.inference import ModelRef, ModelRegistry, Phase
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.model_words import place_of

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
        ui.timer(LOOK_SECONDS, self._draw_if_some_left)

    def _draw_if_some_left(self) -> None:
        if self._models.in_memory != self._in_memory:
            self._draw()

    def _draw(self) -> None:
        self._in_memory = self._models.in_memory
        models = sorted(self._models.models, key=lambda model: model.error is not None)
        shown = [(model, self._state(model), self._models.forecast(model).lines) for model in models]
        if shown == self._drawn:
            return
        self._drawn = shown
        self._table.clear()
        with self._table:
            if not shown:
                ui.label(_("There are none yet.")).classes("page-text")
                return
            with ui.element("table").classes("page-table"):
                with ui.element("thead"), ui.element("tr"):
                    for name in (_("Model"), _("State")):
                        ui.html(escape(name), sanitize=False, tag="th")
                    ui.html("", sanitize=False, tag="td")
                with ui.element("tbody"):
                    for model, state, forecast in shown:
                        self._row(model, state, forecast)

    def _row(self, model: ModelRef, state: str, forecast: Sequence[str]) -> None:
        with ui.element("tr"):
            with ui.element("td").classes("name"):
                ui.label(model.name).props("dir=auto")
                ui.label(translated(model.details)).classes("hint")
                for line in forecast:
                    ui.label(translated(line)).classes("hint")
            with ui.element("td").classes("state"):
                ui.label(state)
            with ui.element("td").classes("actions-cell"):
                in_use = self._in_use
                if self._choose and model.refusal is None and model.id != (in_use.id if in_use else None):
                    # NOTE: a button: chat with this model
                    button = text_button(_("Use"), partial(self._choose, model))
                    button.props["aria-label"] = _("Use {name}").format(name=model.name)
                self._buttons(model)

    @property
    def _in_use(self) -> ModelRef | None:
        return self._models.status.target or self._models.status.model

    def _state(self, model: ModelRef) -> str:
        if model.error:
            return _("Cannot be loaded") if model.is_local else _("Not responding")
        if not model.kind.can_chat:
            # NOTE: what a model is good for: it cannot chat
            return _("For programs") if model.kind.is_model else _("Cannot chat")
        status = self._models.status
        if model == status.target and status.phase is Phase.LOADING:
            return _("Loading")
        return place_of(self._models, model)
