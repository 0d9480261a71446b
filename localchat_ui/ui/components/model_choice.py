"""The models for administrators: which one answers, who may change that, and room in memory."""

from __future__ import annotations

from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from localchat_ui.access.accounts import Administration
from localchat_ui.i18n import _, translated
from localchat_ui.inference import ModelRef, ModelRegistry
from localchat_ui.text import N_
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.models_table import ModelsTable
from localchat_ui.ui.page_layout import Outcome, link, section

HINT = N_("Everybody on the page chats with one model. Programs can ask for another, which is loaded alongside.")


class ModelChoice:
    def __init__(self, administration: Administration, models: ModelRegistry) -> None:
        self._administration = administration
        self._models = models
        with section(_("Models"), _(HINT)):
            ModelsTable(models, choose=self._choose)
            self._only_admins = ui.checkbox(
                _("Only administrators can change the model"), value=models.only_admins_choose, on_change=self._restrict
            )
            with ui.element("div").classes("page-row"):
                # NOTE: a button: make room in memory
                text_button(_("Free memory"), self._free)
                link(icons.MODELS, _("Download and remove"), "/models").classes("text-button")
                link(icons.ABOUT, _("System check"), "/system").classes("text-button")
            self._outcome = Outcome()
        models.changed.subscribe(lambda: self._only_admins.set_value(models.only_admins_choose))
        models.failed.subscribe(lambda error: self._outcome.complain(translated(error)))

    async def _choose(self, model: ModelRef) -> None:
        with self._outcome.telling():
            async with self._administration.audited("model chosen", model=model.name):
                self._models.choose(model)

    async def _restrict(self, event: ValueChangeEventArguments[Any]) -> None:
        only_admins = bool(event.value)
        if only_admins == self._models.only_admins_choose:
            return
        with self._outcome.telling(_("Saved.")):
            async with self._administration.audited("model choice set", only_admins=only_admins):
                await self._models.let_only_admins_choose(only_admins)

    async def _free(self) -> None:
        with self._outcome.telling(_("Models that are not in use were unloaded.")):
            async with self._administration.audited("memory freed"):
                await self._models.free_memory()
