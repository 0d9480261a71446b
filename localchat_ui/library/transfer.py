"""What a download says of itself, and a way not to be held up by the network."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeVar

SPEED_WINDOW = 5.0
SAMPLE_EVERY = 0.1
POLL = 0.1
QUEUE_LENGTH = 32

T = TypeVar("T")
Stage = Literal["connecting", "downloading", "verifying", "done"]


class DownloadError(Exception):
    """The file did not arrive; the text says why and what to do."""


class DownloadCancelledError(DownloadError):
    """Somebody cancelled it; what has arrived is kept."""


@dataclass(frozen=True)
class Progress:
    """A moment of a download. `done` and `total` are bytes, counting an earlier attempt's too; `speed` is bytes/s."""

    stage: Stage = "connecting"
    done: int = 0
    total: int | None = None
    speed: float = 0.0

    @property
    def seconds_left(self) -> float | None:
        """None while it cannot be told."""
        if self.total is None or self.stage != "downloading" or self.speed <= 0:
            return None
        return (self.total - self.done) / self.speed


class Meter:
    """Counts the bytes of one download; may be read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stage: Stage = "connecting"
        self._done = 0
        self._total: int | None = None
        self._samples: deque[tuple[float, int]] = deque()

    def enter(self, stage: Stage) -> None:
        with self._lock:
            self._stage = stage

    def start(self, done: int, total: int) -> None:
        """Begin to count at what is there already."""
        with self._lock:
            self._stage, self._done, self._total = "downloading", done, total
            self._samples = deque([(time.monotonic(), done)])

    def add(self, count: int) -> None:
        now = time.monotonic()
        with self._lock:
            self._done += count
            if now - self._samples[-1][0] >= SAMPLE_EVERY:
                self._samples.append((now, self._done))

    def read(self) -> Progress:
        now = time.monotonic()
        with self._lock:
            # Measured up to now, so that a download that stalls slows down instead of freezing at its last speed.
            while len(self._samples) > 1 and now - self._samples[0][0] > SPEED_WINDOW:
                self._samples.popleft()
            since, before = self._samples[0] if self._samples else (now, self._done)
            is_measurable = self._stage == "downloading" and now - since >= SAMPLE_EVERY
            speed = (self._done - before) / (now - since) if is_measurable else 0.0
            return Progress(self._stage, self._done, self._total, speed)


class SilenceError(Exception):
    """The network gave nothing for too long."""


class LeftError(Exception):
    """The person does not want it any more."""


@dataclass(frozen=True)
class _End:
    failure: Exception | None


def watched(source: Iterator[T], leave: threading.Event, patience: float) -> Iterator[T]:
    """Iterate in a helper thread, so that no name server, connect or read can hold up who waits for the items.

    Raises what `source` raises, LeftError within 0.1 s of `leave`, SilenceError after `patience` seconds without an
    item. The helper then ends by itself at its next item or time-out, and touches nothing but `source`.
    """
    arrived: queue.Queue[T | _End] = queue.Queue(QUEUE_LENGTH)
    abandoned = threading.Event()
    threading.Thread(target=_feed, args=(source, arrived, abandoned), name="download", daemon=True).start()
    try:
        while not isinstance(item := _next(arrived, leave, patience), _End):
            yield item
        if item.failure:
            raise item.failure
    finally:
        abandoned.set()
        # Room for the one item that the helper may be waiting to hand over.
        with suppress(queue.Empty):
            while True:
                arrived.get_nowait()


def _feed(source: Iterator[T], arrived: queue.Queue[T | _End], abandoned: threading.Event) -> None:
    try:
        for item in source:
            arrived.put(item)
            if abandoned.is_set():
                return
    except Exception as error:
        arrived.put(_End(error))
    else:
        arrived.put(_End(None))


def _next(arrived: queue.Queue[T], leave: threading.Event, patience: float) -> T:
    deadline = time.monotonic() + patience
    while not leave.is_set():
        with suppress(queue.Empty):
            return arrived.get(timeout=POLL)
        if time.monotonic() > deadline:
            raise SilenceError(f"nothing arrived for {patience:.0f} seconds")
    raise LeftError
