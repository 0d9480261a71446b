"""How many threads compute a batch: what measured best lately, here and with this model.

A single token is bound by memory, so fewer threads are often as fast. And threads of llama.cpp wait for one another
after every operation: beside a busy browser, two of them on two cores can be slower than one.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field

import psutil

# A number of threads that gives this much of the fastest leaves a core to the event loop and the browser.
GOOD_ENOUGH = 0.85
TRIAL_STEPS = 3
MIN_PAUSE_STEPS = 32
MAX_PAUSE_STEPS = 1024
MEMORY = 0.3


def usable_cores() -> int:
    """Physical cores this process may use: hyper-threads only compete for the same arithmetic."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or usable, usable))


class ThreadTuner:
    """Chooses a number of threads for each step and learns from how long it took.

    Batches of about the same size share what was learned. Other numbers are tried again now and then, the more seldom
    the longer nothing changes; a choice that becomes slow is left at once, because it is measured all the time.
    """

    def __init__(self, fixed: int | None = None) -> None:
        cores = usable_cores()
        self._candidates = [fixed] if fixed else sorted({(cores + 1) // 2, max(1, cores - 1), cores})
        self._sizes: dict[int, _Size] = defaultdict(lambda: _Size(self._candidates))

    @property
    def steady(self) -> int:
        """Always the same number: sums that more threads share are rounded in another way."""
        return self._candidates[-1]

    def choose(self, n_tokens: int, *, may_try: bool = True) -> int:
        """Threads for a batch of so many tokens; without `may_try` none but the best that is known."""
        if len(self._candidates) == 1:
            return self._candidates[0]
        size = self._sizes[n_tokens.bit_length()]
        return size.choose() if may_try else size.best

    def learn(self, n_tokens: int, threads: int, seconds: float) -> None:
        """Take note of what that choice gave."""
        if len(self._candidates) == 1:
            return
        self._sizes[n_tokens.bit_length()].learn(threads, n_tokens / max(seconds, 1e-6))


@dataclass
class _Size:
    """What is known for batches of about one size. Speeds are in tokens per second."""

    candidates: list[int]
    best: int = field(init=False)
    speeds: dict[int, float] = field(default_factory=dict)
    trial: list[int] = field(default_factory=list)
    pause: int = MIN_PAUSE_STEPS
    steps: int = 0

    def __post_init__(self) -> None:
        self.best = self.candidates[-1]
        self.trial = self.candidates * TRIAL_STEPS

    def choose(self) -> int:
        if self.trial:
            return self.trial.pop()
        self.steps += 1
        if self.steps >= self.pause:
            self.steps = 0
            self.pause = min(2 * self.pause, MAX_PAUSE_STEPS)
            others = [threads for threads in self.candidates if threads != self.best]
            self.trial = others * TRIAL_STEPS
        return self.best

    def learn(self, threads: int, speed: float) -> None:
        known = self.speeds.get(threads, speed)
        self.speeds[threads] = known + MEMORY * (speed - known)
        # The fewest threads that are nearly as fast as the fastest.
        enough = GOOD_ENOUGH * max(self.speeds.values())
        best = next(threads for threads in self.candidates if self.speeds.get(threads, 0.0) >= enough)
        if best != self.best and len(self.speeds) == len(self.candidates):
            self.pause = MIN_PAUSE_STEPS
        self.best = best
