"""How the model in use thinks before it answers: only what its chat template lets be chosen is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from localchat_ui.conversation import ChatOptions
from localchat_ui.inference import ModelRegistry
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import OPTIONS_ALONE, hint_of

DEFAULT = "default"


class ThinkingSettings:
    """A switch, an effort and a budget. What is not shown for this model stays with the conversation all the same."""

    def __init__(
        self,
        models: ModelRegistry,
        options: ChatOptions,
        *,
        on_change: Callable[[ValueChangeEventArguments[Any]], None],
    ) -> None:
        self._models = models
        self._on_change = on_change
        self._thinking: bool | None = None
        self._effort: str | None = None
        self._filling = False
        with ui.element("div") as self._section:
            self._switch_row = self._draw_switch()
            self._effort_row = self._draw_effort()
            self._budget_row = self._draw_budget()
        models.changed.subscribe(self._offer)
        self._support = models.thinking
        self.fill(options)

    @property
    def values(self) -> dict[str, Any]:
        """What is chosen, under the names of `ChatOptions`."""
        budget = self._budget.value
        return {
            "thinking": self._thinking,
            "reasoning_effort": self._effort,
            "thinking_budget": None if budget is None else int(budget),
        }

    def fill(self, options: ChatOptions) -> None:
        """Show the choices of a conversation."""
        self._thinking, self._effort = options.thinking, options.reasoning_effort
        self._filling = True
        self._budget.set_value(options.thinking_budget)
        self._filling = False
        self._show()

    def _draw_switch(self) -> ui.element:
        with ui.element("div").classes("setting") as row:
            with ui.element("div").classes("setting-row"):
                ui.label("Thinking").classes("caption")
                self._switch = ui.switch(on_change=self._toggle).props("dense")
                self._switch.props["aria-label"] = "Thinking"
            hint_of(self._switch, "The model thinks before it answers: slower, and better at what is hard.")
        return row

    def _draw_effort(self) -> ui.element:
        with ui.element("div").classes("setting") as row:
            ui.label("Reasoning effort").classes("caption")
            self._select = ui.select(options=[], on_change=self._choose).classes("preset effort")
            self._select.props('outlined dense options-dense behavior=menu popup-content-class="preset-popup"')
            self._select.props["dropdown-icon"] = icons.CHEVRON
            self._select.props["aria-label"] = "Reasoning effort"
            self._select.on("popup-show", js_handler=OPTIONS_ALONE)
        return row

    def _draw_budget(self) -> ui.element:
        with ui.element("div").classes("setting") as row:
            with ui.element("div").classes("setting-row"):
                ui.label("Thinking budget").classes("caption")
                self._budget = ui.number(min=0, max=32768, step=64, placeholder="no limit", on_change=self._tell)
                self._budget.props("outlined dense clearable").classes("number seed")
                self._budget.props["aria-label"] = "Thinking budget"
            hint_of(self._budget, ChatOptions.model_fields["thinking_budget"].description)
        return row

    def _offer(self) -> None:
        """Follow the model in use."""
        if self._support != self._models.thinking:
            self._support = self._models.thinking
            self._show()

    def _show(self) -> None:
        support = self._support
        on = not support.switch or (support.on_by_default if self._thinking is None else self._thinking)
        self._section.set_visibility(support.thinks)
        self._switch_row.set_visibility(bool(support.switch))
        self._effort_row.set_visibility(on and bool(support.efforts))
        self._budget_row.set_visibility(on)
        self._filling = True
        self._switch.set_value(on)
        efforts = {DEFAULT: "Default", **{effort: effort.capitalize() for effort in support.efforts}}
        # One that this model does not know is sent as the nearest one it knows.
        shown = support.nearest(self._effort) if self._effort and support.efforts else DEFAULT
        self._select.set_options(efforts, value=shown if shown in efforts else DEFAULT)
        self._filling = False

    def _toggle(self, event: ValueChangeEventArguments[Any]) -> None:
        if not self._filling:
            self._thinking = bool(event.value)
            self._show()
            self._on_change(event)

    def _choose(self, event: ValueChangeEventArguments[Any]) -> None:
        if not self._filling:
            self._effort = None if event.value in (None, DEFAULT) else str(event.value)
            self._on_change(event)

    def _tell(self, event: ValueChangeEventArguments[Any]) -> None:
        if not self._filling:
            self._on_change(event)
