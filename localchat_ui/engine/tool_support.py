"""What a chat template does with tools, found out by rendering it: it says itself how calls look.

A conversation is rendered with calls of invented names and without; what differs, and stands around those names, is the
family's way to write calls.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass, replace
from typing import Any

from localchat_ui.engine.jinja import TemplateTooLargeError, render_chat
from localchat_ui.engine.tool_format import HERMES, HIDDEN, ID, KNOWN_FORMATS, SHAPE, Kind, ParameterMarks, ToolFormat

QUESTION, ANSWER, RESULT = "zqquestion", "zqanswer", "zqresult"
NAMES = ("zqone", "zqtwo")
KEYS = ("zqkeya", "zqkeyb")
VALUES = ("zqvaluea", "zqvalueb")
IDS = ("zqid00001", "zqid00002")
Message = dict[str, Any]


@dataclass(frozen=True)
class ToolSupport:
    """What a template writes of tools by itself, and the `format` of calls that its model writes and reads.

    `several` calls in one turn; `as_text`: it wants arguments as JSON, not as values.
    """

    format: ToolFormat = HERMES
    describes: bool = False
    writes_calls: bool = False
    writes_results: bool = False
    several: bool = False
    as_text: bool = False


@functools.lru_cache(maxsize=8)
def support_of(template: str, bos: str, eos: str) -> ToolSupport:
    """What is known of this template; nothing where it cannot be rendered."""
    return _Probe(template, bos, eos).support()


class _Probe:
    def __init__(self, template: str, bos: str, eos: str) -> None:
        self._template = template
        self._given = {"bos": bos, "eos": eos}
        self._too_large = False

    def support(self) -> ToolSupport:
        plain = self._render([_user(), _assistant(ANSWER)])
        known = next((known for mark, known in KNOWN_FORMATS.items() if mark in self._template), None)
        described = self._render([_user()], tools=True)
        describes = NAMES[0] in described
        as_text, one = next(
            ((text, one) for text in (False, True) if _shows(one := self._with_calls(1, as_text=text))), (False, "")
        )
        two = self._with_calls(2, as_text=as_text) if one else ""
        several = two.count(VALUES[0]) == 2
        derived = _format_of(plain, one, two if several else "") if one else None
        hidden = any(mark in self._template for mark in HIDDEN)
        if known and derived:
            known = replace(known, shape=derived.shape)
        return ToolSupport(
            format=known if known and (hidden or derived is None or not derived.triggers) else derived or HERMES,
            describes=describes,
            writes_calls=describes and bool(one),
            writes_results=describes and RESULT in self._with_calls(1, as_text=as_text, results=True),
            several=several,
            as_text=as_text,
        )

    def _with_calls(self, n: int, *, as_text: bool, results: bool = False) -> str:
        """A question, calls that answer it, and their results if the template wants those, too."""
        calls = [_call(number, as_text=as_text) for number in range(n)]
        asked = [_user(), {"role": "assistant", "content": "", "tool_calls": calls}]
        answers = [
            {"role": "tool", "content": RESULT, "name": NAMES[number], "tool_call_id": IDS[number]}
            for number in range(n)
        ]
        if results:
            return self._render([*asked, *answers], tools=True)
        return self._render(asked, tools=True) or self._render([*asked, *answers], tools=True)

    def _render(self, messages: list[Message], *, tools: bool = False) -> str:
        """Empty if the template refuses."""
        arguments = {"tools": [_tool(name) for name in NAMES]} if tools else {}
        if self._too_large:
            return ""
        try:
            return render_chat(self._template, messages, arguments=arguments, **self._given)
        except TemplateTooLargeError:
            self._too_large = True
        except Exception:  # noqa: S110 - whatever it is, the template cannot do this
            pass
        return ""


def _format_of(plain: str, one: str, two: str) -> ToolFormat | None:
    """The marks around the name and the arguments of a call; of two, what is between them."""
    region = _after_question(one)
    without = _after_question(plain)
    head = _common(without.partition(ANSWER)[0], region)
    tail = _common(without.partition(ANSWER)[2][::-1], region[::-1])
    region = region[head : len(region) - tail]
    if NAMES[0] not in region:
        return None
    second = _after_question(two)
    for read in (_as_object, _as_named, _as_python, _as_tagged):
        if found := read(region, second):
            return found
    return None


def _as_object(region: str, two: str) -> ToolFormat | None:
    """Name and arguments in one object."""
    start, end = _json_with(region, NAMES[0], VALUES[0])
    if start < 0 or region.find(NAMES[0]) < start:
        return None
    is_list = region[start] == "["
    begin, closing = region[:start], region[end:]
    between = ""
    if two and not is_list:
        first_end = _json_with(two, NAMES[0], VALUES[0])[1]
        next_start = _json_with(two[first_end:], NAMES[1], VALUES[0])[0]
        between = two[first_end : first_end + next_start] if next_start >= 0 else ""
    shape = _shape_of(region[start:end].removeprefix("[").removesuffix("]") if is_list else region[start:end])
    if is_list:
        return ToolFormat(Kind.JSON, section=begin.strip(), section_end=closing.strip(), is_list=True, shape=shape)
    call, end_mark, section, section_end = _split(begin, between, closing)
    return ToolFormat(Kind.JSON, (call,) if call.strip() else ("",), end_mark, section, section_end, shape=shape)


def _shape_of(written: str) -> tuple[str, str, str]:
    """What stands around the name and the arguments in the object that is a call."""
    name = written.find(NAMES[0])
    behind = written[name + len(NAMES[0]) :]
    start, end = _json_with(behind, KEYS[0], VALUES[1])
    if start < 0:
        return SHAPE
    before, between, after = (re.sub(r"zqid\d+", ID, part) for part in (written[:name], behind[:start], behind[end:]))
    return before.lstrip(), between, after.rstrip()


def _as_named(region: str, two: str) -> ToolFormat | None:
    """A name, and behind it an object of its arguments."""
    name_end = region.find(NAMES[0]) + len(NAMES[0])
    start, end = _json_with(region[name_end:], KEYS[0], VALUES[1])
    if start < 0 or "(" in region[name_end : name_end + start].strip()[:1]:
        return None
    between = ""
    if two:
        first = two.find(NAMES[0]) + len(NAMES[0])
        first_end = first + _json_with(two[first:], KEYS[0], VALUES[1])[1]
        between = two[first_end : two.find(NAMES[1], first_end)]
    begin = region[: name_end - len(NAMES[0])]
    call, end_mark, section, section_end = _split(begin, between, region[name_end + end :])
    middle = re.sub(r"zqid\d+", ID, region[name_end : name_end + start])
    # The id between them may be left out.
    without_id = middle.partition(ID)[2]
    also = (without_id,) if without_id.strip() else ()
    return ToolFormat(Kind.NAMED, (call,), end_mark, section, section_end, between=middle, also_between=also)


def _as_python(region: str, two: str) -> ToolFormat | None:
    """As Python writes it, in a list."""
    found = re.search(rf"\[?{NAMES[0]}\({KEYS[0]}=.*?\)\]?", region, re.DOTALL)
    return ToolFormat(Kind.PYTHON, (region[: found.start()],), region[found.end() :]) if found else None


def _as_tagged(region: str, two: str) -> ToolFormat | None:
    """A name, and behind it parameters between marks."""
    places = [region.find(word) for word in (NAMES[0], KEYS[0], VALUES[0], KEYS[1], VALUES[1])]
    if min(places) < 0 or places != sorted(places):
        return None
    name, key, value, key2, value2 = places
    before = region[name + len(NAMES[0]) : key]
    again = region[value + len(VALUES[0]) : key2]
    begin = _from_mark(before[len(before) - _common(before[::-1], again[::-1]) :])
    parameter = ParameterMarks(
        begin.strip(),
        region[key + len(KEYS[0]) : value].strip(),
        again[: len(again) - len(begin)].strip(),
    )
    if not (parameter.begin and parameter.between and parameter.end):
        return None
    closing = region[value2 + len(VALUES[1]) :].lstrip().removeprefix(parameter.end)
    between = ""
    if two:
        last = two.find(VALUES[1]) + len(VALUES[1])
        between = two[last : two.find(NAMES[1], last)].lstrip().removeprefix(parameter.end)
    call, end_mark, section, section_end = _split(region[:name], between, closing)
    # Some models leave out what stands before the last mark.
    final = call.split()[-1]
    calls = (call, final) if final != call.strip() and final[0] in "<[" else (call,)
    return ToolFormat(
        Kind.TAGGED,
        calls,
        end_mark,
        section,
        section_end,
        between=before[: len(before) - len(begin)],
        parameter=parameter,
    )


def _split(begin: str, between: str, closing: str) -> tuple[str, str, str, str]:
    """What opens and closes each call, and what all of them together, from what stands before, between and behind."""
    if not between.strip(" \n,;"):
        return begin, closing, "", ""
    call = _from_mark(begin[len(begin) - _common(begin[::-1], between[::-1]) :])
    end = between[: len(between) - len(call)].rstrip()
    section = begin[: len(begin) - len(call)]
    if not section.strip():
        return begin, closing, "", ""
    behind = closing.lstrip().removeprefix(end.lstrip()) if end.strip() else closing
    return call, end, section, behind


def _from_mark(text: str) -> str:
    """From the beginning of the first mark in it on: what a mark before it ends with is none of its own."""
    found = re.search(r"[<\[]", text)
    return text[found.start() :] if found else text


def _json_with(text: str, *words: str) -> tuple[int, int]:
    """Where the outermost list or object stands that has all these words in it; -1 if none does."""
    for found in re.finditer(r"[\[{]", text):
        try:
            _, length = json.JSONDecoder().raw_decode(text[found.start() :])
        except ValueError:
            continue
        if all(word in text[found.start() : found.start() + length] for word in words):
            return found.start(), found.start() + length
    return -1, -1


def _after_question(text: str) -> str:
    return text.rpartition(QUESTION)[2]


def _common(first: str, second: str) -> int:
    """Letters with which both begin."""
    return next(
        (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _shows(text: str) -> bool:
    """Whether a call is written, and its arguments not as Python shows them."""
    return (NAMES[0] in text or IDS[0] in text) and VALUES[0] in text and f"'{KEYS[0]}'" not in text


def _user() -> Message:
    return {"role": "user", "content": QUESTION}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _call(number: int, *, as_text: bool) -> Message:
    values = dict(zip(KEYS, VALUES, strict=True))
    arguments = json.dumps(values) if as_text else values
    return {"id": IDS[number], "type": "function", "function": {"name": NAMES[number], "arguments": arguments}}


def _tool(name: str) -> Message:
    properties = {key: {"type": "string", "description": key} for key in KEYS}
    parameters = {"type": "object", "properties": properties, "required": list(KEYS)}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}
