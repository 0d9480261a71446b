"""What votes add up to, and how contestants are called."""

from __future__ import annotations

import pytest

from localchat_ui.comparison import Choice, Contestant, Vote, differences, standings, wilson
from localchat_ui.conversation import ChatOptions


@pytest.mark.parametrize(
    ("rate", "n", "low", "high"),
    [(0.5, 10, 0.237, 0.763), (1.0, 1, 0.207, 1.0), (0.0, 20, 0.0, 0.161), (0.9, 100, 0.826, 0.945)],
)
def test_the_interval_is_wilsons(rate: float, n: int, low: float, high: float) -> None:
    assert wilson(rate, n) == pytest.approx((low, high), abs=0.001)


def test_ties_count_half_and_a_duel_with_oneself_not_at_all() -> None:
    small, large = Contestant("small", 40.0, 300), Contestant("large", 10.0, 900)
    fought = [(Choice.A, small, large), (Choice.B, large, small), (Choice.TIE, small, large), (Choice.B, small, large)]
    votes = [Vote(str(n), *each) for n, each in enumerate([*fought, (Choice.A, small, small)])]

    first, second = standings(votes)

    assert (first.name, first.wins, first.ties, first.losses, first.win_rate) == ("small", 2, 1, 1, 0.625)
    assert (second.name, second.win_rate, second.tokens_per_second, second.memory) == ("large", 0.375, 10.0, 900)


def test_settings_are_called_by_what_differs() -> None:
    cold, warm = ChatOptions(temperature=0.2, seed=1234567), ChatOptions(temperature=1.2, system_prompt="")

    assert differences(cold, [cold]) == []
    assert differences(cold, [warm])[:2] == ["Temperature 0.2", "Seed 1234567"]
    assert differences(warm, [cold]) == ["Temperature 1.2", "Random seed", "No system prompt"]
