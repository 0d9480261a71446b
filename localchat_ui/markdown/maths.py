"""Where formulas stand in Markdown: `$…$`, `$$…$$`, `\\(…\\)`, `\\[…\\]` and bare environments."""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from localchat_ui.markdown.cjk import CJK
from localchat_ui.markdown.mathml import MAX_LATEX, to_mathml

MAX_LINES = 100  # of a formula with empty lines in it


def maths_plugin(markdown: MarkdownIt) -> None:
    """Reads `$…$`, `$$…$$`, `\\(…\\)`, `\\[…\\]` and, where it begins a line, `\\begin{align}` and its like.

    What does not convert is shown as it was written, as code.
    """
    markdown.inline.ruler.before("escape", "maths", _read_inline)
    interrupts = ["paragraph", "reference", "blockquote", "list"]
    markdown.block.ruler.before("fence", "maths_block", _read_block, {"alt": interrupts})
    markdown.add_render_rule("maths", _render_inline)
    markdown.add_render_rule("maths_block", _render_block)
    for wrapper in ("maths_open", "maths_close"):
        markdown.add_render_rule(wrapper, _render_nothing)


def _read_inline(state: StateInline, silent: bool) -> bool:
    opening = _OPENING.match(state.src, state.pos)
    if opening is None:
        return False
    mark = opening[0]
    start = opening.end()
    end = _dollar_end(state, start) if mark == "$" else _end_of(state, mark, start)
    if end < 0:
        return False
    if not silent:
        token = state.push("maths", "math", 0)
        token.content = state.src[start:end]
        token.markup = mark
    state.pos = end + len(mark)
    return True


def _end_of(state: StateInline, mark: str, start: int) -> int:
    end = state.src.find(_CLOSING[mark], start, min(state.posMax, start + MAX_LATEX))
    escaped_link = mark == r"\[" and state.src.startswith("(", end + 2)
    if end < 0 or escaped_link or not state.src[start:end].strip():
        return -1
    return end


def _dollar_end(state: StateInline, start: int) -> int:
    """Where the closing dollar stands, or -1. A price is no formula, nor are two."""
    found = _TO_DOLLAR.match(state.src, start, min(state.posMax, start + MAX_LATEX))
    if found is None:
        return -1
    before, after = state.src[start - 2 : start - 1] if start > 1 else "", state.src[found.end() : found.end() + 1]
    latex = found[0][:-1]
    if not latex or latex[0].isspace() or latex[-1].isspace() or after == "$":
        return -1
    if _MATHS.search(latex):
        return found.end() - 1 if not before.isdigit() or latex[0] in "^_" else -1
    # Without a sign that only formulas have: "$n$th" and "若$n$为" are read, "$5-$10" and "$HOME/$USER" are not.
    if _is_word(before) or after == "_" or (_is_word(after) and (len(latex) > 1 or after.isdigit() or after.isupper())):
        return -1
    return -1 if _PROSE.search(latex) or not _is_balanced(latex) else found.end() - 1


def _is_word(character: str) -> bool:
    """Whether a formula cannot stand beside it without a space. In Chinese it can."""
    return character.isalnum() and not _CJK.match(character)


def _is_balanced(latex: str) -> bool:
    """Of "$100 (or 50$)" one bracket is inside. An interval may end with another kind than it begins with."""
    return sum(map(latex.count, "([{")) == sum(map(latex.count, ")]}"))


def _read_block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """Display maths that begins a line, up to its end, or to an empty line with prose behind it. Whether it is one is
    settled by the first line, because the lines above it may be on the page already when the others arrive."""
    opening = None if state.is_code_block(start_line) else _opening_of_block(state, start_line)
    if opening is None or silent:
        return opening is not None
    close = _closing(opening)
    line, found = start_line, state.src.find(close, opening.end(), state.eMarks[start_line])
    stop = _end_without_close(state, start_line, end_line)
    while found < 0 and (line := line + 1) < stop:
        found = state.src.find(close, state.bMarks[line] + state.tShift[line], state.eMarks[line])
    if found < 0:
        _push_block(state, opening, "", start_line, stop, is_closed=False)
        return True
    rest = state.src[found + len(close) : state.eMarks[line]].strip()
    if _PUNCTUATION.fullmatch(rest):
        _push_block(state, opening, rest, start_line, line + 1, is_closed=True)
        return True
    state.push("maths_open", "", 1).map = [start_line, line + 1]
    _push_block(state, opening, rest, start_line, line + 1, is_closed=True)
    state.push("paragraph_open", "p", 1)
    inline = state.push("inline", "", 0)
    inline.content, inline.children, inline.map = rest, [], [line, state.line]
    state.push("paragraph_close", "p", -1)
    state.push("maths_close", "", -1)
    return True


def _opening_of_block(state: StateBlock, line: int) -> re.Match[str] | None:
    """None as well for a formula that ends in the same line with words behind it: it is a part of them."""
    start, end = state.bMarks[line] + state.tShift[line], state.eMarks[line]
    opening = _BLOCK_OPENING.match(state.src, start, end)
    if opening is None:
        return None
    close = _closing(opening)
    found = state.src.find(close, opening.end(), end)
    is_empty = found == opening.end()
    has_words_behind = found >= 0 and not _PUNCTUATION.fullmatch(state.src, found + len(close), end)
    return None if is_empty or has_words_behind else opening


def _push_block(
    state: StateBlock, opening: re.Match[str], rest: str, start_line: int, stop: int, *, is_closed: bool
) -> None:
    """`rest` stands behind the end of the formula: a full stop belongs into it, words do not."""
    source = state.getLines(start_line, stop, state.sCount[start_line], False).strip()
    punctuation = rest if _PUNCTUATION.fullmatch(rest) else ""
    source = source if punctuation else source.removesuffix(rest).rstrip()
    token = state.push("maths_block", "math", 0)
    token.map, token.content, token.markup = [start_line, stop], source, opening[0]
    latex = source.removesuffix(punctuation).rstrip()
    if not opening["environment"]:
        latex = latex[len(opening[0]) : -len(opening[0])]
    token.meta = {"latex": latex + punctuation if is_closed else None}
    state.line = stop


def _closing(opening: re.Match[str]) -> str:
    return rf"\end{{{opening['environment']}}}" if opening["environment"] else _CLOSING[opening[0]]


def _end_without_close(state: StateBlock, start_line: int, end_line: int) -> int:
    """The line that ends it at the latest. More text never moves it once it has been found, and the text up to it has
    the same end when it is read alone."""
    line = start_line + 1
    while line < min(end_line, start_line + MAX_LINES):
        if state.sCount[line] < state.blkIndent and not state.isEmpty(line):
            break
        if state.isEmpty(line - 1) and _NO_MATHS.match(state.src, state.bMarks[line] + state.tShift[line]):
            break
        line += 1
    return line


_CLOSING = {"$": "$", "$$": "$$", r"\(": r"\)", r"\[": r"\]"}
_DISPLAYED = "align|alignat|equation|gather|multline|eqnarray|flalign|split|aligned|gathered|[pbvB]?matrix|cases|array"
_OPENING = re.compile(r"(?<!\$)\$\$?(?!\$)|\\[(\[]")
_BLOCK_OPENING = re.compile(rf"\$\$(?!\$)|\\\[|\\begin\{{(?P<environment>(?:{_DISPLAYED})\*?)\}}")
_TO_DOLLAR = re.compile(r"(?:[^$\\`]|\\.)*\$", re.DOTALL)
# Signs that only formulas have.
_MATHS = re.compile(r"\\[A-Za-z,;!{}|]|\^|_\{|^_|[A-Za-z)\]]_\w(?!\w)|(?<![A-Za-z])[A-Za-z]_\w")
_CJK = re.compile(f"[{CJK}]")
# A word of its own, an address, and amounts ("5, or 10").
_PROSE = re.compile(
    r"^\d[^={}]*(?<![A-Za-z0-9])[A-Za-z]{2,}|\s[A-Za-z]{2,}\s|@|^\d[\d,.]*[kKmMbB]?\s*[,;/–—-]\s*$|[\u2e80-\u9fff\uac00-\ud7ff]"
)
_PUNCTUATION = re.compile(r"\s*[.,;:!?。，；]*\s*")
# How a line begins that says something: two words, a word in a language without spaces, other blocks.
_NO_MATHS = re.compile(
    r"[*_(\"']*(?:[A-Za-z]{2,}|[AI])[*_]* +[*_`(\[]*[A-Za-z]{2,}|[*_]*[\u0400-\u1fff\u2e80-\ud7ff]"
    r"|\#{1,6} |```|~~~|\||> |[-*+] (?:[A-Za-z]{2}|\*\*|[AI] [a-z]{2})|\d+[.)] |\$\$[^\s.,;:!?。，；]"
)


# Rendering


def _render_inline(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[index]
    display = token.markup in ("$$", r"\[")
    source = token.markup + token.content + _CLOSING[token.markup]
    return _html(token.content, source, display=display)


def _render_block(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    token = tokens[index]
    return f"<p>{_html(token.meta['latex'], token.content, display=True)}</p>\n"


def _render_nothing(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    return ""


def _html(latex: str | None, source: str, *, display: bool) -> str:
    mathml = to_mathml(latex.strip(), display=display) if latex is not None else None
    html = mathml or f"<code>{nh3.clean_text(source)}</code>"
    return f'<span class="maths">{html}</span>' if display else html
