"""The engine's thread: takes messages, steps the schedulers, ends cleanly, begins anew after a failure."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import (
    Embeddings,
    Emit,
    EngineFigures,
    Event,
    GenerationDone,
    GenerationFailed,
    GenerationRequest,
    LoadedModel,
    NoModelError,
    PromptBuilt,
)
from localchat_ui.engine.embedding import embed
from localchat_ui.engine.generation import Generation
from localchat_ui.engine.grammar import with_grammar
from localchat_ui.engine.loader import SHUTTING_DOWN, Loader, LoadOptions
from localchat_ui.engine.prompt import Prompt, build_prompt, plain_prompt
from localchat_ui.engine.residents import Resident, Residents
from localchat_ui.engine.scheduler import Scheduler, built

logger = logging.getLogger(__name__)

INTERNAL_ERROR = "The engine had an internal error. Try again."


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
        idle_seconds: float = 0,
    ) -> None:
        """`memory_budget` bytes of models stay in memory; the one in use always does, and those still generating.

        After `idle_seconds` without use, if not 0, a model leaves memory and comes back with the next request for it.
        """
        self._options = LoadOptions(n_ctx, parallel, n_batch, n_threads, n_gpu_layers)
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._residents = Residents(memory_budget, idle_seconds)
        self._loader = Loader(self._options, self._residents, on_released=self._wake)
        self._model: LoadedModel | None = None
        self._open: dict[str, Emit] = {}
        self._lock = threading.Lock()
        self._embedding = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing:
            try:
                self._turn()
            except BaseException:
                logger.exception("the engine failed and begins anew")
                self._end_all(INTERNAL_ERROR)
        self._end_all(SHUTTING_DOWN)

    def _turn(self) -> None:
        """Take messages, and let every model that is busy take a step."""
        busy = [resident.scheduler for resident in self._residents.all() if resident.scheduler.busy]
        if not busy or not self._inbox.empty():
            self._take_messages(wait=not busy)
        for scheduler in busy:
            self._step(scheduler)

    def _take_messages(self, *, wait: bool) -> None:
        """Run what other threads asked for, and close models that are needed no longer."""
        with suppress(Empty):
            self._inbox.get(timeout=self._residents.seconds_to_idle() if wait else None)()
            while True:
                self._inbox.get_nowait()()
        _close(self._residents.take_cold())

    def _step(self, scheduler: Scheduler) -> None:
        try:
            scheduler.step()
        except Exception:
            logger.exception("a step of the engine failed")
            scheduler.fail_all(INTERNAL_ERROR)

    def _end_all(self, reason: str) -> None:
        """Tell everybody who waits, and give all models up; what is needed again is loaded again."""
        for resident in self._residents.all():
            with suppress(Exception):
                resident.scheduler.fail_all(reason)
        with self._lock:
            forgotten = list(self._open.values())
            self._open.clear()
        for emit in forgotten:
            _tell(emit, GenerationFailed(reason))
        self._residents.discard_all()

    @property
    def model(self) -> LoadedModel | None:
        return self._model

    @property
    def figures(self) -> EngineFigures:
        residents = self._residents.all()
        schedulers = [resident.scheduler for resident in residents]
        return EngineFigures(
            running=sum(scheduler.n_running for scheduler in schedulers),
            waiting=sum(scheduler.n_waiting for scheduler in schedulers),
            kv_cells_used=sum(scheduler.n_cells_used for scheduler in schedulers),
            kv_cells=sum(self._options.parallel * resident.info.n_ctx for resident in residents),
            batch_fill=max((scheduler.batch_fill for scheduler in schedulers), default=0.0),
            models=tuple(resident.info.path for resident in residents),
            unused_bytes=sum(resident.n_bytes for resident in residents if not resident.leases),
        )

    def load(self, path: Path, on_progress: Callable[[float], None]) -> LoadedModel:
        with self._loader.leased(path, on_progress, unchanged=True) as resident:
            self._residents.current = path
            self._model = resident.info
            return resident.info

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        sampling = with_grammar(request.sampling)
        resident = self._loader.lease(self._path_for(request.model))
        try:
            prompt = self._prompt(resident, request)
            with self._lock:
                if self._closing:
                    raise NoModelError(SHUTTING_DOWN)
                self._open[request.id] = emit
        except BaseException:
            self._loader.release(resident)
            raise
        # From here on the lease is the request's own, and ends with its last event.
        self._inbox.put(partial(self._begin, resident, request, prompt, sampling))

    def preview(self, request: GenerationRequest) -> PromptBuilt:
        with self._loader.leased(self._path_for(request.model)) as resident:
            return built(self._prompt(resident, request))

    def embed(self, texts: Sequence[str | Sequence[int]], model: Path | None = None) -> Embeddings:
        with self._loader.leased(self._path_for(model)) as resident, self._embedding:
            n_ctx = resident.info.n_ctx
            inputs = [plain_prompt(resident.model, text, n_ctx=n_ctx).tokens for text in texts]
            # Replies are computed beside it; threads that wait for one another on busy cores are worse than fewer.
            n_threads = self._options.n_threads or max(1, (os.cpu_count() or 1) // 2)
            vectors = embed(resident.model, inputs, n_threads=n_threads, go_on=lambda: not resident.discarded)
            if len(vectors) < len(inputs):
                raise NoModelError(SHUTTING_DOWN)
            return Embeddings(vectors, sum(map(len, inputs)))

    def change(self, request_id: str, sampling: RequestOptions) -> None:
        options = with_grammar(sampling)
        self._inbox.put(partial(self._for_all, lambda scheduler: scheduler.change(request_id, options)))

    def cancel(self, request_id: str) -> None:
        self._inbox.put(partial(self._for_all, lambda scheduler: scheduler.cancel(request_id)))

    def make_room(self) -> None:
        _close(self._residents.take_unused())

    def close(self) -> None:
        with self._lock:
            self._closing = True
        self._wake()
        self._loader.close()
        self._thread.join()
        with self._embedding:
            pass
        # One may have been loaded while the thread was ending.
        self._residents.discard_all()

    def _path_for(self, model: Path | None) -> Path:
        path = model or (self._model.path if self._model else None)
        if path is None:
            raise NoModelError("No model is loaded. Choose one in the header.")
        return path

    def _prompt(self, resident: Resident, request: GenerationRequest) -> Prompt:
        if request.prompt is not None:
            return plain_prompt(resident.model, request.prompt, n_ctx=resident.info.n_ctx)
        return build_prompt(
            resident.model,
            request.turns,
            n_ctx=resident.info.n_ctx,
            max_tokens=request.sampling.max_tokens,
            template_arguments=request.template_arguments,
            may_drop=request.may_drop,
        )

    def _begin(self, resident: Resident, request: GenerationRequest, prompt: Prompt, sampling: RequestOptions) -> None:
        if resident.discarded or request.id not in self._open:
            self._loader.release(resident)
            return
        emit = partial(self._emit, resident, request.id)
        resident.scheduler.add(Generation(request, prompt, emit, sampling))

    def _for_all(self, action: Callable[[Scheduler], None]) -> None:
        for resident in self._residents.all():
            action(resident.scheduler)

    def _emit(self, resident: Resident, request_id: str, event: Event) -> None:
        emit = self._open.get(request_id)
        if emit is None:
            return  # it has ended before
        if isinstance(event, (GenerationDone, GenerationFailed)):
            del self._open[request_id]
            self._loader.release(resident)
        _tell(emit, event)

    def _wake(self) -> None:
        self._inbox.put(lambda: None)


def _tell(emit: Emit, event: Event) -> None:
    try:
        emit(event)
    except Exception:
        logger.exception("nobody could take an event of the engine")


def _close(residents: Iterable[Resident]) -> None:
    for resident in residents:
        resident.close()
