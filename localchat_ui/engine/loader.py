"""Brings models into memory when somebody needs them, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localchat_ui.engine.base import LoadedModel, ModelLoadError, NoModelError
from localchat_ui.engine.context import Context
from localchat_ui.engine.llama import Model
from localchat_ui.engine.residents import Resident, Residents, stamp_of
from localchat_ui.engine.scheduler import Scheduler
from localchat_ui.engine.threads import ThreadTuner

SHUTTING_DOWN = "The program is shutting down."


@dataclass(frozen=True)
class LoadOptions:
    """How every model is loaded; see the settings of the same names. None is automatic."""

    n_ctx: int = 4096
    parallel: int = 4
    n_batch: int = 512
    n_threads: int | None = None
    n_gpu_layers: int | None = None


class Loader:
    """Every method may be called from any thread. `on_released` is called whenever somebody no longer needs a model."""

    def __init__(self, options: LoadOptions, residents: Residents, on_released: Callable[[], None]) -> None:
        self._options = options
        self._residents = residents
        self._on_released = on_released
        self._loading = threading.Lock()
        self._lock = threading.Lock()
        self._closing = False

    def lease(
        self, path: Path, on_progress: Callable[[float], None] | None = None, *, unchanged: bool = False
    ) -> Resident:
        """The model of this file, loaded now unless it is in memory; it stays there until it is released.

        `unchanged`: if the file was changed since, it is loaded again. Raises ModelLoadError, NoModelError at the end.
        """
        if self._closing:
            raise NoModelError(SHUTTING_DOWN)
        warm = self._residents.lease(path, unchanged=unchanged)
        if warm is not None:
            return warm
        with self._loading:
            # Somebody else may just have loaded it.
            warm = self._residents.lease(path, unchanged=unchanged)
            return warm or self._take_in(self._load(path, on_progress or (lambda share: None)))

    def release(self, resident: Resident) -> None:
        self._residents.release(resident)
        self._on_released()

    @contextmanager
    def leased(
        self, path: Path, on_progress: Callable[[float], None] | None = None, *, unchanged: bool = False
    ) -> Iterator[Resident]:
        resident = self.lease(path, on_progress, unchanged=unchanged)
        try:
            yield resident
        finally:
            self.release(resident)

    def close(self) -> None:
        """Load nothing any more; a load under way gives up at its next progress report, and is waited for."""
        with self._lock:
            self._closing = True
        with self._loading:
            pass

    def _take_in(self, resident: Resident) -> Resident:
        resident.leases = 1
        with self._lock:
            if not self._closing:
                self._residents.add(resident)
                return resident
        resident.close()
        raise ModelLoadError(SHUTTING_DOWN)

    def _load(self, path: Path, on_progress: Callable[[float], None]) -> Resident:
        def report(share: float) -> bool:
            on_progress(share)
            return not self._closing

        options = self._options
        stamp = stamp_of(path)
        for cold in self._residents.take_cold(wanted=stamp.n_bytes):
            cold.close()
        model = Model(path, n_gpu_layers=options.n_gpu_layers, on_progress=report)
        try:
            n_ctx = min(options.n_ctx or model.n_ctx_train, model.n_ctx_train or options.n_ctx)
            n_cells = n_ctx * options.parallel
            # Replies must never fill a batch: prompts are read in the room they leave.
            n_batch = max(options.n_batch, 2 * options.parallel)
            context = Context(model, n_cells=n_cells, n_sequences=options.parallel, n_batch=n_batch)
        except BaseException:
            model.close()
            raise
        info = LoadedModel(path, n_ctx, model.n_ctx_train, model.chat_template is not None)
        threads = ThreadTuner(options.n_threads)
        scheduler = Scheduler(model, context, threads, n_ctx=n_ctx, n_sequences=options.parallel)
        n_bytes = model.n_bytes + n_cells * model.n_bytes_per_token
        return Resident(info, model, context, scheduler, n_bytes, stamp)
