"""The engine's thread: takes messages, steps the schedulers, swaps models, ends cleanly."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import (
    Emit,
    Event,
    GenerationDone,
    GenerationFailed,
    GenerationRequest,
    LoadedModel,
    ModelLoadError,
    NoModelError,
)
from localchat_ui.engine.llama import Context, Model
from localchat_ui.engine.prompt import build_prompt
from localchat_ui.engine.scheduler import Generation, Scheduler
from localchat_ui.engine.threads import ThreadTuner

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Resident:
    """A model in memory. `leases` counts the requests that still need it."""

    info: LoadedModel
    model: Model
    context: Context
    scheduler: Scheduler
    n_bytes: int
    stamp: tuple[int, int]
    leases: int = 0
    used_at: float = 0.0

    def close(self) -> None:
        self.context.close()
        self.model.close()


class LlamaEngine:
    """Generates with llama.cpp in one thread of its own; see `base.Engine` for what each method promises."""

    def __init__(
        self,
        *,
        n_ctx: int = 4096,
        parallel: int = 4,
        n_batch: int = 512,
        n_threads: int | None = None,
        n_gpu_layers: int | None = None,
        memory_budget: int = 0,
    ) -> None:
        """`memory_budget` bytes of models stay in memory; the one in use always does, and those still generating."""
        self._memory_budget = memory_budget
        self._n_ctx = n_ctx
        self._parallel = parallel
        self._n_batch = n_batch
        self._n_threads = n_threads
        self._n_gpu_layers = n_gpu_layers
        self._current: _Resident | None = None
        self._residents: list[_Resident] = []
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing:
            self._take_messages()
            for resident in list(self._residents):
                if resident.scheduler.busy:
                    self._step(resident.scheduler)
            self._close_cold()
        for resident in self._residents:
            resident.scheduler.fail_all("The program is shutting down.")
            resident.close()
        self._residents.clear()

    def _take_messages(self) -> None:
        """Run what other threads asked for; wait for it when there is nothing to generate."""
        idle = not any(resident.scheduler.busy for resident in self._residents)
        while idle or not self._inbox.empty():
            self._inbox.get()()
            idle = False

    def _step(self, scheduler: Scheduler) -> None:
        try:
            scheduler.step()
        except Exception:
            logger.exception("a step of the engine failed")
            scheduler.fail_all("The engine had an internal error. Try again.")

    def _close_cold(self) -> None:
        """Close models beyond the budget, least recently used first, never one that is in use or still generating."""
        with self._lock:
            excess = sum(resident.n_bytes for resident in self._residents) - self._memory_budget
            cold = []
            for resident in sorted(self._residents, key=lambda resident: resident.used_at):
                if excess > 0 and resident is not self._current and not resident.leases:
                    excess -= resident.n_bytes
                    cold.append(resident)
            for resident in cold:
                self._residents.remove(resident)
        for resident in cold:
            resident.close()

    @property
    def model(self) -> LoadedModel | None:
        current = self._current
        return current.info if current else None

    def load(self, path: Path, on_progress: Callable[[float], None]) -> LoadedModel:
        def report(share: float) -> bool:
            on_progress(share)
            return not self._closing

        with self._loading:
            resident = self._warm(path) or self._open(path, report)
            with self._lock:
                if self._closing:
                    resident.close()
                    raise ModelLoadError("The program is shutting down.")
                resident.used_at = time.monotonic()
                self._current = resident
                if resident not in self._residents:
                    self._residents.append(resident)
            self._inbox.put(lambda: None)
            return resident.info

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        with self._lock:
            resident = self._current
            if resident is None or self._closing:
                raise NoModelError("No model is loaded. Choose one in the header.")
            resident.leases += 1
            resident.used_at = time.monotonic()
        try:
            prompt = build_prompt(
                resident.model, request.turns, n_ctx=resident.info.n_ctx, max_tokens=request.sampling.max_tokens
            )
        except BaseException:
            self._end_lease(resident)
            raise
        generation = Generation(request, prompt, partial(self._emit, resident, emit))
        self._inbox.put(partial(resident.scheduler.add, generation))

    def change(self, request_id: str, sampling: RequestOptions) -> None:
        self._inbox.put(partial(self._for_all, lambda scheduler: scheduler.change(request_id, sampling)))

    def cancel(self, request_id: str) -> None:
        self._inbox.put(partial(self._for_all, lambda scheduler: scheduler.cancel(request_id)))

    def close(self) -> None:
        with self._lock:
            self._closing = True
        self._inbox.put(lambda: None)
        self._thread.join()
        # A load under way gives up at its next progress report.
        with self._loading:
            pass

    def _warm(self, path: Path) -> _Resident | None:
        """The model of this file, if it is still in memory and the file has not changed; from now on it stays there."""
        with self._lock:
            stamp = _stamp(path)
            warm = next((r for r in self._residents if r.info.path == path and r.stamp == stamp), None)
            self._current = warm or self._current
            return warm

    def _open(self, path: Path, report: Callable[[float], bool]) -> _Resident:
        stamp = _stamp(path)
        model = Model(path, n_gpu_layers=self._n_gpu_layers, on_progress=report)
        try:
            n_ctx = min(self._n_ctx or model.n_ctx_train, model.n_ctx_train or self._n_ctx)
            # Replies must never fill a batch: prompts are read in the room they leave.
            n_batch = max(self._n_batch, 2 * self._parallel)
            context = Context(model, n_ctx=n_ctx, n_sequences=self._parallel, n_batch=n_batch)
        except BaseException:
            model.close()
            raise
        info = LoadedModel(path, n_ctx, model.n_ctx_train, model.chat_template is not None)
        threads = ThreadTuner(self._n_threads)
        scheduler = Scheduler(model, context, threads, n_ctx=n_ctx, n_sequences=self._parallel)
        n_bytes = model.n_bytes + n_ctx * self._parallel * model.n_bytes_per_token
        return _Resident(info, model, context, scheduler, n_bytes, stamp)

    def _for_all(self, action: Callable[[Scheduler], None]) -> None:
        for resident in self._residents:
            action(resident.scheduler)

    def _emit(self, resident: _Resident, emit: Emit, event: Event) -> None:
        if isinstance(event, (GenerationDone, GenerationFailed)):
            self._end_lease(resident)
        try:
            emit(event)
        except Exception:
            logger.exception("nobody could take an event of the engine")

    def _end_lease(self, resident: _Resident) -> None:
        with self._lock:
            resident.leases -= 1
        # Wakes the thread, which closes a model that was replaced once its last lease has ended.
        self._inbox.put(lambda: None)


def _stamp(path: Path) -> tuple[int, int]:
    """Tells whether a file is still the one that was loaded: its size and time of change."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_size, status.st_mtime_ns)
