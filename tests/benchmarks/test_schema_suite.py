"""Schemas of objects that people use, in the style of the public suite: followed exactly, or refused."""

# ruff: noqa: E501
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.schema_suite import FOLLOWED, REFUSED, outcome
from localchat_ui.engine.llama import Model
from tests.engine.schemas import fields

NAME = {"type": "string", "minLength": 1, "maxLength": 8}
ADDRESS = {
    "type": "object",
    "properties": {
        "street": NAME,
        "zip": {"type": "string", "pattern": "^[0-9]{5}$"},
        "country": {"enum": ["DE", "CH"]},
    },
    "required": ["street", "zip"],
}
PERSON = {
    "$defs": {"address": ADDRESS},
    "type": "object",
    "properties": {"name": NAME, "home": {"$ref": "#/$defs/address"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
}
# Each with values of which some obey it and some do not.
CASES: dict[str, tuple[dict[str, Any], list[Any], str]] = {
    "address": (ADDRESS, [{"street": "a", "zip": "01234"}, {"street": "a", "zip": "1"}, {"zip": "01234"}], FOLLOWED),
    "person": (PERSON, [{"name": "A", "age": -1}, {"name": "A", "home": {"street": "x"}}, {"name": ""}], FOLLOWED),
    "event": (
        fields(start={"type": "string", "format": "date-time"}, days={"type": "integer", "exclusiveMaximum": 3}),
        [{"start": "2026-01-01T10:00:00Z", "days": 2}, {"start": "today", "days": 1}, {"days": 3}],
        FOLLOWED,
    ),
    "invoice": (
        fields(lines={"type": "array", "items": fields(n={"type": "integer", "minimum": 1}), "minItems": 1, "maxItems": 2}),
        [{"lines": []}, {"lines": [{"n": 0}]}, {"lines": [{"n": 1}]}],
        FOLLOWED,
    ),
    "choice": (
        {"anyOf": [fields(kind={"const": "card"}, number=NAME), fields(kind={"const": "cash"})]},
        [{"kind": "card"}, {"kind": "cash"}, {"kind": "cash", "number": "1"}],
        FOLLOWED,
    ),
    "extended": (
        {"allOf": [{"type": "object", "properties": {"a": NAME}, "required": ["a"]}, {"properties": {"b": {"const": 1}}}]},
        [{"a": "x", "b": 2}, {"a": "x", "b": 1}, {"b": 1}],
        FOLLOWED,
    ),
    "map": ({"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2}, [{"a": "x"}, {"a": 1}], FOLLOWED),
    "nullable": (fields(a={"type": ["string", "null"], "maxLength": 2}), [{"a": None}, {"a": "xyz"}, {"a": 1}], FOLLOWED),
    "pair": ({"type": "array", "prefixItems": [{"type": "integer"}, NAME], "items": False, "minItems": 2}, [[1], [1, "a"], [1, "a", 2]], FOLLOWED),
    "price": (fields(a={"type": "number", "multipleOf": 0.25, "minimum": 0, "maximum": 9}), [{"a": 0.3}, {"a": 1.25}], FOLLOWED),
    "unique": ({"type": "array", "uniqueItems": True}, [[1, 1]], REFUSED),
    "conditional": ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, [{"a": 1}], REFUSED),
    "negated": ({"not": {"type": "integer"}}, [1], REFUSED),
    "dependent": ({"dependentRequired": {"card": ["zip"]}}, [{"card": 1}], REFUSED),
    "elsewhere": ({"$ref": "https://example.org/schema.json"}, [1], REFUSED),
}  # fmt: skip


@pytest.fixture(scope="module")
def model(smollm: Path) -> Iterator[Model]:
    model = Model(smollm, vocab_only=True)
    yield model
    model.close()


@pytest.mark.parametrize("name", CASES)
def test_no_schema_is_got_wrong(model: Model, name: str):
    schema, values, expected = CASES[name]
    assert outcome(model, schema, [{"data": value} for value in values])[0] == expected
