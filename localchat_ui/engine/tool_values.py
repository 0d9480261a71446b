"""The arguments of calls as models write them: JSON that grows, texts between marks, Python."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from localchat_ui.engine.tool_texts import is_text

NAME_KEYS = ("name", "tool_name", "function")
ARGUMENT_KEYS = ("arguments", "parameters", "args")


class JsonScanner:
    """Finds the end of a JSON value in pieces of text, each of which it reads once."""

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._in_string = False
        self._escaped = False

    def end(self, text: str, level: int) -> int | None:
        """Where the brackets that are open have come down to so many; None when they have not yet."""
        position = 0
        while position < len(text):
            if self._escaped:
                self._escaped = False
                position += 1
                continue
            found = (IN_STRING if self._in_string else OUTSIDE).search(text, position)
            if found is None:
                return None
            position = found.end()
            match found[0]:
                case '"':
                    self._in_string = not self._in_string
                case "\\":
                    self._escaped = True
                case "{" | "[":
                    self._depth += 1
                case _:
                    self._depth -= 1
                    if self._depth <= level:
                        return position
        return None


IN_STRING = re.compile(r'["\\]')
OUTSIDE = re.compile(r'["{}\[\]]')


def call_in(value: Any, names: Collection[str]) -> tuple[str, str] | None:
    """The name and the JSON of the arguments of a call that is written as an object."""
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict):
        value = value["function"]
    name = next((value[key] for key in NAME_KEYS if isinstance(value.get(key), str)), None)
    if name is None:
        # Some write the name as the key.
        key = next(iter(value), "")
        return (key, _json(value[key])) if len(value) == 1 and key in names else None
    arguments: object = next((value[key] for key in ARGUMENT_KEYS if key in value), {})
    return plain_name(name, names), arguments if isinstance(arguments, str) else _json(arguments)


def plain_name(name: str, names: Collection[str]) -> str:
    """`functions.weather:0`, as some models write it, is the function `weather`."""
    if name in names:
        return name
    plain = re.sub(r":\d+$", "", name.removeprefix("functions."))
    return plain if plain in names or not names else name


def value_of(written: str, schema: Mapping[str, Any]) -> object:
    """What a text between marks stands for: itself where a text is expected, else JSON."""
    text = written.removeprefix("\n").removesuffix("\n")
    if is_text(schema):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return PYTHON_WORDS.get(text.strip(), text)
    return text if isinstance(value, str) and schema.keys().isdisjoint(SAY_WHAT) else value


# Without one of these in a schema, quotation marks may be part of a text.
SAY_WHAT = ("type", "enum", "const", "anyOf", "oneOf", "allOf")
PYTHON_WORDS = {"True": True, "False": False, "None": None}


def python_calls(text: str) -> list[tuple[str, str]] | None:
    """Calls that are written as Python does it, as a list or one alone."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        nodes = tree.elts if isinstance(tree, ast.List) else [tree]
        return [(ast.unparse(node.func), _json(_keywords(node))) for node in map(_a_call, nodes)]
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _a_call(node: ast.expr) -> ast.Call:
    if not isinstance(node, ast.Call) or node.args:
        raise TypeError("no call with names for its arguments")
    return node


def _keywords(node: ast.Call) -> dict[str, object]:
    return {each.arg or "": _literal(each.value) for each in node.keywords}


def _literal(node: ast.expr) -> object:
    return ast.literal_eval(_JsonWords().visit(node))


class _JsonWords(ast.NodeTransformer):
    """Words of JSON between Python's, however deep they stand."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        words = ("true", "false", "null")
        return ast.copy_location(ast.Constant(json.loads(node.id)), node) if node.id in words else node


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
