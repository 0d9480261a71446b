"""The Markdown that models write, and the list of all HTML that may come of it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from localchat_ui.i18n import _
from localchat_ui.markdown import (
    code_block,
    details,
    directions,
    emphasis,
    footnotes,
    heavy_blocks,
    inline_html,
    links,
    mathml,
    maths,
    nested_fences,
    tables,
    task_lists,
)


def parse(text: str, env: EnvType) -> list[Token]:
    return _MARKDOWN.parse(text, env)


def render(tokens: Sequence[Token], env: EnvType) -> str:
    return _CLEANER.clean(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, env))


def render_notes(env: EnvType) -> str:
    notes = [env["notes"].get(label, "") for label in footnotes.referenced_labels(env)]
    if not notes:
        return ""
    items = (f"<li>{note if isinstance(note, str) else render(note, env)}</li>\n" for note in notes)
    return f'<ol class="footnotes" aria-label="{escape(_("Footnotes"))}">\n{"".join(items)}</ol>\n'


def _render_code(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[index]
    pieces = code_block.pieces(token.content)
    return "".join(
        code_block.code_figure(
            code,
            token.info,
            more=token.meta.get("more", False) or number > 0,
            cut=token.meta.get("cut", False) or number < len(pieces) - 1,
        )
        for number, code in enumerate(pieces)
    )


def _render_image(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """A link: a picture from another host would tell it that, and when, this reply was read."""
    token = tokens[index]
    source = nh3.clean_text(str(token.attrs.get("src", "")))
    return f'<a href="{source}">{nh3.clean_text(token.content or _("image"))}</a>'


# Line feeds are kept, as in the comments of GitHub: models write poems, addresses and steps with them.
_MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 100})
_MARKDOWN.enable(["table", "strikethrough"])
for _plugin in (
    *(task_lists.task_lists_plugin, footnotes.footnotes_plugin, maths.maths_plugin, nested_fences.nested_fences_plugin),
    *(details.details_plugin, tables.tables_plugin, heavy_blocks.heavy_blocks_plugin),
    *(emphasis.emphasis_plugin, links.links_plugin),
    *(inline_html.inline_html_plugin, directions.directions_plugin),
):
    _MARKDOWN.use(_plugin)
_MARKDOWN.add_render_rule("fence", _render_code)
_MARKDOWN.add_render_rule("code_block", _render_code)
_MARKDOWN.add_render_rule("image", _render_image)

# The Markdown above writes no HTML of its own accord; this list is the second lock on the same door.
_CLEANER = nh3.Cleaner(
    tags={
        *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "input"),
        *("strong", "em", "s", "code", "pre", "span", "a", "figure", "figcaption", "button", "bdi"),
        *("table", "thead", "tbody", "tr", "th", "td", "details", "summary"),
        *inline_html.TAGS,
        *mathml.TAGS,
    },
    attributes={
        "a": {"href", "title"},
        "ol": {"start", "aria-label"},
        "li": {"class"},
        "ul": {"class"},
        "span": {"class"},
        "figure": {"class"},
        "button": {"type", "aria-label"},
        "input": {"type", "checked", "disabled", "class", "aria-label"},
        "th": {"style"},
        "td": {"style"},
        "details": {"open"},
        **mathml.ATTRIBUTES,
    },
    tag_attribute_values={"pre": {"tabindex": {"0"}}, **{tag: {"dir": {"ltr", "rtl"}} for tag in directions.TAGS}},
    allowed_classes={
        "ol": {"footnotes"},
        "sup": {"footnote"},
        "button": {"copy-code", "preview-code"},
        **mathml.CLASSES,
    },
    filter_style_properties={"text-align"},
    url_schemes={"http", "https", "mailto"},
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={
        "a": {"target": "_blank"},
        "button": {"type": "button"},
        "input": {"disabled": "", "type": "checkbox"},
    },
)
