"""Right to left, block by block: a reply may hold Arabic and English, and each paragraph, list or table its own way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

TAGS = (
    "p",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "blockquote",
    "ul",
    "ol",
    "li",
    "table",
    "th",
    "td",
    "details",
    "a",
    "bdi",
)


def directions_plugin(markdown: MarkdownIt) -> None:
    """Blocks that run the other way than what they stand in get a `dir`. Code and formulas run left to right."""
    markdown.core.ruler.after("bare_hosts", "directions", _mark)


def with_technical_apart(text: str) -> str:
    """What a person wrote as HTML in which paths and the like run from left to right; nothing where none needs it."""
    if not _RTL.search(text) or not _TECHNICAL.search(text):
        return ""
    return "".join(
        f'<bdi dir="ltr">{escape(part)}</bdi>' if is_technical else escape(part) for part, is_technical in _parts(text)
    )


def _mark(state: StateCore) -> None:
    if not _RTL.search(state.src):
        return
    own = _own_directions(state.tokens)
    inherited = ["ltr"]
    for index, token in enumerate(state.tokens):
        if token.nesting > 0:
            direction = own.get(index, inherited[-1]) if token.tag in TAGS else inherited[-1]
            if direction != inherited[-1]:
                token.attrSet("dir", direction)
            inherited.append(direction)
        elif token.nesting < 0:
            inherited.pop()
        elif token.type == "inline" and token.children and inherited[-1] == "rtl":
            token.children = list(_with_technical_apart(token.children))


def _own_directions(tokens: list[Token]) -> dict[int, str]:
    """Of each block that opens at this index: that of the first text in it that has one."""
    found: dict[int, str] = {}
    opened: list[int] = []
    for index, token in enumerate(tokens):
        if token.nesting > 0:
            opened.append(index)
        elif token.nesting < 0:
            opened.pop()
        elif token.type == "inline" and (direction := _direction(" ".join(_words_of(token)))):
            for each in opened:
                found.setdefault(each, direction)
    return found


def _words_of(inline: Token) -> Iterator[str]:
    """What a person says in it: no code, no formulas, no addresses."""
    is_address = False
    for token in inline.children or ():
        if token.type in ("link_open", "link_close"):
            is_address = token.nesting > 0 and token.markup == "autolink"
        elif token.type == "text" and not is_address:
            yield _TECHNICAL.sub(" ", token.content)


def _direction(text: str) -> str | None:
    """As the first letter runs; and right to left if a foreign name comes first ("Python هي لغة برمجة")."""
    first = _LETTER.search(text)
    if first is None:
        return None
    if _RTL.match(first[0]):
        return "rtl"
    words = _LETTER_RUN.findall(text)
    n_rtl = sum(_RTL.match(word) is not None for word in words)
    return "rtl" if n_rtl > 2 * (len(words) - n_rtl) else "ltr"


def _with_technical_apart(children: list[Token]) -> Iterator[Token]:
    """Addresses, paths and the like keep their own order: without this `/etc/hosts` would end with its slash."""
    is_address = False
    for token in children:
        if token.type in ("link_open", "link_close") and token.markup == "autolink":
            is_address = token.nesting > 0
            if is_address:
                token.attrSet("dir", "ltr")
        if token.type != "text" or is_address:
            yield token
            continue
        for part, is_technical in _parts(token.content):
            if is_technical:
                yield Token("bdi_open", "bdi", 1, attrs={"dir": "ltr"})
            yield Token("text", "", 0, content=part)
            if is_technical:
                yield Token("bdi_close", "bdi", -1)


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, and which of them are technical."""
    position = 0
    for found in _TECHNICAL.finditer(text):
        yield text[position : found.start()], False
        yield found[0], True
        position = found.end()
    yield text[position:], False


_RTL_LETTERS = "\u0590-\u08ff\u200f\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
_RTL = re.compile(f"[{_RTL_LETTERS}]")
_LETTER = re.compile(r"[^\W\d_]")
_LETTER_RUN = re.compile(r"[^\W\d_]+")
_TECHNICAL = re.compile(
    r"(?<![\w/.~-])(?:"
    r"(?:\.{0,2}|~)/[\w./~*+@%-]*[\w/]"  # /etc/hosts, ./run.sh, ~/notes
    r"|[A-Za-z]:\\(?:[\w.\\-]*\w)?"  # C:\Users
    r"|--?[A-Za-z][\w=-]*"  # --force
    r"|(?=[\w./-]*[A-Za-z])[\w.-]+(?:/[\w.-]+)*/(?:[\w.-]*\w)?"  # src/main.py
    r"|\.[A-Za-z]\w*"  # .gitignore
    r"|[A-Za-z][\w.]*(?:\+\+|\#|\(\))"  # C++, C#, run()
    r")",
    re.ASCII,
)
