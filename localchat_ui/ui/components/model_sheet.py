"""All that is known of a model, in a dialog: what its file says, its checksum and template, and its defaults."""

from __future__ import annotations

from functools import partial

from nicegui import ui

from localchat_ui.chat import ChatDefaults
from localchat_ui.i18n import _, translated
from localchat_ui.inference import ModelLibrary, ModelRef, ModelRegistry
from localchat_ui.library.errors import LibraryError
from localchat_ui.text import N_, counted
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.model_defaults_form import ModelDefaultsForm

LOOK_SECONDS = 0.3


class ModelSheet:
    """Stands where it is made; one at a time."""

    def __init__(self, models: ModelRegistry, library: ModelLibrary, defaults: ChatDefaults) -> None:
        self._models = models
        self._library = library
        self._defaults = defaults
        self._place = ui.element("div")

    async def open(self, model: ModelRef) -> None:
        # Where things lie on this machine, and how they are set, is for those who manage it.
        manages = self._library.may_manage
        known = await self._library.checksums.known(model.path) if model.path else {}
        self._place.clear()
        with self._place:
            dialog = Dialog(model.name, close=_("Close"))
            with dialog.body:
                with ui.element("dl").classes("model-sheet"):
                    for name, value in self._rows(model).items():
                        if name != "File" or manages:
                            _row(name, value)
                    if model.file is not None and manages:
                        with _entry("sha256") as self._checksum:
                            self._draw_checksum(model, known)
                self._draw_template(model)
                if manages and model.refusal is None:
                    ModelDefaultsForm(self._models, self._defaults, model)
        dialog.open()

    def _rows(self, model: ModelRef) -> dict[str, str]:
        file = model.file
        if file is None:
            return {N_("Server"): model.engine, N_("Name there"): model.remote_id, N_("About"): model.details}
        rows = file.sheet | {N_("Name for programs"): model.id}
        if model.context_length:
            rows[N_("Context in use")] = counted("{n} token", "{n} tokens", model.context_length)
        if model.recommended:
            values = (f"{name.replace('_', ' ')} {value:g}" for name, value in model.recommended.items())
            rows[N_("Recommended by its maker")] = ", ".join(values)
        return rows | self._models.forecast(model).sheet

    def _draw_checksum(self, model: ModelRef, known: dict[str, str]) -> None:
        self._checksum.clear()
        with self._checksum:
            for name, value in known.items():
                ui.label(value if len(known) == 1 else f"{name}: {value}").classes("checksum")
            if not known:
                self._progress = ui.label().classes("hint").props("role=status")
                compute = text_button(_("Compute"), partial(self._compute, model))
                compute.props["aria-label"] = _("Compute the sha256")

    async def _compute(self, model: ModelRef) -> None:
        assert model.path is not None
        share = 0.0

        def reach(now: float) -> None:
            nonlocal share
            share = now

        progress = self._progress
        with self._checksum:
            timer = ui.timer(LOOK_SECONDS, lambda: progress.set_text(_("{share} read").format(share=f"{share:.0%}")))
        try:
            known = await self._library.checksums.compute(model.path, reach)
        except LibraryError as error:
            progress.set_text(translated(error))
        else:
            self._draw_checksum(model, known)
        finally:
            timer.cancel()

    def _draw_template(self, model: ModelRef) -> None:
        if model.file is None or not model.file.kind.can_chat or model.error:
            return

        async def show() -> None:
            if not text.text:
                try:
                    text.set_text(await self._library.template(model) or _("It has none; a plain one is used."))
                except LibraryError as error:
                    text.set_text(translated(error))

        with ui.element("details").classes("prompt") as details:
            with ui.element("summary"):
                ui.label(_("Chat template"))
            with ui.element("pre").props("tabindex=0"):
                text = ui.label()
        details.on("toggle", show, args=[])


def _entry(name: str) -> ui.element:
    with ui.element("div"):
        with ui.element("dt"):
            ui.label(name)
        return ui.element("dd")


def _row(name: str, value: str) -> None:
    with _entry(_(name)):
        ui.label(translated(value)).props("dir=auto")
