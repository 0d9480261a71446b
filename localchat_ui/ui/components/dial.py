"""Numbers of the settings panel: a box that takes what is allowed, and a slider for what people use of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments
from pydantic import ValidationError

from localchat_ui.conversation import ChatOptions
from localchat_ui.i18n import _, number, translated
from localchat_ui.text import N_
from localchat_ui.ui.components.element import hint_of
from localchat_ui.ui.components.setting import Setting


@dataclass(frozen=True)
class Dial:
    """A field of the options. The box takes the whole range, the slider from `low` to `high`."""

    field: str
    name: str
    low: float = 0
    high: float = 0
    step: float = 1
    # What an empty box stands for.
    empty: str = ""

    @property
    def has_slider(self) -> bool:
        return self.low < self.high

    def within(self, value: float) -> float:
        """Where the slider stands at this value."""
        return min(max(value, self.low), self.high)


MAX_TOKENS = Dial("max_tokens", N_("Max tokens"), 16, 4096, 16)
# NOTE: in an empty box for the seed
SEED = Dial("seed", N_("Seed"), empty=N_("Random"))
THINKING_BUDGET = Dial("thinking_budget", N_("Thinking budget"), step=64, empty=N_("No limit"))
SAMPLING = (
    Dial("temperature", N_("Temperature"), 0, 2, 0.05),
    Dial("top_p", N_("Top p"), 0.05, 1, 0.01),
    Dial("top_k", N_("Top k"), 0, 200, 1),
    Dial("min_p", N_("Min p"), 0, 1, 0.01),
    Dial("repeat_penalty", N_("Repeat penalty"), 0.5, 2, 0.05),
    SEED,
)


class DialSetting:
    """A box that says beside it when its value is not allowed; what applied before goes on to apply then."""

    def __init__(
        self,
        dial: Dial,
        value: float | None,
        *,
        on_change: Callable[[ValueChangeEventArguments[Any]], None],
        on_reset: Callable[[], None],
    ) -> None:
        hint, name = translated(ChatOptions.model_fields[dial.field].description or ""), _(dial.name)
        self.setting = Setting(name, on_reset=on_reset, words=hint)
        self._dial = dial
        with self.setting.row:
            # Without `min` and `max`, to which NiceGUI would move a value without a word.
            self._box = ui.number(
                value=value, step=dial.step, format="%.10g", validation=self._problem, on_change=on_change
            )
            self._box.props("outlined dense hide-bottom-space no-error-icon").classes("number")
            self._box.props["aria-label"] = _("{name} value").format(name=name) if dial.has_slider else name
        with self.setting.body:
            if dial.has_slider:
                self._draw_slider(value or 0, on_change)
            else:
                self._box.props["placeholder"] = _(dial.empty)
                self._box.classes("seed")
            hint_of(self._box, hint)
        self.setting.focus_after_reset(self._box)

    def _draw_slider(self, value: float, on_change: Callable[[ValueChangeEventArguments[Any]], None]) -> None:
        dial, box = self._dial, self._box
        at = dial.within(value)
        slider = ui.slider(min=dial.low, max=dial.high, step=dial.step, value=at, on_change=on_change)
        slider.props["aria-label"] = _(dial.name)
        slider.on("update:model-value", lambda event: box.set_value(event.args), throttle=0.05)
        box.on_value_change(lambda event: event.value is None or slider.set_value(dial.within(event.value)))

    @property
    def value(self) -> float | None:
        value: float | None = self._box.value
        return value

    def fill(self, value: float | None) -> None:
        self._box.set_value(value)

    @property
    def is_allowed(self) -> bool:
        return self._problem(self._box.value) is None

    def _problem(self, value: float | None) -> str | None:
        """Why a value is not allowed. A box that was emptied keeps what it had."""
        if value is None:
            return None
        try:
            ChatOptions.model_validate({self._dial.field: value})
        except ValidationError:
            return allowed(self._dial.field)
        return None


def allowed(field: str) -> str:
    """The values that a field of the options takes, in words: `Must be from 0 to 2.`"""
    info = ChatOptions.model_fields[field]
    rules = {name: value for rule in info.metadata for name, value in asdict(rule).items()}
    is_whole = info.annotation is not float
    if "ge" in rules:
        text = _("Must be a whole number from {low} to {high}.") if is_whole else _("Must be from {low} to {high}.")
    else:
        text = _("Must be above {low}, up to {high}.")
    return text.format(low=number(rules["ge" if "ge" in rules else "gt"]), high=number(rules["le"]))
