"""The engine's thread: takes messages, steps the schedulers, ends cleanly, begins anew after a failure."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field
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
    Ranking,
    VocabularyToken,
)
from localchat_ui.engine.embedding import Embedder, pair_of
from localchat_ui.engine.generation import Generation
from localchat_ui.engine.grammar import Guide, guide_of
from localchat_ui.engine.load_changes import LoadChanges
from localchat_ui.engine.loader import SHUTTING_DOWN, Loader, LoadOptions
from localchat_ui.engine.model_pool import ModelPool, PooledModel
from localchat_ui.engine.prompt import Prompt, build_prompt, check_tokens, plain_prompt
from localchat_ui.engine.scheduler import Scheduler, built
from localchat_ui.engine.tool_grammar import CallRules
from localchat_ui.text import Text

logger = logging.getLogger(__name__)

CANCELLED = "The request was cancelled."
INTERNAL_ERROR = "The engine had an internal error. Try again."


@dataclass(eq=False)
class EmbeddingJob:
    """Texts on their way to become vectors, between the steps of the replies."""

    id: str
    embedder: Embedder
    done: Future[list[list[float]]] = field(default_factory=Future)

    def cancel(self) -> None:
        """Free what it computes in before whoever waits gives the model back."""
        self.embedder.close()
        self.done.cancel()


class LlamaEngine:
    """Generates with llama.cpp in one thread of its own; see `base.Engine` for what each method promises."""

    def __init__(self, options: LoadOptions | None = None, *, memory_budget: int = 0, idle_seconds: float = 0) -> None:
        """`memory_budget` bytes of models stay in memory; the one in use always does, and those still generating.

        After `idle_seconds` without use, if not 0, a model leaves memory and comes back with the next request for it.
        """
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._pool = ModelPool(memory_budget, idle_seconds)
        self._loader = Loader(options or LoadOptions(), self._pool, on_released=self._wake)
        self._model: LoadedModel | None = None
        self._open: dict[str, Emit] = {}
        self._lock = threading.Lock()
        self._embeddings: deque[EmbeddingJob] = deque()
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
        with suppress(Empty):
            while True:
                # Who has asked by now waits for an answer, and gets one below.
                self._inbox.get_nowait()()
        self._end_all(SHUTTING_DOWN)

    def _turn(self) -> None:
        """Take messages, and let every model that is busy take a step, and one of those who want vectors."""
        busy = [model.scheduler for model in self._pool.all() if model.scheduler.busy]
        idle = not busy and not self._embeddings
        if idle or not self._inbox.empty():
            self._take_messages(wait=idle)
        for scheduler in busy:
            self._step(scheduler)
        if self._embeddings:
            self._embed_a_batch(self._embeddings[0])

    def _embed_a_batch(self, job: EmbeddingJob) -> None:
        """Of one job; it stays in the line while it computes, where it is counted, and goes to its end afterwards."""
        try:
            if job.embedder.step():
                self._embeddings.rotate(-1)
                return
        except Exception as error:
            self._embeddings.popleft()
            job.done.set_exception(error)
        else:
            self._embeddings.popleft()
            job.done.set_result(job.embedder.vectors)

    def _take_messages(self, *, wait: bool) -> None:
        """Run what other threads asked for, and close models that are needed no longer."""
        with suppress(Empty):
            self._inbox.get(timeout=self._pool.seconds_to_idle() if wait else None)()
            while True:
                self._inbox.get_nowait()()
        _close(self._pool.take_cold())

    def _step(self, scheduler: Scheduler) -> None:
        try:
            scheduler.step()
        except Exception:
            logger.exception("a step of the engine failed")
            scheduler.fail_all(INTERNAL_ERROR)

    def _end_all(self, reason: str) -> None:
        """Tell everybody who waits, and give all models up; what is needed again is loaded again."""
        for model in self._pool.all():
            with suppress(Exception):
                model.scheduler.fail_all(reason)
        with self._lock:
            forgotten = list(self._open.values())
            self._open.clear()
        for emit in forgotten:
            _tell(emit, GenerationFailed(reason))
        while self._embeddings:
            self._embeddings.popleft().cancel()
        self._pool.discard_all()

    @property
    def model(self) -> LoadedModel | None:
        return self._model

    @property
    def figures(self) -> EngineFigures:
        models = self._pool.all()
        schedulers = [model.scheduler for model in models]
        return EngineFigures(
            running=sum(scheduler.n_running for scheduler in schedulers) + len(self._embeddings),
            waiting=sum(scheduler.n_waiting for scheduler in schedulers),
            kv_cells_used=sum(scheduler.n_cells_used for scheduler in schedulers),
            kv_cells=sum(model.info.parallel * model.info.n_ctx for model in models),
            batch_fill=max((scheduler.batch_fill for scheduler in schedulers), default=0.0),
            models=tuple(model.info.path for model in models),
            unused_bytes=sum(model.n_bytes for model in models if not model.leases),
            sizes=tuple(model.n_bytes for model in models),
        )

    def load(self, path: Path, on_progress: Callable[[float], None]) -> LoadedModel:
        with self._loader.leased(path, on_progress, unchanged=True) as model:
            self._pool.current = path
            self._model = model.info
            return model.info

    def configure(self, path: Path, changes: LoadChanges) -> None:
        self._pool.configure(path, changes)

    def holds(self, path: Path) -> bool:
        return self._pool.holds(path)

    def leaving(self, path: Path) -> tuple[Path, ...]:
        return tuple(model.info.path for model in self._pool.leaving(path))

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        model = self._loader.lease(self._path_for(request.model))
        try:
            prompt = self._prompt(model, request)
            guide = guide_of(model.model, request.sampling, prompt.marks, prompt.phase, _calls(request, prompt))
            with self._lock:
                if self._closing:
                    raise NoModelError(SHUTTING_DOWN)
                self._open[request.id] = emit
        except BaseException:
            self._loader.release(model)
            raise
        # From here on the lease is the request's own, and ends with its last event.
        self._inbox.put(partial(self._begin, model, request, prompt, guide))

    def preview(self, request: GenerationRequest) -> PromptBuilt:
        with self._loader.leased(self._path_for(request.model)) as model:
            return built(self._prompt(model, request))

    def embed(
        self, texts: Sequence[str | Sequence[int]], model: Path | None = None, *, request_id: str = ""
    ) -> Embeddings:
        with self._loader.leased(self._path_for(model)) as loaded:
            n_ctx = loaded.info.n_ctx
            inputs = [plain_prompt(loaded.model, text, n_ctx=n_ctx).tokens for text in texts]
            return Embeddings(self._vectors(loaded, inputs, request_id), sum(map(len, inputs)))

    def rank(self, query: str, documents: Sequence[str], model: Path | None = None, *, request_id: str = "") -> Ranking:
        with self._loader.leased(self._path_for(model)) as loaded:
            n_ctx = loaded.info.n_ctx
            pairs = [pair_of(loaded.model, query, document) for document in documents]
            inputs = [plain_prompt(loaded.model, pair, n_ctx=n_ctx).tokens for pair in pairs]
            vectors = self._vectors(loaded, inputs, request_id, ranks=True)
            return Ranking([vector[0] for vector in vectors], sum(map(len, inputs)))

    def tokenize(
        self, text: str, model: Path | None = None, *, add_special: bool = False, parse_special: bool = True
    ) -> list[VocabularyToken]:
        with self._loader.leased(self._path_for(model)) as loaded:
            tokens = loaded.model.tokenize(text, add_special=add_special, as_text=not parse_special)
            return [VocabularyToken(token, loaded.model.bytes_of(token)) for token in tokens]

    def detokenize(self, tokens: Sequence[int], model: Path | None = None) -> str:
        with self._loader.leased(self._path_for(model)) as loaded:
            check_tokens(loaded.model, tokens)
            return b"".join(map(loaded.model.bytes_of, tokens)).decode(errors="replace")

    def _vectors(
        self, loaded: PooledModel, inputs: Sequence[Sequence[int]], request_id: str, *, ranks: bool = False
    ) -> list[list[float]]:
        """Computed on the engine's thread; whoever asks holds the model until then."""
        embedder = Embedder(loaded.model, inputs, n_threads=loaded.info.n_threads, ranks=ranks)
        job = EmbeddingJob(request_id, embedder)
        with self._lock:
            if self._closing:
                raise NoModelError(SHUTTING_DOWN)
            self._inbox.put(partial(self._embeddings.append, job))
        try:
            return job.done.result()
        except CancelledError:
            raise NoModelError(SHUTTING_DOWN if self._closing else CANCELLED) from None

    def change(self, request_id: str, sampling: RequestOptions) -> None:
        self._inbox.put(partial(self._for_all, lambda scheduler: scheduler.change(request_id, sampling)))

    def cancel(self, request_id: str) -> None:
        self._inbox.put(partial(self._cancel, request_id))

    def make_room(self, path: Path | None = None) -> None:
        _close(self._pool.take_unused(path))

    def close(self) -> None:
        with self._lock:
            self._closing = True
        self._wake()
        self._loader.close()
        self._thread.join()
        # One may have been loaded while the thread was ending.
        self._pool.discard_all()

    def _path_for(self, model: Path | None) -> Path:
        path = model or (self._model.path if self._model else None)
        if path is None:
            raise NoModelError(Text("No model is loaded. Choose one in the header."))
        return path

    def _prompt(self, model: PooledModel, request: GenerationRequest) -> Prompt:
        if request.prompt is not None:
            return plain_prompt(model.model, request.prompt, n_ctx=model.info.n_ctx, suffix=request.suffix)
        return build_prompt(
            model.model,
            request.turns,
            n_ctx=model.info.n_ctx,
            max_tokens=request.sampling.max_tokens,
            template_arguments=request.template_arguments,
            may_drop=request.may_drop,
        )

    def _begin(self, model: PooledModel, request: GenerationRequest, prompt: Prompt, guide: Guide | None) -> None:
        if model.discarded or request.id not in self._open:
            self._loader.release(model)
            return
        emit = partial(self._emit, model, request.id)
        model.scheduler.add(Generation(request, prompt, emit, request.sampling, guide))

    def _cancel(self, request_id: str) -> None:
        for job in [each for each in self._embeddings if each.id == request_id]:
            self._embeddings.remove(job)
            job.cancel()
        self._for_all(lambda scheduler: scheduler.cancel(request_id))

    def _for_all(self, action: Callable[[Scheduler], None]) -> None:
        for model in self._pool.all():
            action(model.scheduler)

    def _emit(self, model: PooledModel, request_id: str, event: Event) -> None:
        emit = self._open.get(request_id)
        if emit is None:
            return  # it has ended before
        if isinstance(event, (GenerationDone, GenerationFailed)):
            del self._open[request_id]
            self._loader.release(model)
        _tell(emit, event)

    def _wake(self) -> None:
        self._inbox.put(lambda: None)


def _calls(request: GenerationRequest, prompt: Prompt) -> CallRules | None:
    """What calls have to look like, where that is not left to the model."""
    tools = request.template_arguments.get("tools")
    if not isinstance(tools, list) or not tools:
        return None
    several = request.may_call_several and prompt.may_call_several
    if request.must_call:
        wanted = [tool for tool in tools if tool["function"]["name"] in request.must_call]
        return CallRules(wanted, prompt.tool_format, several=several)
    answer = request.sampling.json_schema
    told_apart = answer is None or prompt.tool_format.triggers
    if not told_apart or (not request.strict and request.may_call_several and answer is None):
        return None
    return CallRules(tools, prompt.tool_format, several, must=False, strict=request.strict, answer=answer)


def _tell(emit: Emit, event: Event) -> None:
    try:
        emit(event)
    except Exception:
        logger.exception("nobody could take an event of the engine")


def _close(models: Iterable[PooledModel]) -> None:
    for model in models:
        model.close()
