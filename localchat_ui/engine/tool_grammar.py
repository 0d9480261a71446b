"""Grammars of calls: in the model's own way to write them, with arguments that obey.

They are written in llguidance's dialect of Lark. White space between marks may be any, as it may be when calls are
read; it is a terminal of its own, because of two terminals that begin alike llguidance follows the longer one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localchat_ui.engine.tool_format import ID, NAME_IN_ID, Kind, ToolFormat
from localchat_ui.engine.tool_texts import is_text, resolved, text_in_lark

# Small models would go on calling until their limit.
MOST_CALLS = 8
COMMON = (
    r"GAP: /[ \n]{1,6}/",
    "CALL_ID: /[a-zA-Z0-9]{9}/",
    "DIGIT: /[0-9]/",
    r"WORD: /[a-zA-Z0-9_.\-]{1,64}/",
    r"ANY: /(?s:.)*/",
)
ANY, QUOTE = "ANY", '"'
FIRST_TEXT = r"/[^ \n](?s:.)*/"
ANY_OBJECT = {"type": "object"}
ANY_TEXT = {"type": "string"}
DEFINITIONS = ("$defs", "definitions")
# Of a call that is bare JSON: before its name, between name and arguments.
HEAD = r'\{[ \n]*"(name|tool_name|function)"[ ]?:[ ]?"', r'"[ ]?,[ \n]*"(arguments|parameters|args)"[ ]?:[ ]?'


@dataclass(frozen=True)
class CallRules:
    """Which of these `tools`, as OpenAI's protocol gives them, may be called: one, or `several` times.

    `must`: nothing but calls may be written; else text, or the `answer` that has this schema, and calls where the model
    opens them. Then only the arguments of the `strict` tools have to obey their schemas.
    """

    tools: Sequence[Mapping[str, Any]]
    tool_format: ToolFormat
    several: bool = False
    must: bool = True
    strict: Collection[str] = ()
    answer: Mapping[str, Any] | None = None


def calls_in_lark(
    rules: CallRules,
    mark: Callable[[str], str],
    schema: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    elsewhere: Collection[str] = (),
) -> str:
    """A grammar that begins with the rule `start`. `mark` writes a mark in Lark, `schema` makes one ready.

    Text does not begin with a mark that means something `elsewhere`.
    """
    writer = _Writer(rules, mark, schema)
    return writer.calls_alone() if rules.must else writer.text_or_calls(elsewhere)


class _Writer:
    def __init__(
        self,
        rules: CallRules,
        mark: Callable[[str], str],
        schema: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> None:
        self._rules = rules
        self._format = rules.tool_format
        self._mark = mark
        self._schema = schema
        self._lines: list[str] = []
        self._functions = [dict(tool["function"]) for tool in rules.tools]

    def calls_alone(self) -> str:
        kind = self._format
        call = self._call()
        in_list = kind.is_list or kind.kind is Kind.PYTHON
        if not in_list:
            call = self._rule(self._joined(self._loose(kind.calls[0]), call, self._loose(kind.end)))
        call = self._repeated(call, '", "' if in_list else "GAP?", f"{{0,{MOST_CALLS - 1}}}")
        if in_list:
            # The marks of one call stand around the whole list.
            call = self._joined(self._loose(kind.calls[0]), "GAP?", '"["', call, '"]"', self._loose(kind.end))
        start = self._joined("GAP?", self._loose(kind.section), call, self._loose(kind.section_end))
        return self._grammar(start)

    def text_or_calls(self, elsewhere: Collection[str]) -> str:
        """Text goes on until a mark opens a call; what follows has to be one, and text may follow that."""
        openings = (self._format.section, *self._format.calls)
        triggers = " | ".join(_text(_first_line(opening)) for opening in openings if opening.strip())
        excluded = []
        if triggers:
            self._lines.append(f"TRIGGERED: /(?s:.)*/ ({triggers}) /(?s:.)*/")
            excluded.append("~TRIGGERED")
        self._lines.append(f"MORE: {' & '.join(['/(?s:.)+/', *excluded])}")
        names = " | ".join(_text(_inside(function["name"])) for function in self._functions)
        # JSON with the name of a function in it is read as a call, however it is written.
        self._lines.append(rf'NAMED: /[\[{{](?s:.)*"(functions\.)?/ ({names}) /(:[0-9]+)?"(?s:.)*/')
        excluded.append("~NAMED")
        if elsewhere:
            self._lines.append(f"ELSEWHERE: ({' | '.join(map(_text, elsewhere))}) /(?s:.)*/")
            excluded.append("~ELSEWHERE")
        self._lines.append(f"FIRST: {' & '.join([FIRST_TEXT, *excluded])}")
        answer = self._rules.answer
        # JSON that is an answer cannot be told from bare calls.
        ways = ["FIRST?", self._bare()] if answer is None else [self._json(answer)]
        before = "FIRST" if answer is None else ""
        if called := list(self._opened(before)):
            more = f"({' | '.join(self._opened('MORE'))})*" if self._rules.several else ""
            ways.append(self._joined(f"({' | '.join(called)})", more, "MORE?" if self._rules.several else "GAP?"))
        return self._grammar(f"GAP? ({' | '.join(ways)})")

    def _opened(self, before: str) -> Iterator[str]:
        """Calls behind the text `before` them, by each way to open them."""
        kind, call = self._format, self._call()
        if kind.is_list or kind.kind is Kind.PYTHON:
            if not kind.triggers:
                return
            listed = self._joined("GAP?", '"[" GAP?', self._repeated(call, 'GAP? "," GAP?'), 'GAP? "]"')
            behind = self._joined(listed, self._loose(kind.end), self._loose(kind.section_end))
            yield self._behind(before, kind.section + kind.calls[0], behind)
            return
        for opening in filter(str.strip, kind.calls):
            yield self._behind(before, opening, self._joined(call, self._ended()))
        if kind.section:
            one = self._joined(self._loose(kind.calls[0]), call, self._ended())
            closing = self._joined("GAP?", self._loose(kind.section_end))
            yield self._behind(before, kind.section, f"GAP? {self._repeated(self._rule(one), 'GAP?')} {closing}")

    def _ended(self) -> str:
        """What closes a call; some models leave it out, and what is between marks ends with one."""
        first, *rest = map(self._mark, self._format.end.split() or [""])
        least = first if self._format.kind is Kind.TAGGED else f"({first})?" if first else ""
        return self._joined("GAP?" if first else "", least, *(f"(GAP? {mark})?" for mark in rest if mark))

    def _behind(self, before: str, opening: str, rest: str) -> str:
        """A rule of text that ends with what opens a call, and of this call."""
        first = _first_line(opening)
        written, following = self._mark(first), self._loose(opening.lstrip()[len(first) :])
        if written.startswith("<["):
            return self._rule(self._joined(f"{before}?" if before else "", written, following, rest))
        _, end = json.JSONDecoder().raw_decode(written)
        text = self._rule(self._joined(f"{before}?" if before else "", written[:end]), lazy=True)
        return self._rule(self._joined(text, written[end:].strip(), following, rest))

    def _bare(self) -> str:
        """Calls that are JSON without any marks, of which nothing but the arguments has to look in one way."""
        one, first = (self._bare_object(bracket) for bracket in ("", r"\[[ \n]*"))
        more = f"(/[ \\n]*[;,]?[ \\n]*/ {one})*" if self._rules.several else ""
        return self._joined("(", one, "|", first, more, r"/[ \n]*\]/", ")", more, "GAP?")

    def _bare_object(self, bracket: str) -> str:
        calls = []
        for function in self._functions:
            name = f"BARE_{len(self._lines)}"
            self._lines.append(f"{name}: /{bracket}{HEAD[0]}/ {_text(_inside(function['name']))} /{HEAD[1]}/")
            calls.append(f"{name} {self._json(self._parameters(function))}")
        return self._rule(f"({' | '.join(calls)}) " + r"/[ \n]*\}/")

    def _grammar(self, start: str) -> str:
        return "\n".join([f"start: {start}", *self._lines, *COMMON]) + "\n"

    def _repeated(self, call: str, between: str, times: str = "*") -> str:
        return f"{call} ({between} {call}){times}" if self._rules.several else call

    def _call(self) -> str:
        kind = self._format.kind
        write = {Kind.JSON: self._object, Kind.NAMED: self._named, Kind.TAGGED: self._tagged, Kind.PYTHON: self._python}
        calls = [self._rule(write[kind](each["name"], self._parameters(each))) for each in self._functions]
        return self._rule(" | ".join(calls))

    def _parameters(self, function: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema that arguments have to obey."""
        if self._rules.must or function["name"] in self._rules.strict:
            given = function.get("parameters") or {}
            # What is written one by one has to be known by name.
            named = resolved(given, given) if self._format.kind in (Kind.TAGGED, Kind.PYTHON) else given
            return {**given, **named}
        return ANY_OBJECT

    def _object(self, name: str, parameters: Mapping[str, Any]) -> str:
        before, between, after = self._format.shape
        # Some count their calls.
        counter, counted, key = before.rpartition('"0"')
        begin = [f"{_text(counter + QUOTE)} DIGIT"] if counted else []
        opening = _text(f"{QUOTE if counted else ''}{key}{_inside(name)}{between}")
        ends = _text(after) if self._rules.must or after == "}" else f'({_text(after)} | "}}")'
        return self._joined(*begin, opening, self._json(parameters), ends)

    def _named(self, name: str, parameters: Mapping[str, Any]) -> str:
        written = [_text(f"functions.{name}:"), "DIGIT"] if self._format.between == NAME_IN_ID else [_text(name)]
        between = self._loose(self._format.between)
        if not self._rules.must:
            ways = (self._format.between, *self._format.also_between)
            between = f"({' | '.join(self._loose(way) for way in ways)})" if any(ways) else ""
        return self._joined(*written, between, self._json(parameters))

    def _python(self, name: str, parameters: Mapping[str, Any]) -> str:
        if parameters is ANY_OBJECT:
            argument = f'WORD "=" {self._json({})}'
            return self._joined(_text(f"{name}("), f'({argument} ("," GAP? {argument})*)?', '")"')
        arguments = [
            (
                self._joined(_text(f"{key}="), self._python_value(schema, parameters)),
                key in (parameters.get("required") or ()),
            )
            for key, schema in _properties(parameters)
        ]
        return self._joined(_text(f"{name}("), self._listed(arguments), '")"')

    def _python_value(self, schema: Any, parameters: Mapping[str, Any]) -> str:
        """JSON, or a text between the other quotation marks."""
        given = resolved(schema, parameters)
        if self._rules.must or not is_text(given):
            return self._json(given, parameters)
        wanted = text_in_lark(given, "'") or "/(?s:.)*/"
        name = f"TEXT_{len(self._lines)}"
        self._lines.append(rf"{name}: /'/ ({wanted} & /[^'\\\n]*/) /'/")
        return f"({self._json(given, parameters)} | {name})"

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
        if parameters is ANY_OBJECT:
            written.append(f"{self._rule(self._parameter('WORD', {}, ANY_TEXT))}*")
        for key, schema in _properties(parameters):
            needed = key in (parameters.get("required") or ())
            written.append(self._rule(self._parameter(_text(key), parameters, schema)) + ("" if needed else "?"))
        return self._joined(*written)

    def _parameter(self, name: str, parameters: Mapping[str, Any], schema: Any) -> str:
        marks = self._format.parameter
        assert marks is not None
        head = self._joined("GAP?", self._loose(marks.begin), name, self._loose(marks.between))
        end = self._mark(marks.end)
        given = resolved(schema, parameters)
        if not is_text(given):
            return f"{head} GAP? {self._json(given, parameters)} GAP? {end} GAP?"
        # A text is written as it is; what its schema says of it holds between the marks.
        bounded = text_in_lark(given, marks.end)
        bounded = bounded and rf"/\n?/ ({bounded}) /\n?/"
        if end.startswith("<["):
            text = f"TEXT_{len(self._lines)}"
            self._lines.append(f"{text}: {bounded or '/(?s:.)+/'}")
            return f"{head} {text}{'?' if not bounded else ''} {end} GAP?"
        return f"{head} {self._rule(f'{bounded or ANY} {end}', lazy=True)} GAP?"

    def _loose(self, text: str) -> str:
        """Marks with any white space where there is some, and any id where one stands."""
        words = text.split()
        if not words:
            return "GAP" if text else ""
        written = " GAP ".join(" CALL_ID ".join(map(self._mark, word.split(ID))) for word in words)
        return f"{'GAP? ' if text[0].isspace() else ''}{written}{' GAP?' if text[-1].isspace() else ''}".strip()

    def _json(self, schema: Any, parameters: Mapping[str, Any] = ANY_OBJECT) -> str:
        """JSON that obeys; what it refers to stands in the schema of all parameters."""
        given = schema if isinstance(schema, Mapping) else {}
        given = {**{name: parameters[name] for name in DEFINITIONS if name in parameters}, **given}
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


def _first_line(opening: str) -> str:
    """What opens a call as far as it is written in one piece."""
    return opening.strip().partition("\n")[0].rstrip()


def _inside(text: str) -> str:
    """A text as it stands between the quotation marks of JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _text(text: str) -> str:
    """Text in Lark; where it has the id of a call, any may stand."""
    parts = [json.dumps(part, ensure_ascii=False) if part else "" for part in text.split(ID)]
    return " CALL_ID ".join(parts).strip()
