"""A grammar of calls that have to be made: in the model's own way to write them, with arguments that obey.

It is written in llguidance's dialect of Lark. White space between marks may be any, as it may be when calls are read;
it is a terminal of its own, because of two terminals that begin alike llguidance follows the longer one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localchat_ui.engine.tool_format import ID, NAME_IN_ID, Kind, ToolFormat

# Small models would go on calling until their limit.
MOST_CALLS = 8
LONGEST_TEXT = 2000
COMMON = (r"GAP: /[ \n]{1,4}/", "CALL_ID: /[a-zA-Z0-9]{9}/", "DIGIT: /[0-9]/")


@dataclass(frozen=True)
class ForcedCalls:
    """That one of these `tools`, as OpenAI's protocol gives them, has to be called; or `several` times."""

    tools: Sequence[Mapping[str, Any]]
    tool_format: ToolFormat
    several: bool = False


def calls_in_lark(
    forced: ForcedCalls, mark: Callable[[str], str], schema: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> str:
    """A grammar that begins with the rule `start`. `mark` writes a mark in Lark, `schema` makes one ready."""
    writer = _Writer(forced.tool_format, mark, schema)
    return writer.grammar([dict(tool["function"]) for tool in forced.tools], several=forced.several)


class _Writer:
    def __init__(
        self,
        tool_format: ToolFormat,
        mark: Callable[[str], str],
        schema: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> None:
        self._format = tool_format
        self._mark = mark
        self._schema = schema
        self._lines: list[str] = []

    def grammar(self, functions: Sequence[dict[str, Any]], *, several: bool) -> str:
        kind = self._format
        write = {Kind.JSON: self._object, Kind.NAMED: self._named, Kind.TAGGED: self._tagged, Kind.PYTHON: self._python}
        calls = [self._rule(write[kind.kind](each["name"], each.get("parameters") or {})) for each in functions]
        call = self._rule(" | ".join(calls))
        in_list = kind.is_list or kind.kind is Kind.PYTHON
        if not in_list:
            call = self._rule(self._joined(self._loose(kind.calls[0]), call, self._loose(kind.end)))
        if several:
            between = '", "' if in_list else "GAP?"
            call = f"{call} ({between} {call}){{0,{MOST_CALLS - 1}}}"
        if in_list:
            # The marks of one call stand around the whole list.
            call = self._joined(self._loose(kind.calls[0]), "GAP?", '"["', call, '"]"', self._loose(kind.end))
        start = self._joined("GAP?", self._loose(kind.section), call, self._loose(kind.section_end))
        return "\n".join([f"start: {start}", *self._lines, *COMMON]) + "\n"

    def _object(self, name: str, parameters: Mapping[str, Any]) -> str:
        before, between, after = self._format.shape
        return self._joined(_text(before + _inside(name) + between), self._json(parameters), _text(after))

    def _named(self, name: str, parameters: Mapping[str, Any]) -> str:
        written = [_text(f"functions.{name}:"), "DIGIT"] if self._format.between == NAME_IN_ID else [_text(name)]
        return self._joined(*written, self._loose(self._format.between), self._json(parameters))

    def _python(self, name: str, parameters: Mapping[str, Any]) -> str:
        arguments = [
            (self._joined(_text(f"{key}="), self._json(schema)), key in (parameters.get("required") or ()))
            for key, schema in _properties(parameters)
        ]
        return self._joined(_text(f"{name}("), self._listed(arguments), '")"')

    def _listed(self, arguments: Sequence[tuple[str, bool]]) -> str:
        """Arguments with commas between them; only those that are required have to be there."""
        required = [written for written, needed in arguments if needed]
        optional = [self._rule(written) for written, needed in arguments if not needed]
        if required:
            return " ".join([' ", " '.join(required), *(f'(", " {each})?' for each in optional)])
        ways = [" ".join([each, *(f'(", " {late})?' for late in optional[n:])]) for n, each in enumerate(optional, 1)]
        return f"({' | '.join(ways)})?" if ways else ""

    def _tagged(self, name: str, parameters: Mapping[str, Any]) -> str:
        written = [_text(name), self._loose(self._format.between)]
        for key, schema in _properties(parameters):
            needed = key in (parameters.get("required") or ())
            written.append(self._rule(self._parameter(key, schema)) + ("" if needed else "?"))
        return self._joined(*written)

    def _parameter(self, name: str, schema: Any) -> str:
        marks = self._format.parameter
        assert marks is not None
        head = self._joined("GAP?", self._loose(marks.begin), _text(name), self._loose(marks.between))
        end = self._mark(marks.end)
        given = schema if isinstance(schema, Mapping) else {}
        values = given.get("enum") or ([given["const"]] if "const" in given else [])
        if values and all(isinstance(value, str) for value in values):
            chosen = " | ".join(json.dumps(value, ensure_ascii=False) for value in values)
            return f"{head} GAP? ({chosen}) GAP? {end} GAP?"
        if given.get("type") == "string":
            # A text is written as it is; only its end is known, and how long it may be.
            if end.startswith("<["):
                return f"{head} {_any_text(given, least=1)}{'' if given.get('minLength') else '?'} {end} GAP?"
            return f"{head} {self._rule(f'{_any_text(given)} {end}', lazy=True)} GAP?"
        return f"{head} GAP? {self._json(given)} GAP? {end} GAP?"

    def _loose(self, text: str) -> str:
        """Marks with any white space where there is some, and any id where one stands."""
        words = text.split()
        if not words:
            return "GAP" if text else ""
        written = " GAP ".join(" CALL_ID ".join(map(self._mark, word.split(ID))) for word in words)
        return f"{'GAP? ' if text[0].isspace() else ''}{written}{' GAP?' if text[-1].isspace() else ''}".strip()

    def _json(self, schema: Any) -> str:
        given = schema if isinstance(schema, Mapping) else {}
        return f"%json {json.dumps(self._schema(given), ensure_ascii=False)}"

    def _rule(self, body: str, *, lazy: bool = False) -> str:
        """The name of a new rule."""
        name = f"rule_{len(self._lines)}"
        self._lines.append(f"{name}{'[lazy]' if lazy else ''}: {body}")
        return name

    def _joined(self, *parts: str) -> str:
        return " ".join(filter(None, parts)) or '""'


def _properties(parameters: Mapping[str, Any]) -> list[tuple[str, Any]]:
    properties = parameters.get("properties")
    return list(properties.items()) if isinstance(properties, Mapping) else []


def _any_text(schema: Mapping[str, Any], *, least: int = 0) -> str:
    """Any text as long as its schema wants it, if a reply can be so long; at `least` so many characters."""
    low, high = (
        value if isinstance(value := schema.get(name), int) and 0 <= value <= LONGEST_TEXT else None
        for name in ("minLength", "maxLength")
    )
    return rf"/(.|\n){{{max(least, low or 0)},{'' if high is None else max(least, high)}}}/"


def _inside(text: str) -> str:
    """A text as it stands between the quotation marks of JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _text(text: str) -> str:
    """Text in Lark; where it has the id of a call, any may stand."""
    parts = [json.dumps(part, ensure_ascii=False) if part else "" for part in text.split(ID)]
    return " CALL_ID ".join(parts).strip()
