"""Beside the dropdown: how the model in use is loaded, to load it otherwise or let it leave memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from nicegui import ui

from localchat_ui.engine.base import EngineError
from localchat_ui.history.errors import HistoryError
from localchat_ui.i18n import _, translated
from localchat_ui.inference import ModelRef, ModelRegistry, Phase
from localchat_ui.ui import icons
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import icon_button, text_button
from localchat_ui.ui.components.load_form import LoadForm
from localchat_ui.ui.words import data_size


class LoadDialog:
    """A button, only there for whoever may do that and while a model of this machine is in use."""

    def __init__(self, models: ModelRegistry, *, on_failed: Callable[[str], None]) -> None:
        """`on_failed` is told why the model could not be loaded so; it is in use as before then."""
        self._models = models
        self._on_failed = on_failed
        self._is_loading = False
        self._button = icon_button(icons.CHIP, _("How the model is loaded"), self._open)
        self._button.props["aria-haspopup"] = "dialog"
        self._place = ui.element("div")
        models.changed.subscribe(self._draw)
        models.failed.subscribe(self._tell_failure)
        self._draw()

    def _draw(self) -> None:
        model = self._models.current
        self._button.set_visibility(self._models.may_manage and model is not None and model.file is not None)
        if self._models.status.phase is Phase.READY and not self._models.status.error:
            self._is_loading = False

    def _tell_failure(self, error: str) -> None:
        if self._is_loading:
            self._is_loading = False
            self._on_failed(error)

    def _open(self) -> None:
        model = self._models.current
        if model is None:
            return
        self._place.clear()
        self._trouble: ui.label | None = None
        with self._place:
            self._dialog = Dialog(model.name, close=_("Close"))
            with self._dialog.body:
                ui.label(self._memory(model)).classes("hint")
                self._form = LoadForm(self._models, model, model.defaults.load, on_change=self._tell)
                self._trouble = ui.label().classes("forecast trouble").props("role=alert")
                with ui.element("div").classes("dialog-actions"):
                    text_button(_("Reset"), self._form.reset)
                    if model.path in self._models.in_memory:
                        text_button(_("Unload"), partial(self._unload, model))
                    text_button(_("Reload with these"), partial(self._reload, model), primary=True)
        self._dialog.open()

    def _memory(self, model: ModelRef) -> str:
        n_bytes = self._models.placement.memory_of(model)
        if not n_bytes:
            return _("Not in memory; it loads with the next message.")
        total = self._models.placement.memory_in_use
        words = _("In memory, {size} of {all} in use.") if total > n_bytes else _("In memory, {size} in use.")
        return words.format(size=data_size(n_bytes), all=data_size(total))

    async def _reload(self, model: ModelRef) -> None:
        changes = self._form.changes
        if changes is None:
            self._tell(_("A value above is out of range."))
            return
        self._is_loading = True
        try:
            await self._models.reload(model, changes)
        except EngineError as error:
            self._is_loading = False
            self._tell(translated(error))
        else:
            self._dialog.close()

    async def _unload(self, model: ModelRef) -> None:
        try:
            await self._models.unload(model)
        except (EngineError, HistoryError) as error:
            self._tell(translated(error))
        else:
            self._dialog.close()

    def _tell(self, trouble: str = "") -> None:
        """Why that was not done; nothing once something else is set."""
        if self._trouble is not None:
            self._trouble.set_text(trouble)
