"""The dropdown of models, and the bar that shows one on its way into memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from localchat_ui.i18n import _, translated
from localchat_ui.inference import ChoiceRefusedError, ModelRef, ModelRegistry, Phase
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import OPTIONS_ALONE
from localchat_ui.ui.components.model_words import place_of

# The label of an option is "name\ndetails\nplace\nforecast", the place empty if it cannot be used; names come from file
# names, so they are shown as text, never as HTML.
OPTION = """
<q-item v-bind="props.itemProps" class="model-option" :class="{ unusable: !props.opt.label.split('\\n')[2] }">
  <q-item-section>
    <q-item-label>{{ props.opt.label.split("\\n")[0] }}</q-item-label>
    <q-item-label caption>{{ props.opt.label.split("\\n")[1] }}</q-item-label>
    <q-item-label caption>{{ props.opt.label.split("\\n")[3] }}</q-item-label>
    <q-item-label caption class="model-place">{{ props.opt.label.split("\\n")[2] }}</q-item-label>
  </q-item-section>
</q-item>
"""
NOTHING = """<q-item class="model-option"><q-item-section>{nothing}</q-item-section></q-item>"""
NAME = """(option) => (option?.label ?? "").split("\\n")[0]"""
# What is typed takes the place of the name; under a finger no keyboard comes up over the list.
TYPE_ANEW = """() => setTimeout(() => document.activeElement?.select?.(), 0)"""
NO_KEYBOARD = """(event) => {
  if (event.pointerType === "touch") event.currentTarget.querySelector("input").inputMode = "none";
}"""


class ModelPicker:
    def __init__(
        self,
        models: ModelRegistry,
        *,
        on_choose: Callable[[ModelRef], None],
        on_failed: Callable[[str], None],
        on_error: Callable[[str], None],
    ) -> None:
        """`on_failed` is told why what was chosen here could not be loaded."""
        self._models = models
        self._on_choose = on_choose
        self._on_failed = on_failed
        self._on_error = on_error
        self._chosen: ModelRef | None = None
        self._drawn: object = None
        self._select = ui.select(options={}, on_change=self._on_change, with_input=True).classes("model-picker")
        self._select.props('dense borderless options-dense popup-content-class="model-popup" behavior=menu')
        self._select.props["dropdown-icon"] = icons.CHEVRON
        self._select.props["aria-label"] = _("Model")
        self._select.props["placeholder"] = _("Choose a model")
        self._select.props[":option-label"] = NAME
        self._select.add_slot("option", OPTION)
        # Without it an empty list would not open, and new files would never be looked for.
        self._select.add_slot("no-option", NOTHING.format(nothing=escape(_("No model found."))))
        self._select.on("popup-show", models.refresh)
        self._select.on("popup-show", js_handler=OPTIONS_ALONE)
        self._select.on("popup-show", js_handler=TYPE_ANEW)
        self._select.on("pointerdown", js_handler=NO_KEYBOARD)
        models.changed.subscribe(self._draw)
        models.failed.subscribe(self._tell_failure)
        self._draw()

    async def _on_change(self, event: ValueChangeEventArguments[Any]) -> None:
        if event.value is None or event.value == self._shown():
            return
        chosen = self._find(event.value)
        if chosen is None or (chosen.path is not None and not await asyncio.to_thread(chosen.path.exists)):
            self._draw()  # as it was
            text = _("{name} is no longer there. It may have been moved, renamed or deleted.")
            self._on_error(text.format(name=Path(event.value).name))
            await self._models.refresh()
            return
        self._chosen = chosen
        try:
            self._models.choose(chosen)
        except ChoiceRefusedError:
            self._chosen = None
            self._draw()  # as it was; the hint says why
            return
        if self._chosen is not None:
            self._on_choose(chosen)

    def _tell_failure(self, error: str) -> None:
        """What was chosen elsewhere and failed concerns nobody here."""
        if self._chosen is not None:
            self._chosen = None
            self._on_failed(translated(error))

    def _find(self, key: str) -> ModelRef | None:
        return next((model for model in self._models.models if _key(model) == key), None)

    def _draw(self) -> None:
        status = self._models.status
        if self._chosen and status.phase is Phase.READY and self._chosen.is_same(status.model) and not status.error:
            self._chosen = None
        self._draw_right()
        drawn = (self._listed(), status.model, status.target, self._models.in_memory, self._models.placement.cached)
        if drawn == self._drawn and self._shown() == self._select.value:
            return  # a load has come further
        self._drawn = drawn
        options = {_key(model): self._label(model) for model in self._listed()}
        if options != self._select.options or self._shown() != self._select.value:
            self._select.set_options(options, value=self._shown())

    def _draw_right(self) -> None:
        """Without the right to choose it only says which model answers."""
        fixed = not self._models.may_choose
        if fixed != bool(self._select.props.get("readonly")):
            self._select.props["readonly"] = self._select.props["hide-dropdown-icon"] = fixed
            self._select.props["title"] = _("Administrators choose the model here.") if fixed else None
            self._select.update()

    def _listed(self) -> list[ModelRef]:
        """What was found, and what is in use even if its file has gone."""
        shown = self._models.status.target or self._models.status.model
        found = [model for model in self._models.models if model.error or model.kind.can_chat]
        found.sort(key=lambda model: model.error is not None)
        return found if shown is None or shown in found else [shown, *found]

    def _label(self, model: ModelRef) -> str:
        place = "" if model.error else place_of(self._models, model)
        forecast = translated(self._models.forecast(model).short)
        return "\n".join((model.name, translated(model.details), place, forecast))

    def _shown(self) -> str | None:
        shown = self._models.status.target or self._models.status.model
        return _key(shown) if shown else None


def _key(model: ModelRef) -> str:
    return str(model.path or model.id)


class ModelProgress:
    """A thin bar below the header while a model is loaded."""

    def __init__(self, models: ModelRegistry) -> None:
        self._models = models
        with ui.element("div").classes("model-progress") as self._bar:
            self._fill = ui.element("div")
        self._bar.props["role"] = "progressbar"
        self._bar.props["aria-label"] = _("Loading the model")
        models.changed.subscribe(self._draw)
        self._draw()

    def _draw(self) -> None:
        status = self._models.status
        self._bar.set_visibility(status.phase is Phase.LOADING)
        self._bar.props["aria-valuenow"] = round(100 * status.share)
        self._bar.update()
        self._fill.style(f"width: {status.share:.0%}")
