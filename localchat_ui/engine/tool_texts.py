"""Texts between marks that obey their schema: what stands there is the text itself, without quotation marks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# A longer bound is none: no reply becomes so long, and counting costs memory.
LONGEST_TEXT = 2000
ANY_LETTER = "(?s:.)"
# What classes hold in JSON schema: letters and digits are those of ASCII.
SPACES = r" \t\n\x0B\x0C\r\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000\uFEFF"
CLASSES = {"d": "0-9", "w": "a-zA-Z0-9_", "s": SPACES}
PART = re.compile(r"\\(.)|([\[\]])|(.)", re.DOTALL)


def resolved(schema: Any, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of one parameter, looked up where it only names another place in the schema of all."""
    seen = 0
    while isinstance(schema, Mapping) and isinstance(place := schema.get("$ref"), str) and seen < len(place):
        found: Any = parameters
        for step in place.removeprefix("#").strip("/").split("/"):
            found = found.get(step) if isinstance(found, Mapping) else None
        schema, seen = found, seen + 1
    return schema if isinstance(schema, Mapping) else {}


def choices_of(schema: Mapping[str, Any]) -> list[str]:
    """The texts of which a value has to be one; none if it may be others, or no text."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return values if isinstance(values, list) and values and all(isinstance(each, str) for each in values) else []


def is_text(schema: Mapping[str, Any]) -> bool:
    """Whether a value is a text and nothing else."""
    return schema.get("type") == "string" or bool(choices_of(schema))


def text_in_lark(schema: Mapping[str, Any], end: str) -> str:
    """A terminal of llguidance's Lark for a text that obeys its schema, before a mark that must not be in it.

    It neither begins nor ends with a line feed. Empty if the text may be anything.
    """
    # One with the mark in it could not be told from its end.
    if choices := [each for each in choices_of(schema) if not end or end not in each]:
        return f"({' | '.join(json.dumps(each, ensure_ascii=False) for each in choices)})"
    if schema.get("maxLength") == 0:
        return '""'
    low, high = (
        value if isinstance(value := schema.get(name), int) and 0 <= value <= LONGEST_TEXT else None
        for name in ("minLength", "maxLength")
    )
    pattern = schema.get("pattern")
    if not low and high is None and not isinstance(pattern, str):
        return ""
    wanted = [f"/{_of_length(low or 0, high)}/"]
    if isinstance(pattern, str):
        wanted.append(f"/{_anywhere(pattern)}/")
    if end:
        wanted.append(f"~/{ANY_LETTER}*{_escaped(end)}{ANY_LETTER}*/")
    return " & ".join(wanted)


def _of_length(low: int, high: int | None) -> str:
    """So many letters, of which neither the first nor the last is a line feed."""
    last = "" if high is None else max(high - 2, 0)
    longer = f"[^\\n]{ANY_LETTER}{{{max(low - 2, 0)},{last}}}[^\\n]"
    ways = [longer] if high is None or high > 1 else []
    ways += ["[^\\n]"] if low <= 1 else []
    return f"({'|'.join(ways)}){'?' if low == 0 else ''}"


def _anywhere(pattern: str) -> str:
    """A pattern of JSON schema, which may stand anywhere in a text, as a regular expression of all of the text."""
    alternatives = _top_level(pattern)
    return "|".join(f"({_whole(each)})" for each in alternatives)


def _whole(pattern: str) -> str:
    begins, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    inner = _in_ascii(pattern[begins : len(pattern) - ends])
    return f"{'' if begins else f'{ANY_LETTER}*'}({inner}){'' if ends else f'{ANY_LETTER}*'}"


def _top_level(pattern: str) -> list[str]:
    """The alternatives of a pattern: anchors belong to each of them."""
    parts, depth, in_set, begin = list[str](), 0, False, 0
    for found in PART.finditer(pattern):
        letter = found[2] or found[3]
        if letter in ("[", "]"):
            in_set = letter == "["
        elif letter in ("(", ")") and not in_set:
            depth += 1 if letter == "(" else -1
        elif letter == "|" and not in_set and not depth:
            parts.append(pattern[begin : found.start()])
            begin = found.end()
    return [*parts, pattern[begin:]]


def _in_ascii(pattern: str) -> str:
    """The same pattern for llguidance: classes as JSON schema means them, and nothing that ends it in Lark."""
    written, in_set = "", False
    for escaped, bracket, letter in PART.findall(pattern):
        if escaped.lower() in CLASSES:
            inside = CLASSES[escaped.lower()]
            negated = escaped.isupper()
            if in_set and negated:
                written += f"\\{escaped}"
            else:
                written += inside if in_set else f"[{'^' if negated else ''}{inside}]"
        elif escaped:
            written += f"\\{escaped}"
        elif bracket and (bracket == "]" or not in_set):
            in_set = bracket == "["
            written += bracket
        else:
            plain = bracket or letter
            written += {"/": r"\/", "[": r"\[", "\n": r"\n"}.get(plain, plain)
    return written


def _escaped(text: str) -> str:
    """A text as it stands in a regular expression of Lark."""
    return "".join(letter if letter.isalnum() else f"\\x{{{ord(letter):X}}}" for letter in text)
