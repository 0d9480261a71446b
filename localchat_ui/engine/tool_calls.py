"""Tool calls in the text of a reply, told apart while it grows: names and arguments come out as they are certain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from localchat_ui.engine.tool_format import HERMES, Kind, ToolFormat
from localchat_ui.engine.tool_opening import WAIT, Opening, first_loosely, first_of, match, opening_of
from localchat_ui.engine.tool_texts import resolved
from localchat_ui.engine.tool_values import JsonScanner, value_of

Tools = Mapping[str, Mapping[str, object]]


class CallDelta(NamedTuple):
    """News of the call with this number: first its name, then JSON of its arguments piece by piece."""

    number: int
    name: str
    arguments: str


class Parsed(NamedTuple):
    """What has become certain of a reply."""

    text: str
    calls: list[CallDelta]


@dataclass
class FoundCall:
    """`arguments` is JSON; not whole if the reply ended within."""

    name: str
    arguments: str = ""


class State(Enum):
    TEXT = auto()
    CALLS = auto()  # a call may begin here
    ARGUMENTS = auto()  # JSON that is handed out as it comes
    PARAMETERS = auto()  # marks that become JSON
    OBJECT = auto()  # the rest of the object that a call is
    END = auto()


class ToolCallParser:
    """Separates the text of one reply from the calls in it.

    Calls are written as `tool_format` says; or the whole reply is JSON, one call or several of known functions alone.
    `tools` has the JSON schema of each function's arguments by its name.
    """

    def __init__(self, tools: Tools, tool_format: ToolFormat = HERMES) -> None:
        self._tools = tools
        self._format = tool_format
        self._held = ""
        self._final = False
        self._state = State.TEXT
        self._strips = True
        self._said = False
        self._bare: bool | None = None  # whether the reply is JSON and nothing else; None while nobody knows
        self._first = True
        self._scanner = JsonScanner()
        self._n_parameters = 0
        self._text = ""
        self._news: list[CallDelta] = []
        self.calls: list[FoundCall] = []

    def feed(self, text: str) -> Parsed:
        """What can be shown now that this was written, and what is new of calls."""
        self._held += text
        self._text, self._news = "", []
        steps = {
            State.TEXT: self._read_text,
            State.CALLS: self._read_opening,
            State.ARGUMENTS: self._read_arguments,
            State.PARAMETERS: self._read_parameter,
            State.OBJECT: self._read_object,
            State.END: self._read_end,
        }
        while steps[self._state]():
            pass
        return Parsed(self._text, self._news)

    def finish(self) -> Parsed:
        """What is left when the reply has ended."""
        self._final = True
        return self.feed("")

    # Each step takes what is certain off the front of what is held, and says whether there may be more.

    def _read_text(self) -> bool:
        if self._bare is None and (begun := self._held.lstrip()):
            triggers = self._format.triggers
            if not self._final and any(mark != begun and mark.startswith(begun) for mark in triggers):
                return False
            self._bare = begun[0] in "{[" and not begun.startswith(triggers)
            if self._bare:
                self._state, self._first = State.CALLS, True
                return True
        start, _ = first_of(self._held, self._format.triggers)
        if start is not None:
            before = self._held[:start].rstrip()
            self._show(before)
            self._held = self._held[len(before) :]
            self._state, self._first = State.CALLS, True
            return True
        n_held = 0 if self._final else _n_to_hold(self._held, self._format.triggers)
        text = self._take(len(self._held) - n_held)
        self._show(text.rstrip() if self._final and self.calls else text)
        return False

    def _read_opening(self) -> bool:
        opening = opening_of(self._held, self._format, self._tools, first=self._first, bare=bool(self._bare))
        if opening is WAIT and not self._final:
            return False
        if isinstance(opening, Opening):
            self._take(opening.length)
            for name, arguments in opening.whole:
                self._begin(name)
                self._go_on(arguments)
            if opening.name:
                self._begin(opening.name)
                self._scanner = JsonScanner(depth=int(opening.in_object))
                self._in_object = opening.in_object
            self._state = State[opening.then]
            self._n_parameters = 0
            self._first = opening.left
            return True
        if not self._first:
            # What closes a list of calls.
            self._held = self._held.lstrip(" \t\r\n]" if self._bare or self._format.kind is Kind.JSON else None)
        elif not self._bare:
            # No call after all: the mark is text.
            self._show(self._take(len(self._held) - len(self._held.lstrip()) + 1))
        self._strips = self._strips or not self._first
        self._bare, self._state = False, State.TEXT
        return True

    def _read_arguments(self) -> bool:
        end = self._scanner.end(self._held, level=int(self._in_object))
        self._go_on(self._take(len(self._held) if end is None else end))
        if end is not None:
            self._state = State.OBJECT if self._in_object else State.END
        return end is not None

    def _read_object(self) -> bool:
        end = self._scanner.end(self._held, level=0)
        self._take(len(self._held) if end is None else end)
        if end is not None:
            self._state = State.END
        return end is not None

    def _read_parameter(self) -> bool:
        marks = self._format.parameter
        assert marks is not None
        begun = match(self._held, marks.begin)
        ended = match(self._held, self._format.end.split(maxsplit=1)[0]) if self._format.end else None
        if begun is WAIT or ended is WAIT:
            if not self._final:
                return False
        elif isinstance(begun, int):
            rest = self._held[begun:]
            name_end, n_mark = first_loosely(rest, marks.between)
            after = rest[name_end + n_mark :] if name_end is not None else ""
            stops = (marks.end,) if not self._final else (marks.end, marks.begin, self._format.end)
            value_end, n_end = first_of(after, stops)
            if name_end is not None and (value_end is not None or self._final):
                if value_end is None:
                    # It was cut off, maybe inside of the mark.
                    n_end = _n_to_hold(after, (marks.end,))
                    value_end = len(after) - n_end
                self._parameter(rest[:name_end].strip(), after[:value_end])
                self._take(begun + name_end + n_mark + value_end + n_end)
                return True
            if not self._final:
                return False
        self._go_on("}" if self._n_parameters else "{}")
        self._state = State.END
        return True

    def _parameter(self, name: str, written: str) -> None:
        parameters = self._tools.get(self.calls[-1].name, {})
        properties = resolved(parameters, parameters).get("properties")
        schema = properties.get(name) if isinstance(properties, Mapping) else None
        value = value_of(written, resolved(schema, parameters))
        opening = ", " if self._n_parameters else "{"
        self._go_on(f"{opening}{json.dumps(name, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}")
        self._n_parameters += 1

    def _read_end(self) -> bool:
        position = 0
        for word in self._format.end.split() if not self._bare else ():
            n = match(self._held[position:], word)
            if isinstance(n, int):
                position += n
            elif n is WAIT and not self._final:
                return False
            elif n is WAIT:
                position = len(self._held)  # it was cut off inside of the mark
        self._take(position)
        self._state = State.CALLS
        return True

    def _begin(self, name: str) -> None:
        self.calls.append(FoundCall(name))
        self._news.append(CallDelta(len(self.calls) - 1, name, ""))
        self._strips = True

    def _go_on(self, arguments: str) -> None:
        if arguments:
            self.calls[-1].arguments += arguments
            self._news.append(CallDelta(len(self.calls) - 1, "", arguments))

    def _show(self, text: str) -> None:
        """White space in front of the answer and beside calls is no part of it."""
        if self._strips:
            text = text.lstrip()
            self._strips = not text
        self._text += text

    def _take(self, n: int) -> str:
        taken, self._held = self._held[:n], self._held[n:]
        return taken


def _n_to_hold(text: str, marks: tuple[str, ...]) -> int:
    """Characters at the end that may begin a call, or stand before one."""
    longest = max(map(len, marks), default=1)
    begins = (n for n in range(min(longest - 1, len(text)), 0, -1) if any(m.startswith(text[-n:]) for m in marks))
    n = next(begins, 0)
    kept = text[: len(text) - n]
    return n + len(kept) - len(kept.rstrip())
