"""`<details>` with a `<summary>`: a part of a reply that is folded until somebody opens it."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock

from localchat_ui.i18n import _


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
    opening = state.push("details_open", "details", 1)
    opening.block, opening.map = True, [start_line, last_line + 1]
    opening.attrs = {"open": ""} if first["open"] else {}
    position = _push_summary(state, first.end(), start_line, last_line)
    _push_content(state, position, start_line, last_line)
    state.push("details_close", "details", -1)
    state.line = last_line + 1
    return True


def _push_summary(state: StateBlock, position: int, start_line: int, last_line: int) -> int:
    """What stands on the fold; returns where the rest begins. While it has no end yet, its line is all of it."""
    whole = _SUMMARY.match(state.src, position, state.eMarks[min(start_line + SUMMARY_LINES, last_line)])
    found = whole or _OPEN_SUMMARY.match(state.src, position, state.eMarks[last_line])
    state.push("summary_open", "summary", 1)
    inline = state.push("inline", "", 0)
    inline.content = (found[1].strip() if found else "") or _("Details")
    inline.map, inline.children = [start_line, start_line + 1], []
    state.push("summary_close", "summary", -1)
    return found.end() if found else position


def _push_content(state: StateBlock, position: int, line: int, last_line: int) -> None:
    """The Markdown from a place on up to the closing tag, which may stand behind words in the last line."""
    while line < last_line and state.eMarks[line] < position:
        line += 1
    marks = (state.bMarks, state.tShift, state.sCount, state.eMarks)
    kept = [(mark, at, mark[at]) for mark in marks for at in {line, last_line}], state.lineMax
    if position > state.bMarks[line] + state.tShift[line]:  # the rest of a line is a line of its own
        rest = state.src[position : state.eMarks[line]]
        state.bMarks[line], state.tShift[line] = position, len(rest) - len(rest.lstrip())
        state.sCount[line] = state.blkIndent
    closing = _LAST.search(state.src, max(position, state.bMarks[last_line]), state.eMarks[last_line])
    if closing:
        state.eMarks[last_line] = closing.start()
        state.tShift[last_line] = min(state.tShift[last_line], max(0, closing.start() - state.bMarks[last_line]))
    state.lineMax = last_line + 1
    state.md.block.tokenize(state, line, last_line + 1)
    changed, state.lineMax = kept
    for mark, at, value in changed:
        mark[at] = value


SUMMARY_LINES = 4
_FIRST = re.compile(r"<details(?P<open> open)?>[ \t]*", re.IGNORECASE)
_SUMMARY = re.compile(r"[\s>]*<summary>(.*?)</summary>[ \t]*", re.IGNORECASE | re.DOTALL)
_OPEN_SUMMARY = re.compile(r"[\s>]*<summary>([^\n]*)", re.IGNORECASE)
_OPENING = re.compile(r"<details(?: open)?>", re.IGNORECASE)
_CLOSING = re.compile(r"</details>", re.IGNORECASE)
_LAST = re.compile(r"</details>[ \t]*\Z", re.IGNORECASE)
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})([^`\n]*)$")
