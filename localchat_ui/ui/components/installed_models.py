"""The models that are here: which one answers, what is known of each, and the way to remove one."""

from __future__ import annotations

from functools import partial

from nicegui import ui

from localchat_ui.inference import ModelLibrary, ModelRef, ModelRegistry
from localchat_ui.library.model_file import readable_size
from localchat_ui.ui.components.confirm import Confirm
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.models_table import ModelsTable
from localchat_ui.ui.page_layout import Outcome, section


class InstalledModels:
    def __init__(self, models: ModelRegistry, library: ModelLibrary) -> None:
        self._models = models
        self._library = library
        with section("On this machine"):
            ModelsTable(models, choose=self._choose if models.may_choose else None, buttons=self._buttons)
            self._outcome = Outcome()
            self._confirm = Confirm()
            self._place = ui.element("div")
        models.failed.subscribe(self._outcome.complain)

    def _buttons(self, model: ModelRef) -> None:
        if model.file is None:
            return
        button = text_button("Details", partial(self._show, model))
        button.props["aria-label"], button.props["aria-haspopup"] = f"Details of {model.name}", "dialog"
        if self._library.may_remove(model):
            button = text_button("Remove…", partial(self._ask, model)).classes("danger")
            button.props["aria-label"], button.props["aria-haspopup"] = f"Remove {model.name}", "dialog"

    async def _choose(self, model: ModelRef) -> None:
        with self._outcome.telling():
            self._models.choose(model)

    def _show(self, model: ModelRef) -> None:
        assert model.file is not None
        self._place.clear()
        with self._place:
            dialog = Dialog(model.name, close="Close")
            rows = model.file.sheet | self._models.forecast(model).sheet
            with dialog.body, ui.element("dl").classes("model-sheet"):
                for name, value in rows.items():
                    # Where things lie on this machine is for those who manage it.
                    if name != "File" or self._library.may_manage:
                        with ui.element("div"):
                            with ui.element("dt"):
                                ui.label(name)
                            with ui.element("dd"):
                                ui.label(value).props("dir=auto")
        dialog.open()

    def _ask(self, model: ModelRef) -> None:
        assert model.file is not None
        size = readable_size(model.file.size_bytes)
        text = f"Its {size} are deleted from this machine. Conversations with it stay."
        self._confirm.ask(f"Remove {model.name}?", text, "Remove", partial(self._remove, model))

    async def _remove(self, model: ModelRef) -> None:
        freed = 0
        with self._outcome.telling(lambda: f"{model.name} is gone; {readable_size(freed)} are free."):
            freed = await self._library.remove(model)
