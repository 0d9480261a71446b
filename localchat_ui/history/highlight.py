"""What a query asks for, and where it is found in a text. No HTML: a text becomes parts, each a match or not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

Part = tuple[str, bool]

QUERY_LENGTH = 300
MAX_TERMS = 12
SNIPPET_LENGTH = 160
LEAD = 40  # characters before the first match

# Scripts written without spaces between words, as in migration 0002, which marks texts that contain them.
_UNSPACED = "\u0e00-\u11ff\u1780-\u17ff\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"
_UNSPACED += "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
_RUNS = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")


@dataclass(frozen=True)
class Term:
    """One thing a text has to contain: a word, or else a piece of text as it stands."""

    text: str
    is_word: bool = True
    is_unspaced: bool = False
    is_prefix: bool = False


def terms_of(query: str) -> list[Term]:
    """The terms of a query; of a very long one those at its beginning. Empty when it asks for nothing."""
    clean = unicodedata.normalize("NFC", query[:QUERY_LENGTH].encode("utf-8", "ignore").decode())
    terms = list(dict.fromkeys(term for chunk in clean.split() for term in _terms_in(chunk)))[:MAX_TERMS]
    if terms and terms[-1].is_word:
        terms[-1] = Term(terms[-1].text, is_prefix=True)
    return terms


def _terms_in(chunk: str) -> Iterator[Term]:
    categories = [unicodedata.category(character) for character in chunk]
    if "#" in chunk or any(category in {"Sm", "Sc", "So"} for category in categories):
        pieces = "".join(" " if category == "Cc" else c for c, category in zip(chunk, categories, strict=True))
        yield from (Term(piece, is_word=False) for piece in pieces.split())
        return
    kept = "".join(c if k[0] in "LMN" or k == "Co" else " " for c, k in zip(chunk, categories, strict=True))
    for word in kept.split():
        for run in _RUNS.findall(word):
            unspaced = re.match(f"[{_UNSPACED}]", run) is not None
            yield Term(run, is_word=not unspaced, is_unspaced=unspaced)


def highlighted(text: str, terms: list[Term]) -> list[Part]:
    """The whole text in parts."""
    return list(_parts(text, matches(text, terms), 0, len(text)))


def snippet(text: str, terms: list[Term]) -> list[Part]:
    """The text around its first match on one line, "…" where it was cut."""
    spans = matches(text, terms)
    start = max(0, spans[0][0] - LEAD) if spans else 0
    end = min(len(text), start + SNIPPET_LENGTH)
    if start:
        space = text.find(" ", start, spans[0][0])
        start = space + 1 if space >= 0 else start
    if end < len(text):
        space = text.rfind(" ", spans[0][1] if spans else start, end)
        end = space if space >= 0 else end
    parts = [(re.sub(r"\s+", " ", part), is_match) for part, is_match in _parts(text, spans, start, end)]
    return [*([("…", False)] if start else []), *parts, *([("…", False)] if end < len(text) else [])]


def matches(text: str, terms: list[Term]) -> list[tuple[int, int]]:
    """Where the terms are, as ranges that neither touch nor overlap, in order."""
    folded, origin = _fold(text)
    found: list[tuple[int, int]] = []
    for term in terms:
        wanted = re.escape(_fold(term.text)[0])
        if not wanted:
            continue
        # As the index does: a word begins where a word begins. In a script without spaces it may be anywhere.
        as_word = rf"(?<![^\W_]){wanted}" + ("" if term.is_prefix else r"(?![^\W_])")
        spans = [match.span() for match in re.finditer(as_word if term.is_word else wanted, folded)]
        spans = spans or [match.span() for match in re.finditer(wanted, folded)]
        found += [(origin[start], origin[end - 1] + 1) for start, end in spans]
    return _joined(found, text)


def _joined(spans: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1  # noqa: PLW2901
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _parts(text: str, spans: list[tuple[int, int]], start: int, end: int) -> Iterator[Part]:
    at = start
    for first, last in spans:
        if last <= start or first >= end:
            continue
        if first > at:
            yield text[at:first], False
        at = min(last, end)
        yield text[first:at], True
    if at < end:
        yield text[at:end], False


def _fold(text: str) -> tuple[str, range | list[int]]:
    """The text without case and diacritics, and where in `text` each of its characters comes from."""
    if text.isascii():
        return text.lower(), range(len(text))
    pieces = [_folded(character) for character in text]
    origin = [place for place, piece in enumerate(pieces) for _ in piece]
    return "".join(pieces), origin


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    decomposed = unicodedata.normalize("NFD", character.lower())
    base = "".join(piece for piece in decomposed if not unicodedata.combining(piece))
    return unicodedata.normalize("NFC", base)
