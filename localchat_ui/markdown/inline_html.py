"""The few HTML tags that models write in a line: `<br>`, and pairs like `<sub>…</sub>`. All others are text."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

PAIRS = ("b", "del", "em", "i", "ins", "kbd", "mark", "s", "strong", "sub", "sup", "u")
TAGS = {"br", *PAIRS}
# Characters in which the end of a pair is looked for.
REACH = 2_000


def inline_html_plugin(markdown: MarkdownIt) -> None:
    """Tags without attributes alone. A pair without its end is text, as it is while the end has not arrived."""
    markdown.inline.ruler.before("html_inline", "inline_html", _read)


def _read(state: StateInline, silent: bool) -> bool:
    found = _OPENING.match(state.src, state.pos, state.posMax) if state.src[state.pos] == "<" else None
    if found is None:
        return False
    if found["tag"] is None:
        if not silent:
            state.push("hardbreak", "br", 0)
        state.pos = found.end()
        return True
    tag = found["tag"].lower()
    end = _closing(state.src, tag, found.end(), min(state.posMax, found.end() + REACH))
    if end is None or state.level >= state.md.options.maxNesting:
        return False
    if not silent:
        after, last = end.end(), state.posMax
        state.push("pair_open", tag, 1)
        state.pos, state.posMax = found.end(), end.start()
        state.md.inline.tokenize(state)
        state.push("pair_close", tag, -1)
        state.pos, state.posMax = after, last
    state.pos = end.end()
    return True


def _closing(text: str, tag: str, start: int, stop: int) -> re.Match[str] | None:
    depth = 1
    for found in _EITHER[tag].finditer(text, start, stop):
        depth += -1 if found["end"] else 1
        if not depth:
            return found
    return None


_OPENING = re.compile(rf"<(?:br ?/?|(?P<tag>{'|'.join(PAIRS)}))>", re.IGNORECASE)
_EITHER = {tag: re.compile(rf"<(?P<end>/?){tag}>", re.IGNORECASE) for tag in PAIRS}
