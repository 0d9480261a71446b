"""Models in memory: who needs them, and which leave when room or time runs out."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from localchat_ui.engine.base import LoadedModel
from localchat_ui.engine.context import Context
from localchat_ui.engine.llama import Model
from localchat_ui.engine.scheduler import Scheduler


class Stamp(NamedTuple):
    """Tells whether a file is still the one that was loaded."""

    n_bytes: int
    changed_at: int


@dataclass(eq=False)
class Resident:
    """A model in memory. `leases` counts those who need it; one that is `discarded` goes with the last of them."""

    info: LoadedModel
    model: Model
    context: Context
    scheduler: Scheduler
    n_bytes: int
    stamp: Stamp
    leases: int = 0
    used_at: float = field(default_factory=time.monotonic)
    discarded: bool = False

    def close(self) -> None:
        self.context.close()
        self.model.close()


class Residents:
    """The models of one engine. Every method may be called from any thread.

    Whoever takes residents out has to close them. One that is leased stays, and the `current` one, which answers next,
    does not count as cold.
    """

    def __init__(self, budget: int = 0, idle_seconds: float = 0) -> None:
        """`budget` is in bytes; after `idle_seconds` without use, if not 0, even the current model leaves."""
        self._budget = budget
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._residents: list[Resident] = []
        self.current: Path | None = None

    def all(self) -> list[Resident]:
        with self._lock:
            return list(self._residents)

    def add(self, resident: Resident) -> None:
        with self._lock:
            self._residents.append(resident)

    def lease(self, path: Path, *, unchanged: bool = False) -> Resident | None:
        """The model of this file, which stays in memory until `release`; None when it is not there, or the file has
        changed since it was loaded and has to be `unchanged`."""
        with self._lock:
            for resident in reversed(self._residents):
                if resident.info.path == path and (not unchanged or resident.stamp == stamp_of(path)):
                    resident.leases += 1
                    resident.used_at = time.monotonic()
                    return resident
            return None

    def release(self, resident: Resident) -> None:
        with self._lock:
            resident.leases -= 1
            resident.used_at = time.monotonic()
            closes = resident.discarded and not resident.leases
        if closes:
            resident.close()

    def take_cold(self, wanted: int = 0) -> list[Resident]:
        """Take out those beyond the budget, if `wanted` bytes come in addition, least recently used first; and those
        that nobody has used for too long."""
        with self._lock:
            excess = sum(resident.n_bytes for resident in self._residents) + wanted - self._budget
            cold = []
            for resident in sorted(self._residents, key=lambda resident: resident.used_at):
                superseded = resident.info.path != self.current or resident is not self._newest(resident.info.path)
                if not resident.leases and (self._is_idle(resident) or (superseded and excess > 0)):
                    excess -= resident.n_bytes
                    cold.append(resident)
            self._residents = [resident for resident in self._residents if resident not in cold]
            return cold

    def take_unused(self) -> list[Resident]:
        """Take out all that nobody needs at this moment, the current one too."""
        with self._lock:
            unused = [resident for resident in self._residents if not resident.leases]
            self._residents = [resident for resident in self._residents if resident.leases]
            return unused

    def discard_all(self) -> None:
        """Give all of them up. Who uses one at this moment keeps it until the end of that."""
        with self._lock:
            discarded, self._residents = self._residents, []
            for resident in discarded:
                resident.discarded = True
            unused = [resident for resident in discarded if not resident.leases]
        for resident in unused:
            resident.close()

    def seconds_to_idle(self) -> float | None:
        """Until the next one has been idle for too long; None when that will not happen by itself."""
        with self._lock:
            unused = [resident.used_at for resident in self._residents if not resident.leases]
            if not self._idle_seconds or not unused:
                return None
            return max(0.0, min(unused) + self._idle_seconds - time.monotonic())

    def _newest(self, path: Path) -> Resident:
        """A file that was changed and loaded again is there twice until its old self is no longer needed."""
        return next(resident for resident in reversed(self._residents) if resident.info.path == path)

    def _is_idle(self, resident: Resident) -> bool:
        return bool(self._idle_seconds) and time.monotonic() - resident.used_at >= self._idle_seconds


def stamp_of(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return Stamp(0, 0)
    return Stamp(status.st_size, status.st_mtime_ns)
