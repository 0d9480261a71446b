"""What a model is asked for a title, and whether what it wrote is one."""

from __future__ import annotations

import re

from localchat_ui.conversation import TITLE_LENGTH, Role
from localchat_ui.engine.base import Turn

MAX_WORDS = 10
# Of a question that is a pasted document, the beginning says what it is about.
READ_CHARACTERS = 4_000
ASK = "Summarize the question above as a short heading, in its language."
# Begun for it, so that it neither thinks nor says that it is happy to help.
OPENING = 'Heading: "'
STOP = ('"', "\n")


def title_turns(*, can_begin: bool) -> list[Turn]:
    """What follows the conversation. A server elsewhere may answer what was begun instead of going on with it."""
    asked = Turn(Role.USER, ASK)
    return [asked, Turn(Role.ASSISTANT, OPENING)] if can_begin else [asked]


def title_from(written: str, said: str) -> str | None:
    """The title in what a model wrote; None when it is none, or is not about what was `said`.

    The smallest models write headings of other stories: most letters of a title have to be in words that were said.
    """
    line = next((line for line in written.splitlines() if line.strip(" \t#*_")), "")
    title = re.sub(r"^\W*(?:title|heading|topic)\s*:", "", line, flags=re.IGNORECASE)
    title = " ".join(title.split()).strip(" \"'`*#_“”„«»‘’「」.:;,")
    words = _WORD.findall(title.casefold())
    if not title or len(title) > TITLE_LENGTH or (len(words) > MAX_WORDS and not _UNSPACED.search(title)):
        return None
    heard = set(_WORD.findall(said[:READ_CHARACTERS].casefold()))
    n_letters = sum(map(len, words))
    n_heard = sum(len(word) for word in words if any(_alike(word, other) for other in heard))
    return title if len(title) > 3 and 2 * n_heard > n_letters else None


def _alike(word: str, other: str) -> bool:
    """Whether these are forms of one word, as far as their beginnings tell."""
    n_shared = next(
        (n for n, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other))
    )
    return word == other or n_shared >= max(3, max(len(word), len(other)) / 2)


# Scripts without spaces are taken letter by letter.
_UNSPACED = re.compile("[\u0e00-\u0fff\u1780-\u17ff\u2e80-\ua4cf\uf900-\ufaff]")
_WORD = re.compile(rf"{_UNSPACED.pattern}|[^\W_{_UNSPACED.pattern[1:]}+")
