"""Lists of things to do: an item that begins with `[ ]` or `[x]` gets a box."""

from __future__ import annotations

import re
from html import escape

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from localchat_ui.i18n import _


def task_lists_plugin(markdown: MarkdownIt) -> None:
    """Like the plugin of mdit_py_plugins, which goes back to the start of the list for each of its items."""
    markdown.core.ruler.after("inline", "task_lists", _mark)


def _mark(state: StateCore) -> None:
    lists: list[Token] = []
    before = [Token("", "", 0)] * 2
    for token in state.tokens:
        if token.type in ("bullet_list_open", "ordered_list_open"):
            lists.append(token)
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            lists.pop()
        elif [each.type for each in before] == ["list_item_open", "paragraph_open"] and _BOX.match(token.content):
            _put_box(token)
            before[0].attrSet("class", "task-list-item")
            lists[-1].attrSet("class", "contains-task-list")
        before = [before[1], token]


def _put_box(inline: Token) -> None:
    assert inline.children
    checked = "" if inline.content[1] == " " else ' checked="checked"'
    inline.children[0].content = inline.children[0].content[3:]
    inline.content = inline.content[3:]
    inline.children.insert(0, Token("html_inline", "", 0, content=_INPUT.format(checked, escape(_("Done")))))


_BOX = re.compile(r"\[[ xX]\][ \t\n\v\f\r]")
_INPUT = '<input class="task-list-item-checkbox"{} disabled="disabled" type="checkbox" aria-label="{}">'
