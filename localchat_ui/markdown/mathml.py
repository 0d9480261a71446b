"""LaTeX as the MathML that browsers draw by themselves."""

from __future__ import annotations

import re
import threading
from functools import lru_cache

from math_core import LatexError, LatexToMathML

from localchat_ui.markdown.latex import rewrite

MAX_LATEX = 4_000
MAX_MATHML = 100_000
MAX_DEPTH = 60  # Browsers flatten trees that are much deeper, and nobody can read them.
MAX_SPACE = 20  # em


@lru_cache(maxsize=256)
def to_mathml(latex: str, *, display: bool) -> str | None:
    """A `<math>` element, not yet sanitised; None for LaTeX that is wrong, unknown, too long or too deep."""
    if not latex or len(latex) > MAX_LATEX or _DEFINITION.search(latex):
        return None
    latex = rewrite(latex)
    try:
        mathml = _convert(latex, display)
    except LatexError:
        return None
    if len(mathml) > MAX_MATHML or _depth(mathml) > MAX_DEPTH or "<a " in mathml:
        return None
    if any(float(width) > MAX_SPACE for width in _WIDTH.findall(mathml)):
        return None
    return _STYLE.sub(lambda found: _classes(found[1]), mathml)


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
_ELEMENT = re.compile(r"<(/?)[a-z]+[^>]*?(/?)>")
_WIDTH = re.compile(r'width="(\d+\.?\d*)r?em"')
_STYLE = re.compile(r' style="([^"]*)"')
