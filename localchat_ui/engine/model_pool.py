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
from localchat_ui.engine.load_changes import NO_CHANGES, LoadChanges
from localchat_ui.engine.scheduler import Scheduler


class Stamp(NamedTuple):
    """Tells whether a file is still the one that was loaded."""

    n_bytes: int
    changed_at: int
    inode: int


@dataclass(eq=False)
class PooledModel:
    """A model in memory. `leases` counts those who need it; one that is `discarded` goes with the last of them."""

    info: LoadedModel
    model: Model
    context: Context
    scheduler: Scheduler
    n_bytes: int
    stamp: Stamp
    changes: LoadChanges = NO_CHANGES
    leases: int = 0
    used_at: float = field(default_factory=time.monotonic)
    discarded: bool = False

    def close(self) -> None:
        self.scheduler.close()
        self.context.close()
        self.model.close()


class ModelPool:
    """The models of one engine. Every method may be called from any thread.

    Whoever takes models out has to close them. One that is leased stays, and the `current` one, which answers next,
    does not count as cold.
    """

    def __init__(self, budget: int = 0, idle_seconds: float = 0) -> None:
        """`budget` is in bytes; after `idle_seconds` without use, if not 0, even the current model leaves."""
        self._budget = budget
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._models: list[PooledModel] = []
        self._changes: dict[Path, LoadChanges] = {}
        self.current: Path | None = None

    def all(self) -> list[PooledModel]:
        with self._lock:
            return list(self._models)

    def configure(self, path: Path, changes: LoadChanges) -> None:
        """How this file is to be loaded from now on."""
        with self._lock:
            self._changes[path] = changes

    def changes_of(self, path: Path) -> LoadChanges:
        return self._changes.get(path, NO_CHANGES)

    def holds(self, path: Path) -> bool:
        """Whether this file is in memory as it is now, and as it is to be loaded now."""
        return any(model.info.path == path and self._is_unchanged(model) for model in self.all())

    def add(self, model: PooledModel) -> None:
        with self._lock:
            self._models.append(model)

    def lease(self, path: Path, *, unchanged: bool = False) -> PooledModel | None:
        """The model of this file, which stays in memory until `release`; None when it is not there, or the file or how
        it is to be loaded has changed since and it has to be `unchanged`."""
        with self._lock:
            for model in reversed(self._models):
                if model.info.path == path and (not unchanged or self._is_unchanged(model)):
                    model.leases += 1
                    model.used_at = time.monotonic()
                    return model
            return None

    def release(self, model: PooledModel) -> None:
        with self._lock:
            model.leases -= 1
            model.used_at = time.monotonic()
            closes = model.discarded and not model.leases
        if closes:
            model.close()

    def take_cold(self, wanted: int = 0) -> list[PooledModel]:
        """Take out those beyond the budget, if `wanted` bytes come in addition, least recently used first; those that
        nobody has used for too long; and those that were loaded anew since."""
        with self._lock:
            cold = self._cold(wanted, self.current)
            self._models = [model for model in self._models if model not in cold]
            return cold

    def leaving(self, path: Path) -> list[PooledModel]:
        """Those that would leave for this file, if it answered next."""
        with self._lock:
            wanted = 0 if any(model.info.path == path for model in self._models) else stamp_of(path).n_bytes
            return self._cold(wanted, path)

    def take_unused(self, path: Path | None = None) -> list[PooledModel]:
        """Take out all that nobody needs at this moment, the current one too; or only the one of this file."""
        with self._lock:
            unused = [model for model in self._models if not model.leases and path in (None, model.info.path)]
            self._models = [model for model in self._models if model not in unused]
            return unused

    def discard_all(self) -> None:
        """Give all of them up. Who uses one at this moment keeps it until the end of that."""
        with self._lock:
            discarded, self._models = self._models, []
            for model in discarded:
                model.discarded = True
            unused = [model for model in discarded if not model.leases]
        for model in unused:
            model.close()

    def seconds_to_idle(self) -> float | None:
        """Until the next one has been idle for too long; None when that will not happen by itself."""
        with self._lock:
            unused = [model.used_at for model in self._models if not model.leases]
            if not self._idle_seconds or not unused:
                return None
            return max(0.0, min(unused) + self._idle_seconds - time.monotonic())

    def _cold(self, wanted: int, current: Path | None) -> list[PooledModel]:
        excess = sum(model.n_bytes for model in self._models) + wanted - self._budget
        cold = []
        for model in sorted(self._models, key=lambda model: model.used_at):
            is_old_self = model is not self._newest(model.info.path)
            is_beyond = excess > 0 and model.info.path != current
            if not model.leases and (is_old_self or is_beyond or self._is_idle(model)):
                excess -= model.n_bytes
                cold.append(model)
        return cold

    def _is_unchanged(self, model: PooledModel) -> bool:
        return model.stamp == stamp_of(model.info.path) and model.changes == self.changes_of(model.info.path)

    def _newest(self, path: Path) -> PooledModel:
        """A file that was changed and loaded again is there twice until its old self is no longer needed."""
        return next(model for model in reversed(self._models) if model.info.path == path)

    def _is_idle(self, model: PooledModel) -> bool:
        return bool(self._idle_seconds) and time.monotonic() - model.used_at >= self._idle_seconds


def stamp_of(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return Stamp(0, 0, 0)
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)
