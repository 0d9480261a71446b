"""`<details>` with a `<summary>`: a part of a reply that is folded until somebody opens it."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock


def details_plugin(markdown: MarkdownIt) -> None:
    """Reads the two tags, without attributes but `open`, where they begin a line. What is inside is Markdown."""
    interrupts = ["paragraph", "reference", "blockquote", "list"]
    markdown.block.ruler.before("fence", "details", _read, {"alt": interrupts})


def end_of(text: str, start: int) -> int:
    """Where the line begins that follows a part that begins here; code in it may name its end."""
    depth, position, mark = 0, start, ""
    while position < len(text):
        end = text.find("\n", position) + 1 or len(text)
        line, position = text[position:end], end
        found = _FENCE.match(line)
        if mark:
            mark = "" if found and found[1].startswith(mark) and not found[2].strip() else mark
        elif found:
            mark = found[1]
        else:
            depth += len(_OPENING.findall(line)) - len(_CLOSING.findall(line))
        if depth <= 0:
            break
    return position


def begins(text: str, start: int) -> bool:
    return _FIRST.match(text, start) is not None


def _read(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    start = state.bMarks[start_line] + state.tShift[start_line]
    first = _FIRST.match(state.src, start)
    if first is None or state.is_code_block(start_line):
        return False
    if silent:
        return True
    stop = end_of(state.src, start)
    last_line = start_line
    while last_line + 1 < end_line and state.bMarks[last_line + 1] < stop:
        if state.sCount[last_line + 1] < state.blkIndent and not state.isEmpty(last_line + 1):
            break
        last_line += 1
    line, position = start_line, first.end()
    opening = state.push("details_open", "details", 1)
    opening.block, opening.map = True, [start_line, last_line + 1]
    opening.attrs = {"open": ""} if first["open"] else {}
    while line < last_line and not state.src[position : state.eMarks[line]].strip():
        line += 1
        position = state.bMarks[line] + state.tShift[line]
    summary = _SUMMARY.match(state.src, position, state.eMarks[line])
    _push_summary(state, summary[1] if summary else "Details", line)
    _push_content(state, line, summary.end() if summary else position, last_line)
    state.push("details_close", "details", -1)
    state.line = last_line + 1
    return True


def _push_summary(state: StateBlock, text: str, line: int) -> None:
    state.push("summary_open", "summary", 1)
    inline = state.push("inline", "", 0)
    inline.content, inline.map, inline.children = text.strip(), [line, line + 1], []
    state.push("summary_close", "summary", -1)


def _push_content(state: StateBlock, line: int, position: int, last_line: int) -> None:
    """The Markdown from a place in one line up to the closing tag, which may stand in the last one."""
    begin, shift, count, end, stop = (
        *(state.bMarks[line], state.tShift[line], state.sCount[line]),
        *(state.eMarks[last_line], state.lineMax),
    )
    closing = _LAST.search(state.src, max(position, state.bMarks[last_line]), end)
    rest = state.src[position : state.eMarks[line]]
    if position != begin + shift:
        state.bMarks[line], state.tShift[line] = position, len(rest) - len(rest.lstrip())
        state.sCount[line] = state.blkIndent
    if closing:
        state.eMarks[last_line] = closing.start()
        if state.bMarks[last_line] + state.tShift[last_line] > closing.start():
            state.tShift[last_line] = max(0, closing.start() - state.bMarks[last_line])
    state.lineMax = last_line + 1
    state.md.block.tokenize(state, line, last_line + 1)
    state.bMarks[line], state.tShift[line], state.sCount[line] = begin, shift, count
    state.eMarks[last_line], state.lineMax = end, stop


_FIRST = re.compile(r"<details(?P<open> open)?>[ \t]*", re.IGNORECASE)
_SUMMARY = re.compile(r"<summary>(.*?)(?:</summary>[ \t]*|\Z|$)", re.IGNORECASE)
_OPENING = re.compile(r"<details(?: open)?>", re.IGNORECASE)
_CLOSING = re.compile(r"</details>", re.IGNORECASE)
_LAST = re.compile(r"</details>[ \t]*\Z", re.IGNORECASE)
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})([^`\n]*)$")
