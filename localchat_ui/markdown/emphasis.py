"""Bold, italic and struck text beside Chinese, Japanese and Korean: `**注意。**请` is bold, though no space follows."""

from __future__ import annotations

import re
from collections.abc import Callable

from markdown_it import MarkdownIt
from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.rules_inline import StateInline, emphasis, strikethrough

from localchat_ui.markdown.cjk import CJK

Rule = Callable[[StateInline, bool], bool]


def emphasis_plugin(markdown: MarkdownIt) -> None:
    """Amends CommonMark as markdown-cjk-friendly does: in these languages words stand side by side, without spaces."""
    markdown.inline.ruler.at("emphasis", _amended(emphasis.tokenize))
    markdown.inline.ruler.at("strikethrough", _amended(strikethrough.tokenize))


def _amended(tokenize: Rule) -> Rule:
    def tokenize_with_neighbours(state: StateInline, silent: bool) -> bool:
        start, n_known, known = state.pos, len(state.delimiters), state.delimiters
        if not tokenize(state, silent):
            return False
        before = state.src[start - 1 : start] or " "
        after = state.src[state.pos : state.pos + 1] or " "
        # An underscore is part of a word in these languages as in others.
        if state.src[start] != "_" and (_CJK.match(before) or _CJK.match(after)):
            for delimiter in known[n_known:]:
                delimiter.open = delimiter.open or _clings(after, to=before)
                delimiter.close = delimiter.close or _clings(before, to=after)
        return True

    return tokenize_with_neighbours


def _clings(character: str, *, to: str) -> bool:
    """Whether marks belong to the text on this side of them, seen from what is on the other side."""
    if isWhiteSpace(ord(character)):
        return False
    return not _is_punctuation(character) or isWhiteSpace(ord(to)) or _is_punctuation(to) or bool(_CJK.match(to))


def _is_punctuation(character: str) -> bool:
    """Punctuation of languages with spaces; a full-width colon is a letter like any other here."""
    return (isMdAsciiPunct(ord(character)) or isPunctChar(character)) and not _CJK.match(character)


_CJK = re.compile(f"[{CJK}]")
