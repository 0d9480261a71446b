import os
from pathlib import Path

import pytest

from localchat_ui.engine import threads
from localchat_ui.engine.llama import Context, Model


class TimedContext:
    """Takes as long for a token as it is told for each number of threads."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds = seconds
        self.single = 0
        self.clock = 0.0

    def set_threads(self, *, single: int, batch: int) -> None:
        assert batch == max(self.seconds)
        self.single = single

    def add(self, *_: object, **__: object) -> None: ...

    def decode(self) -> None:
        self.clock += self.seconds[self.single]

    def synchronize(self) -> None: ...

    def cut(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param({4: 1.0, 3: 1.1, 2: 1.9}, 3, id="one core is left free when it costs little"),
        pytest.param({4: 1.0, 3: 1.3, 2: 1.9}, 4, id="all cores when each of them counts"),
        pytest.param({4: 1.0, 3: 1.0, 2: 1.0}, 2, id="half of them when memory is the limit"),
    ],
)
def test_fewest_threads_that_are_nearly_as_fast(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], expected: int
):
    context = TimedContext(seconds)
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    monkeypatch.setattr(threads.time, "perf_counter", lambda: context.clock)
    assert threads.choose_threads(context) == expected  # type: ignore[arg-type]


def test_measuring_leaves_a_real_context_empty(smollm: Path):
    model = Model(smollm)
    context = Context(model, n_ctx=256, n_sequences=1, n_batch=64, n_threads=1)
    try:
        assert 1 <= threads.choose_threads(context) <= threads.usable_cores() <= (os.cpu_count() or 1)
        # A position that is taken would make this fail.
        context.add([1, 2, 3], position=0, sequence=0, wants_logits=True)
        assert context.decode() == 0
    finally:
        context.close()
        model.close()
