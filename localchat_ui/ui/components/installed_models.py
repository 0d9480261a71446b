"""The models that are here: which one answers, what is known of each, and the way to remove one."""

from __future__ import annotations

from functools import partial

from nicegui import ui

from localchat_ui.i18n import _, translated
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
        with section(_("On this machine")):
            ModelsTable(models, choose=self._choose if models.may_choose else None, buttons=self._buttons)
            self._outcome = Outcome()
            self._confirm = Confirm()
            self._place = ui.element("div")
        models.failed.subscribe(lambda error: self._outcome.complain(translated(error)))

    def _buttons(self, model: ModelRef) -> None:
        if model.file is None:
            return
        button = text_button(_("Details"), partial(self._show, model))
        button.props["aria-label"], button.props["aria-haspopup"] = (
            _("Details of {name}").format(name=model.name),
            "dialog",
        )
        if self._library.may_remove(model):
            button = text_button(_("Remove…"), partial(self._ask, model)).classes("danger")
            button.props["aria-label"], button.props["aria-haspopup"] = (
                _("Remove {name}").format(name=model.name),
                "dialog",
            )

    async def _choose(self, model: ModelRef) -> None:
        with self._outcome.telling():
            self._models.choose(model)

    def _show(self, model: ModelRef) -> None:
        assert model.file is not None
        self._place.clear()
        with self._place:
            dialog = Dialog(model.name, close=_("Close"))
            rows = model.file.sheet | self._models.forecast(model).sheet
            with dialog.body, ui.element("dl").classes("model-sheet"):
                for name, value in rows.items():
                    # Where things lie on this machine is for those who manage it.
                    if name != "File" or self._library.may_manage:
                        with ui.element("div"):
                            with ui.element("dt"):
                                ui.label(_(name))
                            with ui.element("dd"):
                                ui.label(translated(value)).props("dir=auto")
        dialog.open()

    def _ask(self, model: ModelRef) -> None:
        assert model.file is not None
        size = readable_size(model.file.size_bytes)
        text = _("Its {size} are deleted from this machine. Conversations with it stay.").format(size=size)
        title = _("Remove {name}?").format(name=model.name)
        self._confirm.ask(title, text, _("Remove"), partial(self._remove, model))

    async def _remove(self, model: ModelRef) -> None:
        freed = 0
        gone = _("{name} is gone; {size} are free.")
        with self._outcome.telling(lambda: gone.format(name=model.name, size=readable_size(freed))):
            freed = await self._library.remove(model)
