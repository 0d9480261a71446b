"""What a chat template lets be chosen of thinking, found out by rendering it: a switch, and how much effort.

Templates give the switch names of their own. Requests say `enable_thinking` and `reasoning_effort`, whatever the model.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from localchat_ui.engine.jinja import SECONDS, TemplateTooLargeError, render_chat
from localchat_ui.engine.thinking import marks_in

Switch = tuple[str, object, object]

SWITCH, EFFORT = "enable_thinking", "reasoning_effort"
# Each with the values for off and on: Qwen and most others; DeepSeek, Kimi, Granite; Command; MiniMax; Seed.
SWITCHES: tuple[Switch, ...] = (
    (SWITCH, False, True),
    ("thinking", False, True),
    ("reasoning", False, True),
    ("thinking_mode", "disabled", "enabled"),
    ("thinking_budget", 0, -1),
)
# The usual ones first: of those that make no difference to each other, the first is offered.
USUAL_EFFORTS = ("low", "medium", "high")
EFFORTS = (*USUAL_EFFORTS, "none", "minimal", "xhigh", "max")
BY_EFFORT = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
ANY_WORD = "zqeffort"
MESSAGES = ({"role": "user", "content": "zqquestion"},)


@dataclass(frozen=True)
class ThinkingSupport:
    """`thinks`: the model thinks aloud, or may. `switch` is the template's name for whether, empty without one, with
    its values for `off` and `on`; `on_by_default` is what it does when nothing is said. `efforts` are those that make a
    difference, the least first. `has_budget`: its tokens can be limited.
    """

    thinks: bool = False
    switch: str = ""
    off: object = None
    on: object = None
    on_by_default: bool = True
    efforts: tuple[str, ...] = ()
    has_budget: bool = True

    def arguments(self, given: Mapping[str, object]) -> dict[str, object]:
        """Arguments of a request in the words of this template. Whoever names one that only this template has, wins."""
        arguments = dict(given)
        effort, wanted = arguments.get(EFFORT), arguments.get(SWITCH)
        if isinstance(effort, str) and effort not in self.efforts:
            if self.efforts:
                arguments[EFFORT] = self.nearest(effort)
            elif self.switch == EFFORT:
                del arguments[EFFORT]
        if wanted is None and isinstance(effort, str) and not (effort == "none" and effort in self.efforts):
            wanted = effort != "none"
        if wanted is None or not self.switch:
            return arguments
        return {SWITCH: wanted, self.switch: self.on if wanted else self.off} | arguments

    def nearest(self, effort: str) -> str:
        """An effort that the template knows, the next lower one if there is a choice; one of its own words stays."""
        if effort not in BY_EFFORT:
            return effort
        place = BY_EFFORT.index(effort)
        return min(self.efforts, key=lambda known: (abs(BY_EFFORT.index(known) - place), BY_EFFORT.index(known)))


NO_SUPPORT = ThinkingSupport()


@functools.lru_cache(maxsize=8)
def thinking_of(template: str, bos: str, eos: str) -> ThinkingSupport:
    """What is known of this template; nothing where it cannot be rendered."""
    try:
        return _Probe(template, bos, eos).support()
    except TemplateTooLargeError:
        return NO_SUPPORT


class _Probe:
    def __init__(self, template: str, bos: str, eos: str) -> None:
        self._template = template
        self._given = {"bos": bos, "eos": eos}
        self._until = time.monotonic() + SECONDS

    def support(self) -> ThinkingSupport:
        thinks = marks_in(self._template) is not None
        switch = next(filter(self._matters, self._named(SWITCHES)), None)
        efforts = self._efforts({switch[0]: switch[2]} if switch else {})
        if switch is None and len(efforts) == 2 and efforts[0] == "none":
            switch, efforts = (EFFORT, *efforts), ()
        if switch is None:
            return ThinkingSupport(thinks or bool(efforts), efforts=efforts)
        name, off, on = switch
        return ThinkingSupport(True, name, off, on, self._render({}) != self._render({name: off}), efforts)

    def _named(self, switches: Iterable[Switch]) -> Iterator[Switch]:
        return (switch for switch in switches if switch[0] in self._template)

    def _matters(self, switch: Switch) -> bool:
        """Whether its two values make a difference."""
        name, *values = switch
        without, with_it = (self._render({name: value}) for value in values)
        return None not in (without, with_it) and without != with_it

    def _efforts(self, switched: dict[str, object]) -> tuple[str, ...]:
        """Those that make a difference; some templates heed them only while thinking is `switched` on."""
        if EFFORT not in self._template:
            return ()
        rendered = {word: self._render({EFFORT: word, **switched}) for word in (*EFFORTS, ANY_WORD)}
        unknown = rendered[ANY_WORD] or ""
        if ANY_WORD in unknown:
            # It writes whatever it is told; these are what models were trained with.
            return USUAL_EFFORTS
        different = {text: word for word in reversed(EFFORTS) if (text := rendered[word]) is not None}
        if different.get(unknown) not in USUAL_EFFORTS:
            # Nothing but what the template does with words that it does not know.
            different.pop(unknown, None)
        if switched:
            different = {text: word for text, word in different.items() if word != "none"}
        return tuple(sorted(different.values(), key=BY_EFFORT.index)) if len(different) > 1 else ()

    def _render(self, arguments: dict[str, Any]) -> str | None:
        """None if the template refuses. Raises TemplateTooLargeError, also when all together take too long."""
        if time.monotonic() > self._until:
            raise TemplateTooLargeError
        try:
            return render_chat(self._template, MESSAGES, arguments=arguments, **self._given)
        except TemplateTooLargeError:
            raise
        except Exception:
            return None
