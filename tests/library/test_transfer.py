from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from localchat_ui.library import transfer
from localchat_ui.library.transfer import LeftError, Meter, SilenceError, watched


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(transfer, "time", clock)
    return clock


def test_speed_counts_only_what_came_in_this_attempt(clock: Clock) -> None:
    meter = Meter()
    meter.start(5_000, 10_000)
    assert meter.read().speed == 0
    for _ in range(10):
        clock.now += 0.2
        meter.add(100)
    progress = meter.read()
    assert (progress.stage, progress.done, progress.total) == ("downloading", 6_000, 10_000)
    assert progress.speed == pytest.approx(500)
    assert progress.seconds_left == pytest.approx(8)


def test_speed_follows_the_last_seconds(clock: Clock) -> None:
    meter = Meter()
    meter.start(0, 1_000_000)
    for size in [1_000] * 100 + [10] * 100:
        clock.now += 0.1
        meter.add(size)
    assert meter.read().speed == pytest.approx(100, rel=0.05)


def test_a_stalled_download_slows_down(clock: Clock) -> None:
    meter = Meter()
    meter.start(0, 10_000)
    clock.now += 1
    meter.add(1_000)
    speeds = []
    for _ in range(4):
        speeds.append(meter.read().speed)
        clock.now += 2
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[0] == pytest.approx(1_000)
    assert speeds[-1] == 0
    assert meter.read().seconds_left is None


def test_only_a_download_has_seconds_left(clock: Clock) -> None:
    meter = Meter()
    assert meter.read().seconds_left is None
    meter.start(0, 10)
    clock.now += 1
    meter.add(5)
    assert meter.read().seconds_left == 1
    meter.enter("verifying")
    assert (meter.read().done, meter.read().seconds_left) == (5, None)


def test_watched_gives_everything_in_order_however_much_it_is() -> None:
    assert list(watched(iter(range(1_000)), threading.Event(), 5)) == list(range(1_000))


def test_watched_raises_what_the_source_raises() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    items = watched(source(), threading.Event(), 5)
    assert next(items) == 1
    with pytest.raises(ZeroDivisionError):
        next(items)


@pytest.mark.parametrize("ends", ["left", "silence", "closed"])
def test_watched_lets_go_and_the_source_is_closed(ends: str) -> None:
    leave, goes_on, closed = threading.Event(), threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        try:
            yield 1
            goes_on.wait(5)
            yield from range(2, 1_000_000_000)
        finally:
            closed.set()

    items = watched(source(), leave, 0.3)
    assert next(items) == 1
    if ends == "left":
        leave.set()
        with pytest.raises(LeftError):
            next(items)
    elif ends == "silence":
        with pytest.raises(SilenceError, match="nothing arrived"):
            next(items)
    else:
        items.close()  # type: ignore[attr-defined]
    goes_on.set()
    assert closed.wait(3)
