"""What every format is read into, and the checks that hold whatever wrote the file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ValidationError

from localchat_ui.conversation import Conversation, Message, utc_now

MAX_DEPTH = 50_000
MAX_MESSAGES = 200_000


@dataclass
class Tree:
    """A conversation with all its branches; a message comes after the one it hangs on."""

    conversation: Conversation
    messages: list[Message]


@dataclass
class Reading:
    """What a file holds: the trees, why others were skipped, and how much of which kind was left out of the trees."""

    trees: list[Tree] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


class ImportRefusedError(Exception):
    """A file cannot be imported, and nothing of it was; the text is for people."""


class SkippedError(Exception):
    """One conversation cannot be imported; the text completes "was skipped: …"."""


def parents_first(parents: Mapping[str, str | None]) -> list[str]:
    """The ids of `parents`, each after its parent; raises SkippedError where they form no trees."""
    if len(parents) > MAX_MESSAGES:
        raise SkippedError(f"it has more than {MAX_MESSAGES:,} messages")
    children: dict[str | None, list[str]] = defaultdict(list)
    for node, parent in parents.items():
        if parent is not None and parent not in parents:
            raise SkippedError("a message answers one that is not in the file")
        children[parent].append(node)
    level, order, depth = children[None], list[str](), 0
    while level:
        order += level
        level = [child for node in level for child in children[node]]
        depth += 1
        if depth > MAX_DEPTH:
            raise SkippedError(f"more than {MAX_DEPTH:,} messages hang below one another")
    if len(order) < len(parents):
        raise SkippedError("its messages answer each other in a circle")
    return order


def explain(error: ValidationError) -> SkippedError:
    """The first complaint of pydantic's, without its jargon of types and links."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part)[:40] for part in first["loc"][-3:])
    reason = first["msg"][:1].lower() + first["msg"][1:]
    return SkippedError(f"{place}: {reason}" if place else reason)


def name_of(item: Any) -> str:
    """What a conversation that is skipped is called, whatever it is."""
    title = item.get("title") if isinstance(item, dict) else None
    return f"“{whole(title[:60])}”" if isinstance(title, str) and title.strip() else "one without a title"


def whole(text: str) -> str:
    """JSON can hold halves of surrogate pairs, which are no text."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _plausible(value: datetime) -> datetime:
    """Not after today: a conversation of the year 9999 would stay at the top of the list for ever."""
    if value.year < 1970 or value.year > 9998:
        raise ValueError("this is no plausible time")
    return min(value.astimezone(timezone.utc), utc_now())


AnyText = Annotated[str, BeforeValidator(lambda value: whole(value) if isinstance(value, str) else value)]
Moment = Annotated[AwareDatetime, AfterValidator(_plausible)]
