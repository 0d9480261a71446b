"""Model text to safe HTML, block by block, so that a growing reply only redraws its last block."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.tasklists import tasklists_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound


class MarkdownStream:
    """Renders a text that only grows. Blocks that can no longer change are handed out once, the open rest each time."""

    def __init__(self) -> None:
        self._start = 0
        self._env: dict[str, Any] = {}

    def feed(self, text: str) -> tuple[list[str], str]:
        """HTML of the blocks finished since the last call, and of everything behind them. `text` is the whole text."""
        rest = text.replace("\r", "")[self._start :]
        # What is still open must not leave anything behind: half a link definition would be taken for the whole.
        env = {"references": dict(self._env.get("references", {}))}
        blocks = _blocks(_MARKDOWN.parse(rest, env))
        # An unfinished line may still change how it joins what is before it ("2" becomes "2. item" of the list
        # above), so the block of the last finished line stays open.
        last_line = rest.count("\n") - 1
        n_finished = next((i for i, block in enumerate(blocks) if block.end > last_line), len(blocks) - 1)
        finished = [_render(block.tokens, env) for block in blocks[:n_finished]]
        if finished:
            open_text = rest.split("\n", blocks[n_finished].start)[-1]
            self._start += len(rest) - len(open_text)
            _MARKDOWN.parse(rest[: len(rest) - len(open_text)], self._env)
        return finished, "".join(_render(block.tokens, env) for block in blocks[n_finished:])


def render_markdown(text: str) -> str:
    """A finished text, whole."""
    finished, rest = MarkdownStream().feed(text)
    return "".join(finished) + rest


class _Block:
    """Tokens of one top-level block, and its lines from `start` up to but not with `end`."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        lines = tokens[0].map or [0, 0]
        self.start, self.end = lines[0], lines[1]


def _blocks(tokens: Sequence[Token]) -> list[_Block]:
    blocks, first = [], 0
    for index, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            blocks.append(_Block(tokens[first : index + 1]))
            first = index + 1
    return blocks


def _render(tokens: Sequence[Token], env: MutableMapping[str, Any]) -> str:
    return _CLEANER.clean(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, env))


def _render_fence(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[index]
    language = token.info.split(maxsplit=1)[0] if token.info.strip() else ""
    label = nh3.clean_text(language) if language else "text"
    return (
        f'<figure class="code"><figcaption>{label}</figcaption>'
        f"<pre><code>{_highlight(token.content, language)}</code></pre></figure>\n"
    )


def _render_image(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """A link: a picture from another host would tell it that, and when, this reply was read."""
    token = tokens[index]
    source = nh3.clean_text(str(token.attrs.get("src", "")))
    return f'<a href="{source}">{nh3.clean_text(token.content or "image")}</a>'


def _highlight(code: str, language: str) -> str:
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return nh3.clean_text(code)
    return str(highlight(code, lexer, _FORMATTER))


_FORMATTER = HtmlFormatter(nowrap=True)

_MARKDOWN = MarkdownIt("commonmark", {"html": False, "maxNesting": 100}).enable(["table", "strikethrough"])
_MARKDOWN.use(tasklists_plugin)
_MARKDOWN.add_render_rule("fence", _render_fence)
_MARKDOWN.add_render_rule("code_block", _render_fence)
_MARKDOWN.add_render_rule("image", _render_image)

# The Markdown above writes no HTML of its own accord; this list is the second lock on the same door.
_CLEANER = nh3.Cleaner(
    tags={
        *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "input"),
        *("strong", "em", "s", "code", "pre", "span", "a", "figure", "figcaption"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    },
    attributes={
        "a": {"href", "title"},
        "ol": {"start"},
        "li": {"class"},
        "ul": {"class"},
        "span": {"class"},
        "figure": {"class"},
        "input": {"type", "checked", "disabled", "class"},
        "th": {"style"},
        "td": {"style"},
    },
    filter_style_properties={"text-align"},
    url_schemes={"http", "https", "mailto"},
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}, "input": {"disabled": "", "type": "checkbox"}},
)
