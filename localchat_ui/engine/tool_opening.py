"""Where a call begins: what stands before its arguments, in any family's marks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from localchat_ui.engine.tool_format import Kind, ToolFormat
from localchat_ui.engine.tool_values import call_in, plain_name, python_calls

# The object of a call whose name comes before its arguments, up to those.
HEAD = re.compile(
    r'\{\s*(?:"(?:id|type|tool_call_id)"\s*:\s*(?:"(?:[^"\\]|\\.)*"|\d+)\s*,\s*)*'
    r'"(?:name|tool_name|function)"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters|args)"\s*:\s*(?=\{)'
)
# JSON that ends so near behind a mistake may only be unfinished.
UNFINISHED = 8
LONGEST_HEADER = 300
# Of the marks between a name and its arguments: the last, behind which nothing comes but those.
LAST_MARK = re.compile(r"[\[<][^\s\[<]*$|[^\s\[<]+$")


class Wait:
    """More has to be written before anybody knows."""


WAIT = Wait()


@dataclass(frozen=True)
class Opening:
    """So much of the text opens a call: its `name`, if its arguments follow, or whole calls.

    `in_object` are arguments that stand in an object with the name. `left`: there may be no more calls here.
    """

    length: int
    name: str = ""
    then: Literal["ARGUMENTS", "PARAMETERS", "END", "TEXT"] = "END"
    whole: tuple[tuple[str, str], ...] = ()
    in_object: bool = False
    left: bool = False


def opening_of(
    text: str, tool_format: ToolFormat, names: Collection[str], *, first: bool, bare: bool
) -> Opening | Wait | None:
    """What opens the next call, the `first` one of a turn or a further one; None when no call does.

    `bare` calls are JSON without any marks, of known functions alone.
    """
    kind = Kind.JSON if bare else tool_format.kind
    skipped = " \t\r\n,;]" if kind is Kind.JSON else None
    position = len(text) - len(text.lstrip(skipped))
    if bare:
        return _object(text, position, tool_format, names, known=True)
    n = match(text[position:], tool_format.section) if tool_format.section else None
    if n is WAIT:
        return WAIT
    inside = isinstance(n, int) or not first
    position += n if isinstance(n, int) else 0
    if inside and tool_format.section_end:
        n = match(text[position:], tool_format.section_end)
        if n is WAIT:
            return WAIT
        if isinstance(n, int):
            return Opening(position + n, then="TEXT")
    opened = tool_format.calls == ("",) and inside and bool(tool_format.section or not first)
    waits = False
    for call in filter(None, tool_format.calls):
        n = match(text[position:], call)
        waits = waits or n is WAIT
        if isinstance(n, int):
            position, opened = position + n, True
            break
    if not opened:
        return WAIT if waits or not text[position:].strip() else None
    return READERS[kind](text, position, tool_format, names)


def match(text: str, mark: str) -> int | Wait | None:
    """How much of the text is this mark, with any white space before and in it; WAIT when it may become that."""
    position = len(text) - len(text.lstrip())
    for word in mark.split():
        rest = text[position:]
        if not rest.startswith(word):
            return WAIT if word.startswith(rest) else None
        position += len(word)
        position += len(text[position:]) - len(text[position:].lstrip())
    return position


def first_of(text: str, marks: Sequence[str]) -> tuple[int | None, int]:
    """Where the first of these marks stands, and its length."""
    found = [(start, len(mark)) for mark in marks if mark and (start := text.find(mark)) >= 0]
    return min(found, key=lambda each: (each[0], -each[1])) if found else (None, 0)


def first_loosely(text: str, mark: str) -> tuple[int | None, int]:
    """The same for one mark, with any white space where it has some."""
    found = re.search(r"\s*".join(map(re.escape, mark.split())), text)
    return (found.start(), len(found[0])) if found else (None, 0)


def _object(
    text: str, position: int, tool_format: ToolFormat, names: Collection[str], *, known: bool = False
) -> Opening | Wait | None:
    """A call that is an object of JSON, perhaps one of a list."""
    rest = text[position:].lstrip(" \t\r\n[")
    position = len(text) - len(rest)
    if not rest.startswith("{"):
        return None if rest else WAIT
    if head := HEAD.match(rest):
        name = plain_name(str(json.loads(head[1], strict=False)), names)
        opening = Opening(position + head.end(), name, "ARGUMENTS", in_object=True)
        return None if known and name not in names else opening
    try:
        value, length = json.JSONDecoder(strict=False).raw_decode(rest)
    except json.JSONDecodeError as error:
        unfinished = "Unterminated" in error.msg or len(rest) - error.pos <= UNFINISHED
        return WAIT if unfinished else None
    except RecursionError:
        return None
    call = call_in(value, names)
    return None if call is None or (known and call[0] not in names) else Opening(position + length, whole=(call,))


def _before_json(text: str, position: int, tool_format: ToolFormat, names: Collection[str]) -> Opening | Wait | None:
    """A name, perhaps something between, then JSON."""
    rest = text[position:]
    start = rest.find("{")
    end, _ = first_of(rest, tool_format.end.split()[:1])
    without = end is not None and (start < 0 or end < start)
    header = rest[: end if without else start if start >= 0 else None]
    mark = LAST_MARK.search(tool_format.between.strip())
    name, between, behind = header.partition(mark[0]) if mark else (header, "", "")
    written = re.match(r"\s*([^\s<\[(]+)", name)
    if without and written:
        return Opening(position + (end or 0), whole=((plain_name(written[1], names), "{}"),))
    if start < 0:
        return WAIT if len(rest) < LONGEST_HEADER else None
    if written is None or (mark and not between) or behind.strip() or (not mark and name[written.end() :].strip()):
        return None
    return Opening(position + start, plain_name(written[1], names), "ARGUMENTS")


def _before_parameters(
    text: str, position: int, tool_format: ToolFormat, names: Collection[str]
) -> Opening | Wait | None:
    """A name and what closes it, before parameters between marks."""
    assert tool_format.parameter is not None
    rest = text[position:]
    closing = tool_format.between.strip()
    stops = (closing,) if closing else ("\n", tool_format.parameter.begin, tool_format.end.split()[0])
    end, n_end = first_of(rest.lstrip(), stops)
    if end is None:
        return WAIT if len(rest) < LONGEST_HEADER else None
    name = rest.lstrip()[:end].strip()
    if not name or "<" in name:
        return None
    n_white = len(rest) - len(rest.lstrip())
    return Opening(position + n_white + end + (n_end if closing else 0), plain_name(name, names), "PARAMETERS")


def _python(text: str, position: int, tool_format: ToolFormat, names: Collection[str]) -> Opening | Wait | None:
    """A list of calls as Python writes it, whole."""
    rest = text[position:]
    end = _end_of_python(rest)
    if end is None:
        return WAIT
    calls = python_calls(rest[:end])
    return Opening(position + end, whole=tuple(calls)) if calls else None


def _end_of_python(text: str) -> int | None:
    """Where the brackets of an expression are closed."""
    depth, quote, position = 0, "", 0
    while position < len(text):
        letter = text[position]
        position += 1
        if quote:
            position += letter == "\\"
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
            if depth <= 0:
                return position
    return None


READERS: dict[Kind, Callable[[str, int, ToolFormat, Collection[str]], Opening | Wait | None]] = {
    Kind.JSON: _object,
    Kind.NAMED: _before_json,
    Kind.TAGGED: _before_parameters,
    Kind.PYTHON: _python,
}
