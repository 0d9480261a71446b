"""LaTeX in a model's text: where it stands in the Markdown, and the MathML that browsers draw by themselves."""

from __future__ import annotations

import re
import threading
from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from math_core import LatexError, LatexToMathML

MAX_LATEX = 4_000
MAX_MATHML = 100_000
MAX_DEPTH = 60  # Browsers flatten trees that are much deeper, and nobody can read them.
MAX_SPACE = 20  # em


@lru_cache(maxsize=256)
def to_mathml(latex: str, *, display: bool) -> str | None:
    """A `<math>` element, not yet sanitised; None for LaTeX that is wrong, unknown, too long or too deep."""
    if not latex or len(latex) > MAX_LATEX or _DEFINITION.search(latex):
        return None
    latex = _ENVIRONMENT.sub(lambda found: f"\\{found[1]}{{{_ENVIRONMENTS[found[2]]}}}", latex)
    latex = _WHOLE_EQUATION.sub(r"\1", _LABEL.sub("", _TAG.sub(r"\\qquad\\text{(\1)}", latex)))
    try:
        mathml = _convert(latex, display)
    except LatexError:
        return None
    if len(mathml) > MAX_MATHML or _depth(mathml) > MAX_DEPTH or "<a " in mathml:
        return None
    if any(float(width) > MAX_SPACE for width in _WIDTH.findall(mathml)):
        return None
    return _STYLE.sub(lambda found: _classes(found[1]), mathml)


def maths_plugin(markdown: MarkdownIt) -> None:
    """Reads `$…$`, `$$…$$`, `\\(…\\)` and `\\[…\\]`. What does not convert is shown as it was written, as code."""
    markdown.inline.ruler.before("escape", "maths", _read_inline)
    interrupts = ["paragraph", "reference", "blockquote", "list"]
    markdown.block.ruler.before("fence", "maths_block", _read_block, {"alt": interrupts})
    markdown.add_render_rule("maths", _render_inline)
    markdown.add_render_rule("maths_block", _render_block)
    for wrapper in ("maths_open", "maths_close"):
        markdown.add_render_rule(wrapper, _render_nothing)


TAGS = {
    *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mphantom", "mpadded"),
    *("msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts", "mprescripts"),
    *("mtable", "mtr", "mtd", "menclose", "b", "i"),
}
ATTRIBUTES = {
    "math": {"display"},
    "mi": {"mathvariant"},
    "mo": {
        *("form", "stretchy", "symmetric", "lspace", "rspace", "minsize", "maxsize"),
        *("movablelimits", "largeop"),
    },
    "mspace": {"width"},
    "mfrac": {"linethickness", "displaystyle"},
    "mrow": {"displaystyle", "scriptlevel"},
    "mtable": {"displaystyle", "scriptlevel"},
    "mover": {"accent"},
    "munder": {"accentunder"},
    "munderover": {"accent", "accentunder"},
    "menclose": {"notation"},
}
# The converter places the cells of a table with style attributes. These classes take their part in style.css.
_CELL_STYLES = {
    "text-align:left": "left",
    "text-align:right": "right",
    "padding-left:0": "close-left",
    "padding-right:0": "close-right",
    "padding-left:1em": "gap-left",
    "border-left": "line-left",
    "border-right": "line-right",
    "border-top": "line-top",
    "border-bottom": "line-bottom",
}
CLASSES = {"mtd": set(_CELL_STYLES.values())}


def _convert(latex: str, display: bool) -> str:
    if len(latex) <= 300:
        return _CONVERTER.convert_with_local_state(latex, displaystyle=display)
    # The converter calls itself once a level and overflowing the stack would end the program. This stack is deeper
    # than any formula of `MAX_LATEX` characters; the usual one is deep enough for short formulas.
    outcome: list[str | LatexError] = []

    def convert() -> None:
        try:
            outcome.append(_CONVERTER.convert_with_local_state(latex, displaystyle=display))
        except LatexError as error:
            outcome.append(error)

    thread = threading.Thread(target=convert, name="maths")
    with _STACK_SIZE:
        usual = threading.stack_size(64 * 1024 * 1024)
        try:
            thread.start()
        finally:
            threading.stack_size(usual)
    thread.join()
    [result] = outcome
    if isinstance(result, LatexError):
        raise result
    return result


def _depth(mathml: str) -> int:
    depth = deepest = 0
    for end, alone in _ELEMENT.findall(mathml):
        depth += -1 if end else 0 if alone else 1
        deepest = max(deepest, depth)
    return deepest


def _classes(style: str) -> str:
    names = []
    for declaration in style.replace(" ", "").split(";"):
        name = _CELL_STYLES.get(declaration) or _CELL_STYLES.get(declaration.partition(":")[0])
        if name:
            names.append(name)
    return f' class="{" ".join(names)}"' if names else ""


_STACK_SIZE = threading.Lock()  # the size is that of the whole program
_CONVERTER = LatexToMathML(fancy_error=False, allow_unreliable_rendering=True)
# A definition multiplies: ten of them in a row make a page out of a line.
_DEFINITION = re.compile(r"\\(?:(?:new|renew|provide)command|[gex]?def|let|global)(?![A-Za-z])")
# Numbers count from 1 in each formula, which says nothing: the environments that number become those that do not.
_ENVIRONMENTS = {
    **dict.fromkeys(("align", "align*", "split", "flalign", "flalign*", "eqnarray", "eqnarray*"), "aligned"),
    **dict.fromkeys(("gather", "gather*", "multline", "multline*"), "gathered"),
}
_ENVIRONMENT = re.compile(r"\\(begin|end)\{(" + "|".join(map(re.escape, _ENVIRONMENTS)) + r")\}")
_WHOLE_EQUATION = re.compile(r"\A\s*\\begin\{equation(?:\*?)\}(.*)\\end\{equation(?:\*?)\}\s*\Z", re.DOTALL)
_TAG = re.compile(r"\\tag\*?\{([^{}]*)\}")
_LABEL = re.compile(r"\\label\{[^{}]*\}|\\(?:notag|nonumber)(?![A-Za-z])")
_ELEMENT = re.compile(r"<(/?)[a-z]+[^>]*?(/?)>")
_WIDTH = re.compile(r'width="(\d+\.?\d*)r?em"')
_STYLE = re.compile(r' style="([^"]*)"')


# Reading


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
    if start > 1 and state.src[start - 2].isalnum():
        return -1
    found = _TO_DOLLAR.match(state.src, start, min(state.posMax, start + MAX_LATEX))
    if found is None:
        return -1
    latex, after = found[0][:-1], state.src[found.end() : found.end() + 1]
    if not latex or latex[0].isspace() or latex[-1].isspace() or _PRICE.match(latex):
        return -1
    # "$n$th" is read, "$5-$10" and "$HOME/$USER" are not.
    if after in ("$", "_") or after.isdigit() or after.isupper():
        return -1
    return found.end() - 1


def _read_block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """Display maths that begins a line, up to its end or a blank line. Whether it is one is settled by the first line,
    because the lines above it may be on the page already when the others arrive."""
    if state.is_code_block(start_line):
        return False
    start, line_end = state.bMarks[start_line] + state.tShift[start_line], state.eMarks[start_line]
    opening = _BLOCK_OPENING.match(state.src, start, line_end)
    if opening is None:
        return False
    close = _CLOSING[opening[0]]
    line, found = start_line, state.src.find(close, opening.end(), line_end)
    if found >= 0 and not _PUNCTUATION.fullmatch(state.src, found + 2, line_end):
        return False
    if found == opening.end():
        return False
    if silent:
        return True
    while found < 0:
        line += 1
        if line >= end_line or state.isEmpty(line) or state.sCount[line] < state.blkIndent:
            break
        found = state.src.find(close, state.bMarks[line] + state.tShift[line], state.eMarks[line])
    closed = found >= 0
    source = state.getLines(start_line, line + closed, state.sCount[start_line], False).strip()
    trailing = state.src[found + 2 : state.eMarks[line]].strip() if closed else ""
    punctuation = trailing if _PUNCTUATION.fullmatch(trailing) else ""
    state.line = line + closed
    prose = trailing if trailing and not punctuation else ""
    if prose:
        state.push("maths_open", "", 1).map = [start_line, state.line]
        source = source[: len(source) - len(prose)].rstrip()
    token = state.push("maths_block", "math", 0)
    token.map = [start_line, state.line]
    token.content = source
    token.markup = opening[0]
    token.meta = {"latex": source[2 : source.rindex(close)] + punctuation if closed else None}
    if prose:
        state.push("paragraph_open", "p", 1)
        inline = state.push("inline", "", 0)
        inline.content, inline.children, inline.map = prose, [], [line, state.line]
        state.push("paragraph_close", "p", -1)
        state.push("maths_close", "", -1)
    return True


_CLOSING = {"$": "$", "$$": "$$", r"\(": r"\)", r"\[": r"\]"}
_OPENING = re.compile(r"(?<!\$)\$\$?(?!\$)|\\[(\[]")
_BLOCK_OPENING = re.compile(r"\$\$(?!\$)|\\\[")
_TO_DOLLAR = re.compile(r"(?:[^$\\`]|\\.)*\$", re.DOTALL)
_PRICE = re.compile(r"\d[^\\^_={}]*[\s,/–—-][A-Za-z]{2,}")
_PUNCTUATION = re.compile(r"\s*[.,;:!?]*\s*")


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
