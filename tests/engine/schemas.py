"""JSON schemas: ten of each kind, some that cannot be followed, and some that are meant to harm."""

# ruff: noqa: E501
from __future__ import annotations

from typing import Any


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


def nested(n: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(n):
        schema = fields(a=schema)
    return schema


REFUSED: list[tuple[dict[str, Any], str]] = [
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
]

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
