"""Grammars that a reply has to follow, checked before llama.cpp sees them: on some it would end the program.

Its parser calls itself for every parenthesis, so that twenty thousand of them overflow the stack; and of repetitions it
takes 2,000. A JSON schema with `"maxLength": 20000` becomes such a grammar.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import accumulate

from llama_cpp.llama_grammar import json_schema_to_gbnf

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import EngineError

MOST_REPETITIONS = 2000
MOST_PARENTHESES = 500
MOST_CHARACTERS = 1_000_000
COUNTS = ("minLength", "maxLength", "minItems", "maxItems")


def with_grammar(options: RequestOptions) -> RequestOptions:
    """The options with their JSON schema, if any, turned into a grammar. Raises EngineError."""
    if options.json_schema is None:
        _check(options.grammar or "")
        return options
    try:
        highest = max(_counts(options.json_schema), default=0)
        if highest > MOST_REPETITIONS:
            raise ValueError(f"it counts to {highest:,}, and {MOST_REPETITIONS:,} is the most that a grammar repeats")
        grammar = _counted(json_schema_to_gbnf(json.dumps(options.json_schema)))
    except Exception as error:
        raise EngineError(f"The JSON schema cannot be turned into a grammar: {error}.") from error
    _check(grammar)
    return options.model_copy(update={"grammar": grammar, "json_schema": None})


def _check(grammar: str) -> None:
    """Raises EngineError for what llama.cpp's parser would not survive."""
    deepest = max(accumulate((character == "(") - (character == ")") for character in grammar), default=0)
    if deepest > MOST_PARENTHESES or len(grammar) > MOST_CHARACTERS:
        raise EngineError("The grammar is too large, or nested too deeply.")


def _counts(schema: object) -> Iterator[int]:
    """All numbers in a schema that say how often something repeats."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in COUNTS and isinstance(value, int):
                yield value
            elif key == "pattern" and isinstance(value, str):
                yield from map(int, re.findall(r"(?<=[{,])\d{1,18}", value))
            else:
                yield from _counts(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _counts(item)


def _counted(grammar: str) -> str:
    """The converter writes up to three characters as `(char (char (char)?)?)?`; `char{0,3}` nests nothing."""

    def shorter(found: re.Match[str]) -> str:
        n = min(found[1].count("("), found[2].count(")"))
        left_open, left_closed = found[1].count("(") - n, found[2].count(")") - n
        return "(char " * left_open + f"char{{0,{n}}}" + ")?" * left_closed

    return re.sub(r"((?:\(char )*\(char)((?:\)\?)+)", shorter, grammar)
