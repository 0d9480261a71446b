"""The settings of a conversation: sampling, which applies from the next token on, and the system prompt."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from nicegui import background_tasks, ui
from nicegui.events import ValueChangeEventArguments
from pydantic import ValidationError

from localchat_ui.chat import ChatService
from localchat_ui.conversation import ChatOptions, Conversation
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.presets import Presets
from localchat_ui.inference import ModelRegistry
from localchat_ui.ui import icons
from localchat_ui.ui.components.defaults import Defaults
from localchat_ui.ui.components.element import hint_of, icon_button
from localchat_ui.ui.components.notices import Notices
from localchat_ui.ui.components.system_prompt import SystemPrompt
from localchat_ui.ui.components.thinking_settings import ThinkingSettings

SAVE_SECONDS = 0.3


@dataclass(frozen=True)
class Dial:
    """A slider with a number box beside it. The box takes the whole range, the slider what people use of it."""

    field: str
    name: str
    low: float
    high: float
    step: float

    def within(self, value: float) -> float:
        """Where the slider stands at this value."""
        return min(max(value, self.low), self.high)


DIALS = (
    Dial("temperature", "Temperature", 0, 2, 0.05),
    Dial("top_p", "Top p", 0.05, 1, 0.01),
    Dial("top_k", "Top k", 0, 200, 1),
    Dial("min_p", "Min p", 0, 1, 0.01),
    Dial("repeat_penalty", "Repeat penalty", 0.5, 2, 0.05),
    Dial("max_tokens", "Max tokens", 16, 4096, 16),
)


class SamplingPanel:
    def __init__(
        self,
        chat: ChatService,
        models: ModelRegistry,
        presets: Presets,
        conversation: Conversation,
        *,
        notices: Notices,
    ) -> None:
        self._chat = chat
        self._notices = notices
        self._conversation = conversation
        self._inputs: dict[str, list[Any]] = {}
        self._filling = False
        self._saving: asyncio.TimerHandle | None = None
        self._n_storing = 0
        with ui.element("aside").classes("panel").props("id=settings aria-label=Settings"):
            with ui.element("div").classes("panel-title"):
                with ui.element("h2"):
                    ui.label("Settings")
                icon_button(icons.CLOSE, "Close settings", controls="settings")
            text = conversation.options.system_prompt
            prompt = SystemPrompt(presets, text, on_change=self._on_change, on_error=notices.show)
            self._inputs["system_prompt"] = [prompt.box]
            with ui.element("div").classes("dials"):
                self._thinking = ThinkingSettings(models, conversation.options, on_change=self._on_change)
                for dial in DIALS:
                    self._dial(dial)
                self._seed()
                ui.label(
                    "Kept with this conversation. A reply that is being written follows with its next token."
                ).classes("hint")
            self._defaults = Defaults(chat.defaults, options=self._options, on_reset=self._reset, on_error=notices.show)

    def show(self, conversation: Conversation) -> None:
        """Show the settings of this conversation, unless somebody is just changing them."""
        if conversation.id == self._conversation.id and (self._saving is not None or self._n_storing):
            return
        changed = self._take_change()
        if changed is not None:
            background_tasks.create(self._store(*changed), name="save settings")
        self._conversation = conversation
        self._fill(conversation.options)
        self._defaults.show()

    def _dial(self, dial: Dial) -> None:
        with ui.element("div").classes("setting"):
            with ui.element("div").classes("setting-row"):
                ui.label(dial.name).classes("caption")
                low, high = _bounds(dial.field)
                value = getattr(self._conversation.options, dial.field)
                number = ui.number(value=value, min=low, max=high, step=dial.step, on_change=self._on_change)
                number.props("outlined dense").classes("number")
                number.props["aria-label"] = f"{dial.name} value"
            reach = dial.within(value)
            slider = ui.slider(min=dial.low, max=dial.high, step=dial.step, value=reach, on_change=self._on_change)
            slider.props["aria-label"] = dial.name
            slider.on("update:model-value", lambda event: number.set_value(event.args), throttle=0.05)
            number.on_value_change(lambda event: event.value is None or slider.set_value(dial.within(event.value)))
            hint_of(number, ChatOptions.model_fields[dial.field].description)
            self._inputs[dial.field] = [number, slider]

    def _seed(self) -> None:
        with ui.element("div").classes("setting"):
            with ui.element("div").classes("setting-row"):
                ui.label("Seed").classes("caption")
                low, high = _bounds("seed")
                seed = self._conversation.options.seed
                box = ui.number(value=seed, min=low, max=high, step=1, placeholder="random", on_change=self._on_change)
                box.props("outlined dense clearable").classes("number seed")
                box.props["aria-label"] = "Seed"
            hint_of(box, ChatOptions.model_fields["seed"].description)
            self._inputs["seed"] = [box]

    def _fill(self, options: ChatOptions) -> None:
        self._filling = True
        for field, inputs in self._inputs.items():
            inputs[0].set_value(getattr(options, field))
        self._thinking.fill(options)
        self._filling = False

    def _reset(self) -> None:
        self._fill(self._chat.defaults.current)
        self._on_change()

    def _on_change(self, _: ValueChangeEventArguments[Any] | None = None) -> None:
        if self._filling:
            return
        if self._saving is not None:
            self._saving.cancel()
        self._saving = asyncio.get_running_loop().call_later(
            SAVE_SECONDS, lambda: background_tasks.create(self.save(), name="save settings")
        )

    async def save(self) -> None:
        """Save what was changed a moment ago, if anything was."""
        changed = self._take_change()
        if changed is not None:
            await self._store(*changed)

    def _take_change(self) -> tuple[Conversation, ChatOptions] | None:
        """What waits to be saved, and for which conversation; it waits no longer then."""
        if self._saving is None:
            return None
        self._saving.cancel()
        self._saving = None
        options = self._options()
        if options is None or options == self._conversation.options:
            return None
        self._conversation.options = options
        return self._conversation, options

    def _options(self) -> ChatOptions | None:
        """None while something is not a valid value; its box says so."""
        values = {field: inputs[0].value for field, inputs in self._inputs.items()}
        # A number box that was emptied keeps what it had; only the seed may be empty.
        for field in set(values) - {"seed"}:
            if values[field] is None:
                values[field] = getattr(self._conversation.options, field)
        values |= {field: int(values[field]) for field in ("top_k", "max_tokens", "seed") if values[field] is not None}
        values |= self._thinking.values
        try:
            return ChatOptions.model_validate(values)
        except ValidationError:
            return None

    async def _store(self, conversation: Conversation, options: ChatOptions) -> None:
        self._n_storing += 1
        try:
            await self._chat.set_options(conversation, options)
        except HistoryError as error:
            self._notices.show(f"The settings could not be saved: {error}")
        finally:
            self._n_storing -= 1


def _bounds(field: str) -> tuple[float | None, float | None]:
    """The smallest and largest value a field allows; one that excludes its bound allows a hundredth beside it."""
    low = high = None
    for rule in ChatOptions.model_fields[field].metadata:
        low = getattr(rule, "ge", getattr(rule, "gt", low))
        high = getattr(rule, "le", high)
    return low, high
