"""Bare links: `https://example.org/a_b?c=1`, `www.example.org` and `me@example.org` are links as they stand."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from localchat_ui.markdown.cjk import CJK


def links_plugin(markdown: MarkdownIt) -> None:
    """Unlike GitHub's rule, one that ends a link where Chinese or Japanese goes on without a space."""
    markdown.inline.ruler.before("linkify", "bare_links", _read)
    markdown.core.ruler.after("text_join", "bare_hosts", _read_hosts)


def _read(state: StateInline, silent: bool) -> bool:
    """At the colon: the letters before it are on their way to the page as text."""
    if state.src[state.pos] != ":" or state.linkLevel:
        return False
    scheme = _SCHEME.search(state.src, max(0, state.pos - 5), state.pos)
    if scheme is None:
        return False
    found = _ADDRESS.match(state.src, state.pos, state.posMax)
    end = _end(state.src, state.pos, found.end()) if found else 0
    address = state.src[scheme.start() : end]
    target = state.md.normalizeLink(address)
    if end <= state.pos + len("://") or not state.md.validateLink(target):
        return False
    if not silent:
        state.pending = state.pending[: -len(scheme[0])]
        _push(state, target, address)
    state.pos = end
    return True


def _push(state: StateInline, target: str, address: str) -> None:
    for token in _link(target, address):
        pushed = state.push(token.type, token.tag, token.nesting)
        pushed.attrs, pushed.content, pushed.markup = token.attrs, token.content, token.markup


def _link(target: str, text: str) -> list[Token]:
    opening = Token("link_open", "a", 1, attrs={"href": target}, markup="autolink")
    return [opening, Token("text", "", 0, content=text), Token("link_close", "a", -1, markup="autolink")]


def _end(text: str, start: int, end: int) -> int:
    """Without the punctuation of the sentence around it, and the bracket it stands in."""
    while end > start:
        last = text[end - 1]
        if last in _TRAILING or (last == ")" and text.count(")", start, end) > text.count("(", start, end)):
            end -= 1
        else:
            break
    return end


def _read_hosts(state: StateCore) -> None:
    """Names without a scheme, in text that is no link yet."""
    if "www." not in state.src and "@" not in state.src:
        return
    for block in state.tokens:
        if block.type != "inline" or not block.children or not _HOST.search(block.content):
            continue
        children: list[Token] = []
        n_links = 0
        for token in block.children:
            n_links += token.nesting if token.tag == "a" else 0
            children += [token] if n_links or token.type != "text" else _with_links(token.content)
        block.children = children


def _with_links(text: str) -> list[Token]:
    tokens, position = [], 0
    for found in _HOST.finditer(text):
        end = _end(text, found.start(), found.end())
        target = ("mailto:" if found["mail"] else "http://") + text[found.start() : end]
        tokens.append(Token("text", "", 0, content=text[position : found.start()]))
        tokens += _link(target, text[found.start() : end])
        position = end
    return [*tokens, Token("text", "", 0, content=text[position:])]


_SCHEME = re.compile(r"(?<![A-Za-z0-9.+-])https?\Z", re.IGNORECASE)
_CONTROLS = r"\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they turn text around, and an address is read as another
# What a path may hold. Chinese letters, but only where a part of the path begins with them.
_PART = rf"(?:[^\s<>\[\]\"`*{CJK}{_CONTROLS}“”‘’«»…]|(?<=[/=_-])[\u3041-\u9fff\uac00-\ud7af]+)*"
_ADDRESS = re.compile(rf"://(?=[^\W_]){_PART}")
_HOST = re.compile(
    rf"(?<![\w@./+-])(?:www\.(?=[^\W_])(?:[a-z0-9-]+\.)+[a-z]{{2,}}(?![a-z0-9]){_PART}"
    r"|(?P<mail>[a-z0-9][\w.+-]{0,63}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24})(?![\w@]|:\w))",
    re.IGNORECASE | re.ASCII,
)
_TRAILING = "?!.,:;*_~'|"
