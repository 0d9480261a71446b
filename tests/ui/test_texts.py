"""Every text that a person reads on a page is one that can be translated."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import localchat_ui.ui
from tests.languages import template

UI = Path(localchat_ui.ui.__file__).parent
MARKED = {"_", "N_", "ngettext", "Text", "counted"}
# Python that is told to the browser, or names what only programs see.
NOT_READ = {"classes", "props", "add_slot", "run_javascript", "audited", "run_method", "on", "getLogger"}
# Names: of the program, of keys and headers as browsers call them, and of a row that is looked for.
NAMES = {"LocalChat", "Enter", "Escape", "ArrowUp", "ArrowLeft", "ArrowRight", "Arrow", "Left", "Right", "Up", "File"}
NAMES |= {"Cache-Control", "Content-Security-Policy", "Referrer-Policy", "python -m localchat_ui user admin NAME"}
# A capital letter begins it, or it has three words; in markup, what stands between tags or in an attribute to be read.
PROSE = re.compile(r"[A-Z][a-z]+|.*[a-z]{2,} [a-z]{2,} [a-z]{2,}", re.DOTALL)
IN_MARKUP = re.compile(r'(?:>|\b(?:aria-label|title|placeholder|alt)=["\']?)\s*([A-Z][a-z]+(?![.\w])[^<>"]*)')
CODE = re.compile(r"[{};=<>]|--|px|rem|noopener")


def test_python_has_no_text_outside_the_catalogue() -> None:
    found = [f"{path.relative_to(UI)}: {text}" for path in UI.rglob("*.py") for text in _outside(path)]
    assert not found


def test_javascript_has_no_text_outside_the_catalogue() -> None:
    keys = {message.id for message in template()}
    found = []
    for path in UI.rglob("*.js"):
        code = re.sub(r"^\s*//.*$|\s// .*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert set(re.findall(r'\b_\("((?:[^"\\]|\\.)*)"', code)) <= keys
        code = re.sub(r'\b_\("(?:[^"\\]|\\.)*"', "", code)
        texts = [*IN_MARKUP.findall(code), *re.findall(r'["`]([A-Z][a-z]+(?: [^"`]*|[.…!?]*))["`]', code)]
        found += [f"{path.name}: {text}" for text in texts if text not in _KEYS and not CODE.search(text)]
    assert not found


_KEYS = {"Enter", "Escape", "Tab", "Home", "End", "Files", "Content-Type"}


def _outside(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    passed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in MARKED | NOT_READ:
            passed |= {id(each) for each in ast.walk(node) if isinstance(each, ast.Constant)}
        elif isinstance(node, ast.Expr | ast.Compare):  # a docstring
            passed |= {id(each) for each in ast.iter_child_nodes(node)}
        elif isinstance(node, ast.Assign) and _name(node.targets[0]) == "__all__":
            passed |= {id(each) for each in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in passed:
            text = node.value
            parts = IN_MARKUP.findall(text) if CODE.search(text) else [text]
            yield from (part for part in parts if PROSE.match(part) and part not in NAMES)


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
