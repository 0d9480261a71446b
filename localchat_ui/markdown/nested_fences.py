"""A Markdown document in a code block, with code blocks of its own: the first of their ends does not end the whole."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, fence


def nested_fences_plugin(markdown: MarkdownIt) -> None:
    """In code whose language is Markdown, a fence with a language opens one that has to be closed first."""
    interrupts = ["paragraph", "reference", "blockquote", "list"]
    markdown.block.ruler.at("fence", _read, {"alt": interrupts})


def depth_after(code: str, info: str, markup: str, depth: int) -> int:
    """How many fences are open in Markdown code behind this piece of it."""
    if not _is_markdown(info):
        return 0
    for line in code.splitlines():
        depth += _step(line, markup) if depth or _step(line, markup) > 0 else 0
    return depth


def _read(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    first = state.src[state.bMarks[start_line] + state.tShift[start_line] : state.eMarks[start_line]]
    opening = _FENCE.match(first)
    if opening is None or not _is_markdown(opening["info"]) or state.is_code_block(start_line):
        return fence(state, start_line, end_line, silent)
    if silent:
        return True
    # A long block is read in pieces, of which the first line is the opening again.
    depth = state.env.pop("fences_open", 0) if start_line == 0 else 0
    line, closed = start_line + 1, False
    while line < end_line and not (state.sCount[line] < state.blkIndent and not state.isEmpty(line)):
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
        step = _step(text, opening["mark"]) if state.sCount[line] - state.blkIndent < 4 else 0
        if step < 0 and not depth:
            closed = True
            break
        depth += step
        line += 1
    token = state.push("fence", "code", 0)
    token.info, token.markup = opening["info"].strip(), opening["mark"]
    token.content = state.getLines(start_line + 1, line, state.sCount[start_line], True)
    state.line = line + closed
    token.map = [start_line, state.line]
    return True


def _step(line: str, markup: str) -> int:
    """1 for a line that opens a fence inside, -1 for one that closes a fence."""
    found = _FENCE.match(line.strip())
    if found is None or found["mark"][0] != markup[0] or len(found["mark"]) < len(markup):
        return 0
    return 1 if found["info"].strip() else -1


def _is_markdown(info: str) -> bool:
    return info.strip().lower().partition(" ")[0] in ("markdown", "md", "mdx", "gfm")


_FENCE = re.compile(r"(?P<mark>`{3,}|~{3,})(?P<info>[^`\n]*)\Z")
