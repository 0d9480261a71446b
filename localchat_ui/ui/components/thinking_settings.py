"""How the model in use thinks before it answers: only what its chat template lets be chosen is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from localchat_ui.conversation import ChatOptions
from localchat_ui.i18n import _
from localchat_ui.inference import ModelRegistry
from localchat_ui.text import N_
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import OPTIONS_ALONE, hint_of
from localchat_ui.ui.components.setting import Setting

DEFAULT = "default"
EFFORTS = {
    # NOTE: how much effort a model takes to think
    "none": N_("None"),
    "minimal": N_("Minimal"),
    "low": N_("Low"),
    "medium": N_("Medium"),
    "high": N_("High"),
    "xhigh": N_("Xhigh"),
    "max": N_("Max"),
}


class ThinkingSettings:
    """A switch and an effort. What is not shown for this model stays with the conversation all the same."""

    def __init__(
        self,
        models: ModelRegistry,
        options: ChatOptions,
        *,
        budget: Setting,
        defaults: Callable[[], ChatOptions],
        on_change: Callable[[ValueChangeEventArguments[Any] | None], None],
    ) -> None:
        """`budget` is shown as long as the model thinks; `defaults` is what a new chat starts with."""
        self._models = models
        self._defaults = defaults
        self._on_change = on_change
        self._thinking: bool | None = None
        self._effort: str | None = None
        self._filling = False
        self._switch_setting = self._draw_switch()
        self._effort_setting = self._draw_effort()
        self._budget_setting = budget
        self.settings = (self._switch_setting, self._effort_setting)
        models.changed.subscribe(self._follow)
        self._support = models.thinking
        self.fill(options)

    @property
    def values(self) -> dict[str, Any]:
        """What is chosen, under the names of `ChatOptions`."""
        return {"thinking": self._thinking, "reasoning_effort": self._effort}

    def fill(self, options: ChatOptions) -> None:
        """Show the choices of a conversation."""
        self._thinking, self._effort = options.thinking, options.reasoning_effort
        self._show()

    def mark(self) -> None:
        """Show what differs from the defaults."""
        defaults = self._defaults()
        self._switch_setting.mark(self._thinking != defaults.thinking)
        self._effort_setting.mark(self._effort != defaults.reasoning_effort)

    def _draw_switch(self) -> Setting:
        text = _("The model thinks before it answers: slower, and better at what is hard.")
        setting = Setting(_("Thinking"), on_reset=self._reset_thinking, words=f"{text} {_('reasoning')}")
        with setting.row:
            self._switch = ui.switch(on_change=self._toggle).props("dense")
            self._switch.props["aria-label"] = _("Thinking")
        with setting.body:
            hint_of(self._switch, text)
        setting.focus_after_reset(self._switch)
        return setting

    def _draw_effort(self) -> Setting:
        setting = Setting(_("Reasoning effort"), on_reset=self._reset_effort, words=_("thinking"))
        with setting.body:
            self._select = ui.select(options=[], on_change=self._choose).classes("preset effort")
            self._select.props('outlined dense options-dense behavior=menu popup-content-class="preset-popup"')
            self._select.props["dropdown-icon"] = icons.CHEVRON
            self._select.props["aria-label"] = _("Reasoning effort")
            self._select.on("popup-show", js_handler=OPTIONS_ALONE)
        setting.focus_after_reset(self._select)
        return setting

    def _follow(self) -> None:
        """Follow the model in use."""
        if self._support != self._models.thinking:
            self._support = self._models.thinking
            self._show()

    def _show(self) -> None:
        support = self._support
        on = not support.switch or (support.on_by_default if self._thinking is None else self._thinking)
        self._switch_setting.offer(support.thinks and bool(support.switch))
        self._effort_setting.offer(support.thinks and on and bool(support.efforts))
        self._budget_setting.offer(support.thinks and on and support.has_budget)
        self._filling = True
        self._switch.set_value(on)
        efforts = {DEFAULT: _("Default"), **{effort: _(EFFORTS[effort]) for effort in support.efforts}}
        # One that this model does not know is sent as the nearest one it knows.
        shown = support.nearest(self._effort) if self._effort and support.efforts else DEFAULT
        self._select.set_options(efforts, value=shown if shown in efforts else DEFAULT)
        self._filling = False

    def _reset_thinking(self) -> None:
        self._thinking = self._defaults().thinking
        self._show()
        self._on_change(None)

    def _reset_effort(self) -> None:
        self._effort = self._defaults().reasoning_effort
        self._show()
        self._on_change(None)

    def _toggle(self, event: ValueChangeEventArguments[Any]) -> None:
        if not self._filling:
            self._thinking = bool(event.value)
            self._show()
            self._on_change(event)

    def _choose(self, event: ValueChangeEventArguments[Any]) -> None:
        if not self._filling:
            self._effort = None if event.value in (None, DEFAULT) else str(event.value)
            self._on_change(event)
