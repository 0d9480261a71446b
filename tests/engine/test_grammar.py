"""What holds a reply to a schema: every text it allows obeys, and what it cannot do is refused at once with a reason."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import EngineError
from localchat_ui.engine.grammar import Guide, guide_of
from localchat_ui.engine.llama import Model
from localchat_ui.engine.text import Phase, TextStream
from localchat_ui.engine.thinking import KNOWN_MARKS, ThinkingMarks

MOST_TOKENS = 400


@pytest.fixture(scope="module")
def model(smollm: Path) -> Iterator[Model]:
    model = Model(smollm, vocab_only=True)
    yield model
    model.close()


def fields(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def pattern(text: str) -> dict[str, Any]:
    return fields(a={"type": "string", "pattern": text})


TREE = {
    "$defs": {
        "N": fields(v={"type": "integer"}, kids={"type": "array", "items": {"$ref": "#/$defs/N"}, "maxItems": 2})
    },
    "$ref": "#/$defs/N",
}
LIST = {"$defs": {"L": fields(next={"anyOf": [{"type": "null"}, {"$ref": "#/$defs/L"}]})}, "$ref": "#/$defs/L"}
SCHEMAS: dict[str, list[dict[str, Any]]] = {
    "strings": [fields(a={"type": "string", "minLength": low, "maxLength": low + 9}) for low in range(0, 30, 3)],
    "constants": [fields(a={"const": value}) for value in ("x\ny", 'x"y', "\\", "\t", "é", "😀", "</think>", 0, None, [])],
    "quotes in names": [fields(**{name: {"type": "null"}}) for name in ('a"b', "\\", "a\nb", "", " ", "é", "{", "/", "😀", "'")],
    "patterns": [
        pattern(text)
        for text in (
            r"^\d{3}$", r"^\w{1,5}$", r"^[^\s]{2}$", r"^a|b$", r"^(ab?){2}$", r"^\S\d$", r"^[a-z/]{3}$", r"^\.\\$",
            r'^"\d"$', r"^\d{4}-\d\d$",
        )
    ],
    "bounds": [
        fields(a={"type": kind, low: -7, high: 12})
        for kind in ("integer", "number")
        for low in ("minimum", "exclusiveMinimum")
        for high in ("maximum", "exclusiveMaximum")
    ] + [fields(a={"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 99}), fields(a={"type": "integer", "minimum": 5, "maximum": 5})],
    "enums": [fields(a={"enum": values}) for values in (["a"], ["a", "ab"], [1, "1"], [None], [True, False], ["a\n", "b"], [[1], {}], ["x"] * 2, ["é", "e"], [0.5])],
    "all of": [
        {"$defs": {"P": {"type": "string", "enum": ["u", "v"]}}, **fields(a={"allOf": [{"$ref": "#/$defs/P"}, more]})}
        for more in ({}, {"type": "string"}, {"maxLength": 3}, {"enum": ["v", "w"]}, {"const": "u"}, {"title": "P"},
                     {"description": "?"}, {"default": "u"}, {"minLength": 1}, {"not_known": 1})
    ],
    "recursion": [TREE, LIST, fields(a=TREE["$ref"] and {"$ref": "#/$defs/N"}) | {"$defs": TREE["$defs"]}]
    + [{**LIST, "title": str(n)} for n in range(2)]
    + [{"$defs": {"A": fields(b={"type": "array", "items": {"$ref": "#/$defs/B"}, "maxItems": n}), "B": fields(a={"anyOf": [{"type": "null"}, {"$ref": "#/$defs/A"}]})}, "$ref": "#/$defs/A"} for n in range(1, 6)],
    "any of": [fields(a={"anyOf": [{"type": one}, {"type": other, "maximum": 9, "minimum": 0}]}) for one in ("null", "boolean", "string", "object", "array") for other in ("integer", "number")],
    "lists": [fields(a={"type": "array", "items": {"type": "boolean"}, "minItems": n, "maxItems": n + 2}) for n in range(10)],
    "objects": [
        {"type": "object", "properties": {f"p{i}": {"type": "integer", "minimum": 0, "maximum": 9} for i in range(n)}, "required": [f"p{i}" for i in range(0, n, 2)], "additionalProperties": False}
        for n in range(1, 11)
    ],
    "formats": [fields(a={"type": "string", "format": name}) for name in ("date-time", "date", "time", "uuid", "ipv4", "ipv6", "duration", "password", "x")]
    + [fields(a={"type": "integer", "format": "int64", "minimum": 0}), fields(format={"type": "string", "const": "x"})],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "n"), [(kind, n) for kind, each in SCHEMAS.items() for n in range(len(each))])
def test_every_text_it_allows_obeys_the_schema(model: Model, kind: str, n: int):
    schema = SCHEMAS[kind][n]
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    guide_for = {"json_schema": schema}
    ended = 0
    for seed in range(4):
        text = some_text(model, guided(model, **guide_for), seed)
        if text is not None:
            ended += 1
            assert validator.is_valid(json.loads(text)), text
    assert ended


def test_json_mode_allows_objects_alone_and_no_endless_white_space(model: Model):
    guide = guided(model, json_schema={"type": "object"})
    assert {model.piece(token).decode()[:1] for token in guide.allowed()} == {"{"}
    for token in model.tokenize("{\n\n  "):
        guide.accept(token)
    for letter in "\n\r":
        with pytest.raises(EngineError):
            guide.accept(model.tokenize(letter)[0])


def some_text(model: Model, guide: Guide, seed: int) -> str | None:
    """One at random, ending where it may; None when that takes too long."""
    chance = random.Random(seed)
    written = b""
    for _ in range(MOST_TOKENS):
        allowed = guide.allowed()
        ids = set(allowed.tolist())
        # One that closes something comes more often, so that texts end.
        closing = [token for mark in '"}],' for token in model.tokenize(mark) if token in ids]
        if ids & set(model.ends):
            return written.decode()
        token = chance.choice(closing) if closing and chance.random() < 0.5 else int(chance.choice(allowed))
        guide.accept(token)
        written += model.piece(token)
    return None


def guided(model: Model, marks: ThinkingMarks | None = None, phase: Phase = Phase.START, **options: Any) -> Guide:
    guide = guide_of(model, RequestOptions(**options), marks, phase)
    assert guide is not None
    return guide


# Thinking

ANSWER = '{"a": "b"}'
SCHEMA = fields(a={"type": "string"})
CONTROL = ThinkingMarks("<repo_name>", "<file_sep>")  # tokens of this model that stand for no text


@pytest.mark.parametrize("marks", [*KNOWN_MARKS, CONTROL], ids=lambda marks: marks.begin)
@pytest.mark.parametrize("gap", ["", "\n\n"])
def test_it_binds_behind_the_thinking(model: Model, marks: ThinkingMarks, gap: str):
    thought = 'Well, {"a": 1} or\n<this>'
    behind = f"{thought}{marks.end}{gap}{marks.answer}{ANSWER}{marks.close}"
    for phase, text, thinks in (
        (Phase.START, ANSWER, ""),
        (Phase.START, f"{marks.begin}{behind}", thought),
        (Phase.THINKING, behind, thought),
        (Phase.ANSWER, ANSWER, ""),
    ):
        guide, stream = guided(model, marks, phase, json_schema=SCHEMA), TextStream((), marks, phase)
        thinking = answer = ""
        for token in model.tokenize(text):
            guide.accept(token)
            piece = stream.feed(model.control_text(token).encode())
            thinking, answer = thinking + piece.thinking, answer + piece.text
        assert set(guide.allowed().tolist()) & set(model.ends), text
        rest = stream.finish()
        assert (thinking + rest.thinking, answer + rest.text) == (thinks, ANSWER)


@pytest.mark.parametrize("marks", [*KNOWN_MARKS, CONTROL], ids=lambda marks: marks.begin)
def test_no_other_answer_is_allowed_behind_the_thinking(model: Model, marks: ThinkingMarks):
    for phase, text in (
        (Phase.START, "Sure"),
        (Phase.START, f"{marks.begin}hm{marks.end}Sure"),
        (Phase.THINKING, f"hm{marks.end}{marks.answer}Sure"),
    ):
        guide = guided(model, marks, phase, json_schema=SCHEMA)
        with pytest.raises(EngineError):
            for token in model.tokenize(text):
                guide.accept(token)


@pytest.mark.parametrize("phase", [Phase.START, Phase.THINKING])
def test_a_reply_that_thinks_cannot_end_before_its_answer(model: Model, phase: Phase):
    guide = guided(model, ThinkingMarks("<think>", "</think>"), phase, json_schema=SCHEMA)
    for token in model.tokenize("<think>hm"):
        guide.accept(token)
    assert not set(guide.allowed().tolist()) & set(model.ends)


# What cannot be done


def nested(n: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(n):
        schema = fields(a=schema)
    return schema


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "no such type"}, "Invalid type: no such type"),
        ({"type": "array", "uniqueItems": True}, 'Unimplemented keys: \\["uniqueItems"\\]'),
        ({"not": {"type": "string"}}, "Unimplemented keys"),
        ({"type": "string", "enum": [1]}, "Unsatisfiable schema"),
        ({"$ref": "http://127.0.0.1:9/x"}, "not present"),
        ({"$ref": "#/$defs/x"}, "x"),
        ({"$ref": "#"}, "no text would obey it"),
        (pattern("^(?=a)b$"), "a pattern cannot be read, look-around"),
        (nested(100), "recursion limit"),
        (nested(5000), "too deeply"),
        (fields(**{f"p{n}": {"type": "string"} for n in range(20_000)}), "too large"),
        (
            {"allOf": [{"anyOf": [fields(**{f"p{i}{n}": {}}) for n in range(5)]} for i in range(5)]},
            "too large|Unsatisf",
        ),
    ],
    ids=range(12),
)
def test_a_schema_that_it_cannot_do_is_refused_with_the_reason(model: Model, schema: dict[str, Any], reason: str):
    with pytest.raises(EngineError, match=f"^The JSON schema cannot be turned into a grammar: .*({reason})") as refused:
        guided(model, json_schema=schema)
    assert len(str(refused.value)) < 400


HOSTILE: list[dict[str, Any]] = [
    {"json_schema": {"enum": [f"value number {n}" for n in range(20_000)]}},
    {"json_schema": {"type": "string", "maxLength": 10**9}},
    {"json_schema": {"type": "string", "minLength": 10**6}},
    {"json_schema": pattern("^a{3,100000000}$")},
    {"json_schema": pattern("^((a{1,100}){1,100}){1,100}$")},
    {"json_schema": pattern("(a|b)*a(a|b){20}$")},
    {"json_schema": pattern("^" + "(" * 600 + "a" + ")" * 600 + "$")},
    {"json_schema": {"type": "array", "minItems": 10**6, "items": {"type": "integer"}}},
    {"json_schema": fields(**{f"p{n}": {"type": "string"} for n in range(2000)})},
    {"json_schema": {"anyOf": [fields(**{f"p{i}": {"anyOf": [{"type": "string"}] * 50}}) for i in range(50)]}},
    {"grammar": "root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000},
    {"grammar": 'root ::= (("a"{0,1000}){0,1000}){0,1000}'},
    {"grammar": "root ::= " + " | ".join(f'"{n}"' for n in range(8000))},
    {"grammar": "root ::= a a\n" + "\n".join(f"{chr(n)} ::= {chr(n + 1)} {chr(n + 1)}" for n in range(97, 122)) + '\nz ::= "x"'},
    {"grammar": 'root ::= "on and on" root'},
]  # fmt: skip


@pytest.mark.parametrize("options", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_grammars_are_refused_or_followed_quickly(model: Model, options: dict[str, Any]):
    """Some took the engine's thread for seconds or ended the program; this is a bound against hanging, not a speed."""
    guided(model, json_schema={})
    started = time.perf_counter()
    try:
        guide = guided(model, **options)
        some_text(model, guide, seed=1)
    except EngineError as error:
        assert len(str(error)) < 400
    assert time.perf_counter() - started < 20


def test_nothing_binds_a_reply_without_a_grammar(model: Model):
    assert guide_of(model, RequestOptions(), None, Phase.START) is None
