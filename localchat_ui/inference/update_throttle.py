"""How often a growing reply is told to whoever looks: less often while the machine has nothing to spare."""

from __future__ import annotations

import time

import psutil

QUICK_SECONDS = 0.05
CALM_SECONDS = 0.1
# Drawing competes with generating only where all cores are busy.
LEAST_IDLE = 0.1
MEASURE_SECONDS = 0.5


class UpdateThrottle:
    """Watches the cores of this machine while a reply is written."""

    def __init__(self) -> None:
        self.seconds = QUICK_SECONDS
        self._measured_at = time.monotonic()
        self._idle, self._total = _times()

    def next_update(self, now: float) -> float:
        """The moment of the next one, in `time.monotonic`: the same for all replies, so that one waking serves all."""
        seconds = self.measure()
        return (now // seconds + 1) * seconds

    def measure(self) -> float:
        """Seconds that should lie between two updates; looks at the machine twice a second."""
        now = time.monotonic()
        if now - self._measured_at >= MEASURE_SECONDS:
            idle, total = _times()
            if total > self._total:
                is_busy = (idle - self._idle) / (total - self._total) < LEAST_IDLE
                self.seconds = CALM_SECONDS if is_busy else QUICK_SECONDS
            self._measured_at, self._idle, self._total = now, idle, total
        return self.seconds


def _times() -> tuple[float, float]:
    """Seconds that all cores together were idle, and in all."""
    times = psutil.cpu_times()
    # Linux counts a guest's time in `user` and `nice` already.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return times.idle + getattr(times, "iowait", 0.0), total
