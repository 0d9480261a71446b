"""The installed models, for administrators: which are in memory, which answers, and who may change that."""

from __future__ import annotations

from functools import partial
from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from localchat_ui.access.accounts import Administration
from localchat_ui.inference import ModelRef, ModelRegistry, Phase
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.page_layout import Outcome, section

LOOK_SECONDS = 2.0
HINT = "Everybody on the page chats with one model. Programs can ask for another, which is loaded alongside."


class ModelsTable:
    def __init__(self, administration: Administration, models: ModelRegistry) -> None:
        self._administration = administration
        self._models = models
        self._drawn: object = None
        with section("Models", HINT):
            self._table = ui.element("div")
            self._only_admins = ui.checkbox(
                "Only administrators can change the model", value=models.only_admins_choose, on_change=self._restrict
            )
            with ui.element("div").classes("page-row"):
                text_button("Free memory", self._free)
            self._outcome = Outcome()
        self._draw()
        models.changed.subscribe(self._draw)
        models.failed.subscribe(self._outcome.complain)
        # Models leave memory by themselves when they were idle for long.
        ui.timer(LOOK_SECONDS, self._draw)

    def _draw(self) -> None:
        shown = [(model, self._state(model)) for model in self._models.models]
        if shown == self._drawn:
            return
        self._drawn = shown
        self._table.clear()
        with self._table, ui.element("table").classes("page-table"):
            with ui.element("thead"), ui.element("tr"):
                for name in ("Model", "State"):
                    ui.html(name, sanitize=False, tag="th")
                ui.html("", sanitize=False, tag="td")
            with ui.element("tbody"):
                for model, state in shown:
                    self._row(model, state)
        self._only_admins.set_value(self._models.only_admins_choose)

    def _row(self, model: ModelRef, state: str) -> None:
        with ui.element("tr"):
            with ui.element("td").classes("name"):
                ui.label(model.name)
                ui.label(model.details).classes("hint")
            with ui.element("td"):
                ui.label(state)
            with ui.element("td").classes("actions-cell"):
                if model.refusal is None and model.id != (self._in_use.id if self._in_use else None):
                    button = text_button("Use", partial(self._choose, model))
                    button.props["aria-label"] = f"Use {model.name}"

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

    async def _choose(self, model: ModelRef) -> None:
        with self._outcome.telling():
            async with self._administration.audited("model chosen", model=model.name):
                self._models.choose(model)

    async def _restrict(self, event: ValueChangeEventArguments[Any]) -> None:
        only_admins = bool(event.value)
        if only_admins == self._models.only_admins_choose:
            return
        with self._outcome.telling("Saved."):
            async with self._administration.audited("model choice set", only_admins=only_admins):
                await self._models.let_only_admins_choose(only_admins)

    async def _free(self) -> None:
        with self._outcome.telling("Models that are not in use were unloaded."):
            async with self._administration.audited("memory freed"):
                await self._models.free_memory()
