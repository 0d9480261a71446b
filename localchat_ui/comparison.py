"""One prompt to several models, side by side: the words for it, and what votes in blind duels add up to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from localchat_ui.conversation import ChatOptions, Conversation, SamplingOptions, new_id, utc_now
from localchat_ui.text import N_, Text

MIN_COLUMNS = 2
MAX_COLUMNS = 4
LETTERS = "ABCD"
PROMPT_EXCERPT = 40
# Of the standard normal distribution, for an interval that holds 95 times of 100.
Z = 1.96


class Choice(str, Enum):
    """Who won a blind duel."""

    A = "a"
    B = "b"
    TIE = "tie"
    BAD = "bad"


@dataclass
class Column:
    """A model, by its id, with its settings: a conversation of its own that no list shows."""

    model: str
    conversation: Conversation = field(default_factory=Conversation)

    @property
    def options(self) -> ChatOptions:
        return self.conversation.options


@dataclass
class Comparison:
    """What several models answer to the same prompts. It has a title once something was asked.

    In a `blind` one nobody is told which model is which until the `vote`.
    """

    columns: list[Column]
    title: str = ""
    blind: bool = False
    vote: Choice | None = None
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=utc_now)

    @property
    def is_secret(self) -> bool:
        """Whether the names are hidden now."""
        return self.blind and bool(self.title) and self.vote is None

    def letter(self, column: Column) -> str:
        return LETTERS[next(place for place, each in enumerate(self.columns) if each is column)]


@dataclass(frozen=True)
class Contestant:
    """One side of a duel as it is called in the table. Bytes and tokens per second are None where nobody knows."""

    name: str
    tokens_per_second: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Vote:
    comparison_id: str
    choice: Choice
    a: Contestant
    b: Contestant
    created_at: datetime = field(default_factory=utc_now)


class Interval(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True)
class Standing:
    """How often a contestant won; a tie counts half, for good replies and for bad ones. Means of all its duels."""

    name: str
    wins: int
    ties: int
    losses: int
    tokens_per_second: float | None
    memory: int | None

    @property
    def duels(self) -> int:
        return self.wins + self.ties + self.losses

    @property
    def win_rate(self) -> float:
        return (self.wins + self.ties / 2) / self.duels

    @property
    def interval(self) -> Interval:
        return wilson(self.win_rate, self.duels)


def wilson(rate: float, n: int) -> Interval:
    """Where the true rate lies, 95 times of 100, when `rate` was seen in `n` tries: Wilson's score interval."""
    middle = (rate + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(rate * (1 - rate) / n + Z**2 / (4 * n**2))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def standings(votes: Iterable[Vote]) -> list[Standing]:
    """The best first. A duel of a contestant with itself says nothing and is left out."""
    duels: dict[str, list[tuple[Contestant, float]]] = {}
    points = {Choice.A: 1.0, Choice.B: 0.0}
    for vote in votes:
        if vote.a.name != vote.b.name:
            won = points.get(vote.choice, 0.5)
            duels.setdefault(vote.a.name, []).append((vote.a, won))
            duels.setdefault(vote.b.name, []).append((vote.b, 1 - won))
    found = [_standing(name, fought) for name, fought in duels.items()]
    return sorted(found, key=lambda each: (-each.interval.low, -each.win_rate, each.name))


def _standing(name: str, duels: Sequence[tuple[Contestant, float]]) -> Standing:
    speeds = [side.tokens_per_second for side, _ in duels if side.tokens_per_second]
    memories = [side.memory for side, _ in duels if side.memory]
    won = [points for _, points in duels]
    return Standing(
        name,
        wins=won.count(1.0),
        ties=won.count(0.5),
        losses=won.count(0.0),
        tokens_per_second=sum(speeds) / len(speeds) if speeds else None,
        memory=memories[-1] if memories else None,
    )


def differences(options: ChatOptions, others: Iterable[ChatOptions]) -> list[str]:
    """The settings in which these are unlike any of the others, in words: `Temperature 0.2`."""
    others = list(others)
    fields = [name for name in (*SamplingOptions.model_fields, "system_prompt") if name in ChatOptions.model_fields]
    unlike = [name for name in fields if any(getattr(options, name) != getattr(other, name) for other in others)]
    return [_in_words(name, getattr(options, name)) for name in unlike]


def _in_words(name: str, value: object) -> str:
    words = name.replace("_", " ").capitalize()
    if name == "system_prompt":
        text = " ".join(str(value).split())
        return (
            f"“{text[:PROMPT_EXCERPT]}{'…' if len(text) > PROMPT_EXCERPT else ''}”" if text else N_("No system prompt")
        )
    if value is None:
        return N_("Random seed") if name == "seed" else Text("No {setting}", setting=words.lower())
    is_fraction = isinstance(value, float) and not value.is_integer()
    return Text("{setting} {value}", setting=words, value=value if is_fraction else f"{value:.0f}")
