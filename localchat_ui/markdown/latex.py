r"""What models write in formulas, in the words that the converter knows."""

from __future__ import annotations

import re

from localchat_ui.markdown.chemistry import closing_brace, expand_chemistry


def rewrite(latex: str) -> str:
    """The same formula without packages and numbers, and with one row for each of its paragraphs."""
    latex = expand_chemistry(_rows(latex))
    for pattern, replacement in _REWRITTEN:
        latex = pattern.sub(replacement, latex)
    latex = _TEXT.sub(lambda found: _DOLLARS.sub(r"}\1\\text{", found[0]), latex)
    latex = _substacks(latex)
    latex = _ENVIRONMENT.sub(lambda found: f"\\{found[1]}{{{_ENVIRONMENTS[found[2]]}}}", latex)
    return _WHOLE_EQUATION.sub(r"\1", _LABEL.sub("", _TAG.sub(r"\\qquad\\text{(\1)}", latex)))


def _substacks(latex: str) -> str:
    parts, position = [], 0
    while (found := _SUBSTACK.search(latex, position)) and (end := closing_brace(latex, found.end())) > 0:
        rows = latex[found.end() : end]
        parts += [latex[position : found.start()], rf"\begin{{subarray}}{{c}}{rows}\end{{subarray}}"]
        position = end + 1
    return "".join([*parts, latex[position:]])


def _rows(latex: str) -> str:
    """Lines with empty ones between them, one below the other."""
    parts = [part.strip() for part in _BLANK_LINE.split(latex.strip())]
    if len(parts) == 1:
        return latex
    if any(part.count(r"\begin") != part.count(r"\end") or part.count("{") != part.count("}") for part in parts):
        return "\n".join(parts)
    rows = r" \\ ".join(part.removesuffix(r"\\") for part in parts)
    return rf"\begin{{gathered}}{rows}\end{{gathered}}"


# Numbers count from 1 in each formula, which says nothing: the environments that number become those that do not.
_ENVIRONMENTS = {
    **dict.fromkeys(("align", "align*", "split", "flalign", "flalign*", "eqnarray", "eqnarray*"), "aligned"),
    **dict.fromkeys(("gather", "gather*", "multline", "multline*"), "gathered"),
}
_ENVIRONMENT = re.compile(r"\\(begin|end)\{(" + "|".join(map(re.escape, _ENVIRONMENTS)) + r")\}")
_WHOLE_EQUATION = re.compile(r"\A\s*\\begin\{equation(?:\*?)\}(.*)\\end\{equation(?:\*?)\}\s*\Z", re.DOTALL)
_REWRITTEN = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(begin|end)\{align(?:ed)?at\*?\}(?:\{\d+\})?", r"\\\1{aligned}"),
        (r"\\(begin|end)\{([pbvBV]?matrix)\*\}(?:\[[lcr]\])?", r"\\\1{\2}"),
        (r"\\begin\{smallmatrix\}", r"\\begin{subarray}{cccccccc}"),
        (r"\\end\{smallmatrix\}", r"\\end{subarray}"),
        (r"\\mathop\{\\(?:mathrm|rm|text|operatorname)\s*\{([^{}]*)\}\}\\limits", r"\\operatorname*{\1}"),
        (r"\\pmb(?![A-Za-z])", r"\\boldsymbol"),
        (r"\\mathds(?![A-Za-z])", r"\\mathbb"),
        (r"\\smash(?:\[[tb]\])?(?![A-Za-z])|\\require\{mhchem\}", ""),
        (r"\\textdegree(?![A-Za-z])", r"{}^\\circ"),
    )
]
_TEXT = re.compile(r"\\text\{[^{}]*\$[^{}]*\}")
_DOLLARS = re.compile(r"(?<!\\)\$([^$]*)\$")
_SUBSTACK = re.compile(r"\\substack\s*\{")
_BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")
_TAG = re.compile(r"\\tag\*?\{([^{}]*)\}")
_LABEL = re.compile(r"\\label\{[^{}]*\}|\\(?:notag|nonumber)(?![A-Za-z])")
