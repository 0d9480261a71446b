"""Good models to begin with: `curated.json`, which is all there is to edit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

FILE = Path(__file__).with_name("curated.json")


@dataclass(frozen=True)
class Suggestion:
    """A repository, the bytes of its recommended file, and what it is good for.

    `read_share` of the bytes are read for each token: less than all of a mixture of experts.
    """

    name: str
    repo: str
    size: int
    use: str
    read_share: float = 1.0


@cache
def suggestions() -> tuple[Suggestion, ...]:
    """Smallest first."""
    found = TypeAdapter(list[Suggestion]).validate_json(FILE.read_bytes())
    return tuple(sorted(found, key=lambda suggestion: suggestion.size))
