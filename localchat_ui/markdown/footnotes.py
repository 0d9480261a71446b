"""Footnotes `[^1]`: numbers in the text, the notes at its end. No anchors: their names would clash between messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.footnote import footnote_plugin


def footnotes_plugin(markdown: MarkdownIt) -> None:
    """Leaves the tokens of each note in `env["notes"]`, by label; a `footnote_definition` token stands in its place."""
    footnote_plugin(markdown, inline=False, move_to_end=False)
    markdown.core.ruler.before("inline", "footnotes_first", _keep_first)
    markdown.core.ruler.push("footnotes_apart", _set_apart)
    markdown.add_render_rule("footnote_ref", _render_reference)
    markdown.add_render_rule("footnote_definition", _render_definition)


def referenced_labels(env: EnvType) -> list[str]:
    """Labels of the notes that the text refers to, in the order of their numbers."""
    return [note["label"] for note in env.get("footnotes", {}).get("list", {}).values()]


def copy_env(env: EnvType) -> dict[str, Any]:
    """What later text needs to know of earlier text: link definitions, and notes with their numbers."""
    footnotes = env.get("footnotes", {})
    return {
        "references": dict(env.get("references", {})),
        "notes": dict(env.get("notes", {})),
        "footnotes": {
            "refs": dict(footnotes.get("refs", {})),
            "list": {number: dict(note) for number, note in footnotes.get("list", {}).items()},
        },
    }


def _keep_first(state: StateCore) -> None:
    """The first definition of a note counts, as with links, and its number on the page stays."""
    footnotes = state.env.get("footnotes", {})
    for number, note in footnotes.get("list", {}).items():
        footnotes["refs"][":" + note["label"]] = number
    labels = set(state.env.get("notes", ()))
    kept: list[Token] = []
    depth_dropped = 0
    for token in state.tokens:
        opens = token.type == "footnote_reference_open"
        if depth_dropped or (opens and token.meta["label"] in labels):
            if not depth_dropped:
                kept.append(_placeholder(token))
            depth_dropped += opens - (token.type == "footnote_reference_close")
            continue
        if opens:
            labels.add(token.meta["label"])
        kept.append(token)
    state.tokens = kept


def _set_apart(state: StateCore) -> None:
    notes = state.env.setdefault("notes", {})
    kept: list[Token] = []
    open_notes: list[tuple[str, list[Token]]] = []
    for token in state.tokens:
        if token.type == "footnote_reference_open":
            (open_notes[-1][1] if open_notes else kept).append(_placeholder(token))
            open_notes.append((token.meta["label"], []))
        elif token.type == "footnote_reference_close":
            label, tokens = open_notes.pop()
            notes[label] = tokens
        else:
            (open_notes[-1][1] if open_notes else kept).append(token)
    state.tokens = kept


def _placeholder(definition: Token) -> Token:
    return Token("footnote_definition", "", 0, map=definition.map, level=definition.level)


def _render_reference(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return f'<sup class="footnote">{tokens[index].meta["id"] + 1}</sup>'


def _render_definition(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return ""
