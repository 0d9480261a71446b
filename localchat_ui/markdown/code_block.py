"""Code in a reply: a figure with its language, a Copy button and colours. Long code comes in pieces."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape

import nh3
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from localchat_ui.i18n import _

# Characters. A piece is what one redraw of growing code costs, in the program, on the wire and in the browser.
SOFT_LIMIT = 2_500
HARD_LIMIT = 4_500
# What can be shown as the picture, page or table that it describes.
PREVIEWED = {"mermaid", "svg", "html", "csv", "tsv", "json", "jsonl"}


def code_figure(code: str, info: str, *, more: bool = False, cut: bool = False) -> str:
    """HTML of one piece, which the keyboard can scroll.

    `more`: it goes on from the piece before it; `cut`: another piece follows it.
    """
    language = info.split(maxsplit=1)[0] if info.strip() else ""
    classes = " ".join(["code", *(["more"] if more else []), *(["cut"] if cut else [])])
    is_picture = language.lower() in ("", "xml") and code.lstrip().startswith("<svg")
    buttons = _button("copy-code", _("Copy"), _("Copy code"))
    if is_picture or language.lower() in PREVIEWED:
        buttons = _button("preview-code", _("Preview"), _("Show preview")) + buttons
    caption = "" if more else f"<figcaption><span>{nh3.clean_text(language or 'text')}</span>{buttons}</figcaption>"
    body = f'<pre tabindex="0"><code>{_highlight(code, language)}</code></pre>'
    return f'<figure class="{classes}">{caption}{body}</figure>\n'


def pieces(code: str) -> list[str]:
    """Cuts long code before a line that begins something new, or anywhere between lines when there is none.

    More code behind it never moves a cut, so that a piece with another one behind it is final.
    """
    found, start, position = [], 0, 0
    after_blank = False
    for line in _LINES.findall(code) if len(code) > SOFT_LIMIT else []:
        size = position - start
        fresh = after_blank and not line[0].isspace()
        if size and ((fresh and size >= SOFT_LIMIT) or size + len(line) > HARD_LIMIT):
            found.append(code[start:position])
            start = position
        after_blank = not line.strip()
        position += len(line)
    return [*found, code[start:]]


def _button(kind: str, text: str, name: str) -> str:
    return f'<button type="button" class="{kind}" aria-label="{escape(name)}">{escape(text)}</button>'


@lru_cache(maxsize=128)
def _highlight(code: str, language: str) -> str:
    if len(code) > HARD_LIMIT:  # one endless line
        return nh3.clean_text(code)
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return nh3.clean_text(code)
    return str(highlight(code, lexer, _FORMATTER))


_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_FORMATTER = HtmlFormatter(nowrap=True)
