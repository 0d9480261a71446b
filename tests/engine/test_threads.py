import os

import pytest

from localchat_ui.engine import threads
from localchat_ui.engine.threads import ThreadTuner, usable_cores


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)


def run(tuner: ThreadTuner, seconds: dict[int, float], *, steps: int, n_tokens: int = 1) -> list[int]:
    """Decode so often on a machine that takes so long with each number of threads; returns what was chosen."""
    chosen = []
    for _ in range(steps):
        n_threads = tuner.choose(n_tokens)
        tuner.learn(n_tokens, n_threads, seconds[n_threads])
        chosen.append(n_threads)
    return chosen


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param({4: 1.0, 3: 1.1, 2: 1.9}, 3, id="one core is left free when it costs little"),
        pytest.param({4: 1.0, 3: 1.3, 2: 1.9}, 4, id="all cores when each of them counts"),
        pytest.param({4: 1.0, 3: 1.0, 2: 1.0}, 2, id="half of them when memory is the limit"),
    ],
)
def test_fewest_threads_that_are_nearly_as_fast(seconds: dict[int, float], expected: int):
    chosen = run(ThreadTuner(), seconds, steps=200)
    assert chosen[12] == expected
    assert chosen.count(expected) > 150


@pytest.mark.usefixtures("four_cores")
def test_a_choice_that_becomes_slow_is_left_soon():
    tuner = ThreadTuner()
    assert run(tuner, {4: 1.0, 3: 1.5, 2: 2.0}, steps=100)[-1] == 4
    beside_a_busy_browser = {4: 5.0, 3: 1.5, 2: 2.0}
    assert run(tuner, beside_a_busy_browser, steps=20)[-1] == 3


@pytest.mark.usefixtures("four_cores")
def test_a_choice_that_becomes_fast_again_is_found():
    tuner = ThreadTuner()
    run(tuner, {4: 5.0, 3: 1.5, 2: 1.5}, steps=100)
    assert run(tuner, {4: 0.5, 3: 1.5, 2: 1.5}, steps=500).count(4) > 200


@pytest.mark.usefixtures("four_cores")
def test_trials_become_rare_while_nothing_changes():
    tuner = ThreadTuner()
    chosen = run(tuner, {4: 1.0, 3: 2.0, 2: 3.0}, steps=5000)
    assert sum(n_threads != 4 for n_threads in chosen[2500:]) < 30


@pytest.mark.usefixtures("four_cores")
def test_small_and_large_batches_are_learned_apart():
    tuner = ThreadTuner()
    run(tuner, {4: 1.0, 3: 1.0, 2: 1.0}, steps=50, n_tokens=1)
    run(tuner, {4: 1.0, 3: 1.4, 2: 2.0}, steps=50, n_tokens=64)
    assert (tuner.choose(1), tuner.choose(64)) == (2, 4)


def test_a_number_that_was_set_is_always_used():
    assert set(run(ThreadTuner(7), {7: 1.0}, steps=200)) == {7}


def test_cores_are_those_this_process_may_use():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
