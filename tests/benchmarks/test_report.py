"""Tables of what was measured."""

from __future__ import annotations

import pytest

from benchmarks.report import Table, in_turn, ratio, spread


def test_sides_take_turns_and_the_first_round_only_warms_up() -> None:
    turns: list[str] = []

    def side(name: str) -> float:
        turns.append(name)
        return len(turns)

    measured = in_turn(2, {"ours": lambda: side("ours"), "theirs": lambda: side("theirs")})

    assert turns == ["ours", "theirs"] * 3
    assert measured == {"ours": [3, 5], "theirs": [4, 6]}


def test_a_ratio_is_taken_within_each_round_so_that_a_machine_that_drifts_does_not_decide() -> None:
    ours, theirs = [10.0, 20.0, 45.0], [10.0, 20.0, 50.0]

    assert ratio(ours, theirs) == 1
    assert spread(ours, theirs) == "1.00 (0.90 to 1.00)"


def test_a_table_is_markdown_with_ratios_of_the_first_side_to_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    Table("tokens/s", "ours", "bare", "peer").row(
        "1 stream", {"bare": [100.0, 100.0, 100.0], "ours": [90.0, 95.0, 99.0]}
    )

    assert capsys.readouterr().out.splitlines()[1:] == [
        "| tokens/s | ours | bare | peer | ours / bare | ours / peer |",
        "|---|---|---|---|---|---|",
        "| 1 stream | 95 | 100 |  | 0.95 (0.90 to 0.99) |  |",
    ]
