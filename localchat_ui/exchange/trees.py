"""What every format reads and writes: conversations as trees of messages. And the checks that all formats share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ValidationError

from localchat_ui.conversation import Conversation, Message, utc_now
from localchat_ui.text import Text

MAX_DEPTH = 50_000
MAX_MESSAGES = 200_000


@dataclass
class Tree:
    """A conversation with all its branches; every message comes after its parent."""

    conversation: Conversation
    messages: list[Message]

    @property
    def branch(self) -> list[Message]:
        """The messages shown, from the first to the head."""
        by_id = {message.id: message for message in self.messages}
        branch = []
        message = by_id.get(self.conversation.head_id or "")
        while message is not None:
            branch.append(message)
            message = by_id.get(message.parent_id or "")
        return branch[::-1]


@dataclass
class Reading:
    """What a file contains: trees, why conversations were skipped, and how much of which kind is left out of trees."""

    trees: list[Tree] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Format:
    """A format that files are written in, read from, or both.

    `read` gets the parsed JSON of a file and returns None when it is of another format. `description` completes the
    sentence "This is neither … nor …".
    """

    description: str = ""
    read: Callable[[Any], Reading | None] | None = None
    label: str = ""
    extension: str = ""
    media_type: str = ""
    write: Callable[[Sequence[Tree]], str] | None = None


class ImportRefusedError(Exception):
    """A file cannot be imported, and nothing of it was; the text is for people."""


class SkippedError(Exception):
    """One conversation cannot be imported; the text completes "was skipped: …"."""


def parents_first(parents: Mapping[str, str | None]) -> list[str]:
    """The ids, each after its parent. Raises SkippedError when they do not form trees."""
    if len(parents) > MAX_MESSAGES:
        raise SkippedError(Text("it has more than {n} messages", n=MAX_MESSAGES))
    children: dict[str | None, list[str]] = defaultdict(list)
    for node, parent in parents.items():
        if parent is not None and parent not in parents:
            raise SkippedError(Text("a message answers one that is not in the file"))
        children[parent].append(node)
    level, order, depth = children[None], list[str](), 0
    while level:
        order += level
        level = [child for node in level for child in children[node]]
        depth += 1
        if depth > MAX_DEPTH:
            raise SkippedError(Text("more than {n} messages hang below one another", n=MAX_DEPTH))
    if len(order) < len(parents):
        raise SkippedError(Text("its messages answer each other in a circle"))
    return order


def explain(error: ValidationError) -> SkippedError:
    """The first error of pydantic's, in words for people."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part)[:40] for part in first["loc"][-3:])
    if not place and first["type"] == "model_type":
        return SkippedError(Text("it is no conversation"))
    reason = first["msg"][:1].lower() + first["msg"][1:]
    return SkippedError(f"{place}: {reason}" if place else reason)


def name_of(item: Any) -> str:
    """The title of a conversation in a file, whatever the item is."""
    title = item.get("title") if isinstance(item, dict) else None
    return f"“{whole(title[:60])}”" if isinstance(title, str) and title.strip() else "one without a title"


def whole(text: str) -> str:
    """The text with U+FFFD for unpaired surrogates, which JSON can contain and text cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _plausible(value: datetime) -> datetime:
    """Not after today: a conversation of the year 9999 would stay at the top of the list for ever."""
    if value.year < 1970 or value.year > 9998:
        raise ValueError("this is no plausible time")
    return min(value.astimezone(timezone.utc), utc_now())


AnyText = Annotated[str, BeforeValidator(lambda value: whole(value) if isinstance(value, str) else value)]
Moment = Annotated[AwareDatetime, AfterValidator(_plausible)]
