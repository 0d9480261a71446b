r"""`\ce{2H2 + O2 -> 2H2O}`: chemistry as mhchem writes it, as the LaTeX that any converter reads."""

from __future__ import annotations

import re


def expand_chemistry(latex: str) -> str:
    r"""The same LaTeX with each `\ce{…}` written out."""
    if r"\ce" not in latex:
        return latex
    parts, position = [], 0
    while found := _COMMAND.search(latex, position):
        end = closing_brace(latex, found.end())
        if end < 0:
            break
        parts += [latex[position : found.start()], "{", _formula(latex[found.end() : end]), "}"]
        position = end + 1
    return "".join([*parts, latex[position:]])


def _formula(text: str) -> str:
    """One reaction or formula. What is not chemistry is left to the converter, which refuses what it does not know."""
    written: list[str] = []
    position, before = 0, "start"  # what stands before: `start` of a term, `atom`, or `other`
    while position < len(text):
        kind, found = next((kind, m) for kind, pattern in _PARTS if (m := pattern.match(text, position)))
        position = found.end()
        if kind == "arrow":
            above, end = _bracketed(text, position)
            below, position = _bracketed(text, end)
            written.append(_arrow(found[1], above, below))
            before = "start"
        elif kind == "number":
            written.append(_number(found, is_amount=before == "start"))
            before = "start" if before == "start" else "atom"
        elif kind == "script":
            body, position = _script(text, found)
            alone = before == "start" and not (written and written[-1].startswith("{}"))
            written.append(("{}" if alone else "") + found[1] + body)
            before = before if before == "start" else "atom"
        elif kind == "charge":
            written.append(f"^{{{found[0]}}}" if before == "atom" else f" {found[0]} ")
        elif kind == "atoms":
            written.append(f"\\mathrm{{{found[0]}}}")
            before = "atom"
        elif kind == "space":
            written.append(" ")
            before = "start"
        else:
            written.append(_SIGNS.get(kind, found[0]))
            before = {"close": "atom", "raw": "atom", "letter": "atom", "state": "other"}.get(kind, "start")
            if kind == "state":
                written[-1] = f"\\,\\mathrm{{{found[0]}}}"
            elif kind == "raw":
                written[-1] = found[1]
    return "".join(written)


def _number(found: re.Match[str], *, is_amount: bool) -> str:
    if not is_amount:
        return f"_{{{found[0]}}}"
    amount = f"\\tfrac{{{found[1]}}}{{{found[2]}}}" if found[2] else found[0]
    return amount + "\\,"


def _script(text: str, found: re.Match[str]) -> tuple[str, int]:
    """What stands above or below, and where it ends."""
    if text.startswith("{", found.end()):
        end = closing_brace(text, found.end() + 1)
        if end > 0:
            return "{" + text[found.end() + 1 : end] + "}", end + 1
    plain = _SCRIPT_BODY.match(text, found.end())
    return ("{" + plain[0] + "}", plain.end()) if plain else ("{}", found.end())


def _arrow(arrow: str, above: str, below: str) -> str:
    plain, with_text = _ARROWS[arrow]
    if not above and not below:
        return f" {plain} "
    return f" {with_text}{f'[{_formula(below)}]' if below else ''}{{{_formula(above)}}} "


def _bracketed(text: str, position: int) -> tuple[str, int]:
    end = text.find("]", position) if text.startswith("[", position) else -1
    return (text[position + 1 : end], end + 1) if end > 0 else ("", position)


def closing_brace(text: str, start: int) -> int:
    """Where the brace is that closes the one before `start`, or -1."""
    depth = 1
    for found in _BRACE.finditer(text, start):
        depth += 1 if found[0] == "{" else -1
        if not depth:
            return found.start()
    return -1


_ARROWS = {
    "->": (r"\longrightarrow", r"\xrightarrow"),
    "→": (r"\longrightarrow", r"\xrightarrow"),
    "<-": (r"\longleftarrow", r"\xleftarrow"),
    "<->": (r"\longleftrightarrow", r"\xleftrightarrow"),
    "<=>": (r"\rightleftharpoons", r"\xrightleftharpoons"),
    "<=>>": (r"\rightleftharpoons", r"\xrightleftharpoons"),
    "<<=>": (r"\rightleftharpoons", r"\xrightleftharpoons"),
    "⇌": (r"\rightleftharpoons", r"\xrightleftharpoons"),
}
_SIGNS = {"gas": r"\uparrow ", "solid": r"\downarrow ", "dot": r"\cdot ", "triple": r"\equiv ", "double": "="}
_COMMAND = re.compile(r"\\ce\s*\{")
_BRACE = re.compile(r"(?<!\\)[{}]")
_SCRIPT_BODY = re.compile(r"\d*[+-]+|\d+|[A-Za-z+-]|\\[A-Za-z]+")
_PARTS = [
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("arrow", "(<=>>|<<=>|<=>|<->|->|<-|→|⇌)"),
        ("gas", r"\^(?=\s|\Z)"),
        ("solid", r"(?<=\s)v(?=\s|\Z)"),
        ("space", r"\s+"),
        ("state", r"\((?:aq|s|l|g|cr)\)"),
        ("script", "([_^])"),
        ("number", r"(\d+)(?:/(\d+))?"),
        ("raw", r"\$([^$]*)\$"),
        ("charge", r"[+-]+(?=[\s\])},]|\Z)"),
        ("atoms", r"[A-Z][a-z]?(?:[A-Z][a-z]?)*"),
        ("triple", "#"),
        ("double", "="),
        ("dot", r"[*.·]"),
        ("close", r"[)\]]|\\\}"),
        ("command", r"\\[A-Za-z]+\s*(?:\{[^{}]*\})*|\\."),
        ("letter", "[a-z]"),
        ("other", r"."),
    )
]
