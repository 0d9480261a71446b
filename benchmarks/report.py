"""Measured values as Markdown: medians of rounds, ratios within a round, and how far single rounds lay apart."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_turn(rounds: int, sides: Mapping[str, Callable[[], T]], *, warm_up: bool = True) -> dict[str, list[T]]:
    """Measure every side once a round, A B C A B C; the first round only warms up."""
    measured: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(rounds + warm_up):
        for name, measure in sides.items():
            value = measure()
            if number >= warm_up:
                measured[name].append(value)
    return measured


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of each round."""
    return statistics.median(_ratios(ours, theirs))


def spread(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """`0.97 (0.94 to 1.01)`: the median ratio, the least and the greatest of a round."""
    ratios = _ratios(ours, theirs)
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


class Table:
    """One row a question, one column a side, ratios of the first side to each of the others.

    `sides` are their names, in order. Rows are printed as soon as they are known.
    """

    def __init__(self, title: str, *sides: str) -> None:
        self._sides = sides
        heads = [title, *sides, *(f"{sides[0]} / {other}" for other in sides[1:])]
        print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)

    def row(self, name: str, measured: Mapping[str, Sequence[float]], form: str = "{:.0f}") -> None:
        """Sides that were not measured stay empty."""
        first = measured[self._sides[0]]
        values = [form.format(statistics.median(measured[side])) if side in measured else "" for side in self._sides]
        ratios = [spread(first, measured[side]) if side in measured else "" for side in self._sides[1:]]
        print(f"| {' | '.join([name, *values, *ratios])} |", flush=True)


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [our / their for our, their in zip(ours, theirs, strict=True)]
