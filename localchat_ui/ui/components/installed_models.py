"""The models that are here: which one answers, what is known of each, and the way to remove one."""

from __future__ import annotations

from functools import partial

from nicegui import ui

from localchat_ui.chat import ChatDefaults
from localchat_ui.i18n import _, translated
from localchat_ui.inference import ModelLibrary, ModelRef, ModelRegistry
from localchat_ui.ui import icons
from localchat_ui.ui.components.confirm import Confirm
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.model_sheet import ModelSheet
from localchat_ui.ui.components.models_table import ModelsTable
from localchat_ui.ui.page_layout import Outcome, link, section
from localchat_ui.ui.words import data_size


class InstalledModels:
    def __init__(self, models: ModelRegistry, library: ModelLibrary, defaults: ChatDefaults) -> None:
        self._models = models
        self._library = library
        with section(_("On this machine")):
            self._sheet = ModelSheet(models, library, defaults)
            ModelsTable(models, choose=self._choose if models.may_choose else None, buttons=self._buttons)
            with ui.element("div").classes("page-row"):
                link(icons.COLUMNS, _("Compare models"), "/compare").classes("text-button")
            self._outcome = Outcome()
            self._confirm = Confirm()
        models.failed.subscribe(lambda error: self._outcome.complain(translated(error)))

    def _buttons(self, model: ModelRef) -> None:
        button = text_button(_("Details"), partial(self._sheet.open, model))
        button.props["aria-label"] = _("Details of {name}").format(name=model.name)
        button.props["aria-haspopup"] = "dialog"
        if self._models.may_manage and model.path in self._models.in_memory:
            button = text_button(_("Unload"), partial(self._unload, model))
            button.props["aria-label"] = _("Unload {name}").format(name=model.name)
        if self._library.may_remove(model):
            button = text_button(_("Remove…"), partial(self._ask, model)).classes("danger")
            button.props["aria-label"], button.props["aria-haspopup"] = (
                _("Remove {name}").format(name=model.name),
                "dialog",
            )

    async def _choose(self, model: ModelRef) -> None:
        with self._outcome.telling():
            self._models.choose(model)

    async def _unload(self, model: ModelRef) -> None:
        with self._outcome.telling(_("{name} is out of memory.").format(name=model.name)):
            await self._models.unload(model)

    def _ask(self, model: ModelRef) -> None:
        assert model.file is not None
        size = data_size(model.file.size_bytes)
        text = _("Its {size} are deleted from this machine. Conversations with it stay.").format(size=size)
        title = _("Remove {name}?").format(name=model.name)
        self._confirm.ask(title, text, _("Remove"), partial(self._remove, model))

    async def _remove(self, model: ModelRef) -> None:
        freed = 0
        gone = _("{name} is gone; {size} are free.")
        with self._outcome.telling(lambda: gone.format(name=model.name, size=data_size(freed))):
            freed = await self._library.remove(model)
