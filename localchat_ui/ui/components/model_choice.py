"""The models for administrators: which one answers, who may change that, and room in memory."""

from __future__ import annotations

from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from localchat_ui.access.accounts import Administration
from localchat_ui.i18n import _
from localchat_ui.inference import ModelRef, ModelRegistry
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.models_table import ModelsTable
from localchat_ui.ui.page_layout import Outcome, link, section

HINT = "Everybody on the page chats with one model. Programs can ask for another, which is loaded alongside."


class ModelChoice:
    def __init__(self, administration: Administration, models: ModelRegistry) -> None:
        self._administration = administration
        self._models = models
        with section("Models", HINT):
            ModelsTable(models, choose=self._choose)
            self._only_admins = ui.checkbox(
                "Only administrators can change the model", value=models.only_admins_choose, on_change=self._restrict
            )
            with ui.element("div").classes("page-row"):
                text_button("Free memory", self._free)
                link(icons.MODELS, "Download and remove", "/models").classes("text-button")
                link(icons.ABOUT, _("System check"), "/system").classes("text-button")
            self._outcome = Outcome()
        models.changed.subscribe(lambda: self._only_admins.set_value(models.only_admins_choose))
        models.failed.subscribe(self._outcome.complain)

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
