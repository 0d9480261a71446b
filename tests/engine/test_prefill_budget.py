from __future__ import annotations

import pytest

from localchat_ui.engine.prefill_budget import ALONE_SECONDS, STEP_SECONDS, PrefillBudget


@pytest.mark.parametrize(
    ("speed", "beside_replies", "alone"), [(50, 16, 16), (500, 48, 192), (1000, 96, 400), (100_000, 512, 512)]
)
def test_a_step_takes_about_so_long_in_whole_blocks(speed: int, beside_replies: int, alone: int):
    budget = PrefillBudget(block=16, n_batch=512)
    for _ in range(20):
        n_tokens = budget.n_tokens(alone=False)
        budget.learn(n_tokens, n_tokens / speed)
    assert budget.n_tokens(alone=False) == beside_replies
    assert budget.n_tokens(alone=True) == alone
    assert budget.n_tokens(alone=False) / speed <= max(STEP_SECONDS, 16 / speed)
    assert budget.n_tokens(alone=True) / speed <= max(ALONE_SECONDS, 16 / speed)


def test_a_slow_step_counts_at_once_and_a_fast_one_by_and_by():
    budget = PrefillBudget(block=16, n_batch=512)
    budget.learn(160, 160 / 2000)
    fast = budget.n_tokens(alone=False)
    budget.learn(160, 160 / 300)
    assert budget.n_tokens(alone=False) == 16
    budget.learn(160, 160 / 2000)
    assert 16 < budget.n_tokens(alone=False) < fast


def test_a_few_tokens_say_nothing_about_the_speed():
    budget = PrefillBudget(block=16, n_batch=512)
    before = budget.seconds_per_token
    budget.learn(5, 1.0)
    assert budget.seconds_per_token == before
