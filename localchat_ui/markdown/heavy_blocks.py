"""A part of a text that would take too long to read as Markdown is shown as it was written."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from localchat_ui.markdown import details
from localchat_ui.markdown.tables import MAX_COLUMNS

# A list of 300 lines of prose weighs 50,000. What weighs this much takes about 0.1 s, and a growing reply reads it at
# each of its pieces.
MAX_WEIGHT = 60_000


def heavy_blocks_plugin(markdown: MarkdownIt) -> None:
    """Gives a `heavy` token for a stretch of blocks with no certain border between them that weighs too much.

    Code and tables are none of its business: they come in pieces, however long they are.
    """
    markdown.core.ruler.before("block", "heavy_start", _start)
    markdown.block.ruler.before("table", "heavy", _read)
    markdown.add_render_rule("heavy", _render)


def weight(text: str) -> int:
    """About how long the text takes to read, in units of 1.5 µs."""
    # A bracket may begin a link, whose end is looked for in all that follows.
    return len(text) + 24 * text.count("\n") + 8 * len(_MARKS.findall(text)) + text.count("[") ** 2 // 20


def _start(state: StateCore) -> None:
    state.env["light_until"] = 0


def _read(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    start = state.bMarks[start_line]
    if state.level or start < state.env["light_until"] or _FENCE.match(state.src, start):
        return False
    stop = _border(state.src, start)
    if stop <= start or weight(state.src[start:stop]) <= MAX_WEIGHT:
        state.env["light_until"] = stop
        return False
    state.line = bisect_left(state.bMarks, stop, start_line, end_line)
    token = state.push("heavy", "pre", 0)
    token.content = state.src[start:stop]
    token.map = [start_line, state.line]
    return True


def _border(text: str, start: int) -> int:
    """Where something new begins for certain, whatever stands before it; `start` for a table."""
    if details.begins(text, start):
        return details.end_of(text, start)
    border = _BORDER_OF_LIST if _ITEM.match(text, start) else _BORDER
    for found in border.finditer(text, start):
        if not found["delimiter"]:
            return found.end()
        if found["delimiter"].count("|") <= MAX_COLUMNS:  # the line above it is the head of a table
            return max(start, text.rfind("\n", start, found.start()) + 1)
    return len(text)


def _render(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    return f"<pre>{nh3.clean_text(tokens[index].content)}</pre>\n"


_MARKS = re.compile(r"[][*_`<>&$\\~!()|^:#]")
_FENCE = re.compile(" {0,3}(?:```|~~~)")
_ITEM = re.compile(r"(?:[-+*]|\d{1,9}[.)])[ \t\n]")
# The first line of code, a heading, the second line of a table.
_ALWAYS = r"(?=```|~~~|\#{1,6}[ \t\n])|(?=[:\- \t]*\|)(?=[|: \t]*-)(?=(?P<delimiter>[|:\- \t]+)(?:\n|\Z))"
# And what stands unindented behind an empty line; or begins a list.
_BORDER = re.compile(rf"\n(?:[ \t]*\n(?![ \t\n])|(?=(?:[-+*]|1[.)])[ \t])|{_ALWAYS})")
_BORDER_OF_LIST = re.compile(rf"\n(?:[ \t]*\n(?![ \t\n]|{_ITEM.pattern})|{_ALWAYS})")
