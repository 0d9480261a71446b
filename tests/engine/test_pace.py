from __future__ import annotations

import pytest

from localchat_ui.engine.pace import BLOCK, ReadingPace, piece_of


def read(pace: ReadingPace, tokens_per_second: float, steps: int) -> list[int]:
    sizes = []
    for _ in range(steps):
        sizes.append(pace.n_tokens(alone=False))
        pace.learn(sizes[-1], sizes[-1] / tokens_per_second)
    return sizes


def test_it_begins_small_and_doubles():
    assert read(ReadingPace(), 100_000, 5) == [64, 128, 256, 512, 1024]


def test_a_slow_machine_is_found_out_with_the_first_step_and_not_tried_again():
    assert read(ReadingPace(), 50, 200) == [64, *[16] * 199]


def test_a_step_that_took_long_makes_the_next_one_short():
    pace = ReadingPace()
    read(pace, 3000, 10)
    assert pace.n_tokens(alone=False) == 320
    assert read(pace, 700, 2) == [320, 64]


def test_blocks_come_back_after_a_moment_in_which_they_were_slow():
    pace = ReadingPace()
    pace.learn(64, 0.6)
    assert pace.n_tokens(alone=False) == 16
    sizes = read(pace, 400, 200)
    assert 64 in sizes
    assert sizes.index(64) > 20


def test_small_pieces_are_for_replies_beside_the_prompt():
    pace = ReadingPace()
    pace.learn(64, 0.3)
    assert pace.n_tokens(alone=False) == 16
    assert pace.n_tokens(alone=True) == 64
    pace.learn(64, 0.6)
    assert pace.n_tokens(alone=True) == 16


@pytest.mark.parametrize(
    ("n_missing", "room", "pieces"),
    [
        (35, 64, [35]),
        (100, 512, [64, 36]),
        (300, 128, [128, 128, 44]),
        (300, 512, [256, 44]),
        (64, 64, [64]),
        (30, 16, [16, 14]),
        (30, 5, [5, 5, 5, 5, 5, 5]),
    ],
)
def test_where_a_prompt_is_cut_does_not_depend_on_the_room_as_long_as_a_block_fits(
    n_missing: int, room: int, pieces: list[int]
):
    read = []
    while n_missing:
        read.append(piece_of(n_missing, room))
        n_missing -= read[-1]
    assert read == pieces
    assert all(piece % BLOCK == 0 for piece in read[:-1]) or room < BLOCK
