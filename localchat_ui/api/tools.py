"""Tool calls in the text of a reply: found while it grows, so that what is no call streams on."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

BEGIN = "<tool_call>"
END = "</tool_call>"


@dataclass(frozen=True)
class FoundCall:
    """`arguments` is JSON."""

    name: str
    arguments: str


class ToolCallParser:
    """Separates the text of one reply from the calls in it.

    Calls stand between Hermes' and Qwen's marks, or the whole reply is JSON: one call or a list of them, of known
    functions alone.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._held = ""
        self._said = False
        self._strips = True
        self.calls: list[FoundCall] = []

    def feed(self, text: str) -> tuple[str, list[FoundCall]]:
        """What can be shown now, and the calls that are complete now."""
        self._held += text
        if not self._said and not self.calls and self._held.lstrip()[:1] in ("", "{", "["):
            return "", []
        return self._take(final=False)

    def finish(self) -> tuple[str, list[FoundCall]]:
        """What is left when the reply has ended."""
        if not self._said and not self.calls and (calls := self._plain_calls()):
            self._held = ""
            self.calls += calls
            return "", calls
        return self._take(final=True)

    def _take(self, *, final: bool) -> tuple[str, list[FoundCall]]:
        shown = ""
        found: list[FoundCall] = []
        while True:
            before, begun, rest = self._held.partition(BEGIN)
            if not begun:
                break
            inner, ended, after = rest.partition(END)
            if not ended and not final:
                text = before.rstrip()
                self._held = self._held[len(text) :]
                return shown + self._shown(text), found
            if call := _call(_parsed(inner)):
                shown += self._shown(before.rstrip())
                found.append(call)
                self.calls.append(call)
                self._strips = True
            else:
                shown += self._shown(before + begun + inner + ended)
            self._held = after
        cut = len(self._held) - (0 if final else _n_to_hold(self._held))
        text, self._held = self._held[:cut], self._held[cut:]
        return shown + self._shown(text.rstrip() if final and self.calls else text), found

    def _shown(self, text: str) -> str:
        """White space in front of the answer and beside calls is no part of it."""
        if self._strips:
            text = text.lstrip()
            self._strips = not text
        self._said = self._said or bool(text)
        return text

    def _plain_calls(self) -> list[FoundCall]:
        value = _parsed(self._held)
        calls = [_call(item) for item in (value if isinstance(value, list) else [value])]
        known = [call for call in calls if call and call.name in self._names]
        return known if len(known) == len(calls) else []


def _n_to_hold(text: str) -> int:
    """Characters at the end that may begin a call, or stand before one."""
    for n in range(min(len(BEGIN) - 1, len(text)), 0, -1):
        if text.endswith(BEGIN[:n]):
            break
    else:
        n = 0
    kept = text[: len(text) - n]
    return n + len(kept) - len(kept.rstrip())


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _call(value: object) -> FoundCall | None:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return FoundCall(value["name"], arguments)
