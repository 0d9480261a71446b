"""The engine in this process: requests in threads of its own, and models on their way into its memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import (
    Embeddings,
    Emit,
    Engine,
    GenerationRequest,
    ModelLoadError,
    PromptBuilt,
    Ranking,
    VocabularyToken,
)
from localchat_ui.engine.load_changes import NO_CHANGES, LoadChanges
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.estimate import Memory
from localchat_ui.library.fit import SHARE_AT_EASE, MemoryCheck, free_memory
from localchat_ui.library.model_file import ModelFile

PROGRESS_SECONDS = 0.2
# Of the progress told for a file that is loaded for the first time, so much is its trial in a child process.
TRIAL_SHARE = 0.5

T = TypeVar("T")


@dataclass(frozen=True)
class LoadForecast:
    """What a model would take in memory, loaded in some way, and the bytes that it could have."""

    need: Memory
    free: int

    @property
    def fits(self) -> bool:
        return self.need.total <= self.free

    @property
    def is_tight(self) -> bool:
        return self.fits and self.need.total > self.free * SHARE_AT_EASE


class LocalBackend:
    """Computes with files of the library. One at a time is loaded; files are tried beside that, one at a time too."""

    def __init__(self, engine: Engine, catalog: Catalog, memory: MemoryCheck | None = None) -> None:
        """Without `memory` a model is loaded whether it fits or not: on a graphics card it is not ours to say."""
        self.engine = engine
        self._catalog = catalog
        self._memory = memory
        self._changes: dict[Path, LoadChanges] = {}
        self._share = 0.0
        self._preparing = asyncio.Lock()
        # A request takes its thread for milliseconds, or as long as the model is loaded that it waits for; embeddings
        # take one until all are computed.
        self._requests = ThreadPoolExecutor(16, thread_name_prefix="request")
        self._embeddings = ThreadPoolExecutor(4, thread_name_prefix="embedding")
        self._loads = ThreadPoolExecutor(2, thread_name_prefix="load")

    async def submit(self, model: ModelRef, request: GenerationRequest, emit: Emit) -> None:
        await _run(self._requests, self.engine.submit, replace(request, model=model.path), emit)

    async def preview(self, model: ModelRef, request: GenerationRequest) -> PromptBuilt:
        return await _run(self._requests, self.engine.preview, replace(request, model=model.path))

    async def embed(self, model: ModelRef, texts: Sequence[str | Sequence[int]], *, request_id: str = "") -> Embeddings:
        def embed() -> Embeddings:
            return self.engine.embed(texts, model.path, request_id=request_id)

        return await _run(self._embeddings, embed)

    async def rank(self, model: ModelRef, query: str, documents: Sequence[str], *, request_id: str = "") -> Ranking:
        """How well each document answers the query. Raises EngineError."""

        def rank() -> Ranking:
            return self.engine.rank(query, documents, model.path, request_id=request_id)

        return await _run(self._embeddings, rank)

    async def tokenize(
        self, model: ModelRef, text: str, *, add_special: bool, parse_special: bool
    ) -> list[VocabularyToken]:
        """The tokens of a text. Raises EngineError."""

        def tokenize() -> list[VocabularyToken]:
            return self.engine.tokenize(text, model.path, add_special=add_special, parse_special=parse_special)

        return await _run(self._requests, tokenize)

    async def detokenize(self, model: ModelRef, tokens: Sequence[int]) -> str:
        """The text of tokens. Raises EngineError."""
        return await _run(self._requests, self.engine.detokenize, tokens, model.path)

    takes_changes = True

    def change(self, request_id: str, sampling: RequestOptions) -> None:
        self.engine.change(request_id, sampling)

    def cancel(self, request_id: str) -> None:
        self.engine.cancel(request_id)

    def configure(self, path: Path, changes: LoadChanges) -> None:
        """How this file is loaded from now on; in memory it stays as it is until then."""
        self._changes[path] = changes
        self.engine.configure(path, changes)

    def forecast(self, model: ModelFile, changes: LoadChanges) -> LoadForecast | None:
        """Of this file, loaded in that way; None where memory is not ours to say."""
        if self._memory is None:
            return None
        return LoadForecast(_for(self._memory, changes).need(model), free_memory() + self.engine.figures.unused_bytes)

    def refusal(self, model: ModelFile, changes: LoadChanges) -> str | None:
        """Why it would not fit if it were loaded in that way, even when those leave that nobody needs."""
        if self._memory is None:
            return None
        unused = self.engine.figures.unused_bytes
        return _for(self._memory, changes).refusal(model, self._catalog.models, reclaimable=unused)

    def leaving(self, model: ModelFile) -> tuple[Path, ...]:
        """The files whose models would leave memory for this one."""
        if self.engine.holds(model.path):
            return ()
        leaving = self.engine.leaving(model.path)
        changes = self._changes.get(model.path, NO_CHANGES)
        if self._memory is not None and _for(self._memory, changes).refusal(model):
            leaving = tuple(path for path in self.engine.figures.models if path != model.path)
        return leaving

    async def load(self, model: ModelFile, on_share: Callable[[float], None]) -> None:
        """Load the model that is in use from now on. Raises ModelLoadError.

        `on_share` is told on the event loop, every 0.2 s, how much is done, from 0 to 1.
        """
        self._share = 0.0
        if not self.engine.holds(model.path):
            await self._try(model, on_share)
        await self._load(model, on_share, first_share=self._share)

    async def prepare(self, model: ModelFile) -> None:
        """See to it that the engine can load this model beside the one in use. Raises ModelLoadError."""
        async with self._preparing:
            if not self.engine.holds(model.path):
                await self._make_room(model)
                if error := await self._catalog.try_load(model, lambda share: None):
                    raise ModelLoadError(error)

    def fit_together(self, models: Sequence[ModelFile]) -> bool:
        """Whether these can be in memory at the same time, when those leave that nobody needs."""
        if self._memory is None:
            return True
        loaded = self.engine.figures.models
        missing = [model for model in models if model.path not in loaded]
        kept = sum(self._memory.need(model).total for model in models if model.path in loaded)
        return not missing or self._memory.fit_together(missing, max(0, self.engine.figures.unused_bytes - kept))

    def memory_of(self, model: ModelFile) -> int | None:
        """About how many bytes it takes while it is loaded; None where that is not ours to say."""
        return self._memory.need(model).total if self._memory else None

    async def free_memory(self, path: Path | None = None) -> None:
        """Let all models, or the one of this file, leave memory that nobody needs at this moment; they come back on
        demand."""
        await _run(self._loads, self.engine.make_room, *([path] if path else []))

    async def close(self) -> None:
        """End all requests and give up all models."""
        await asyncio.to_thread(self.engine.close)
        for executor in (self._requests, self._embeddings, self._loads):
            executor.shutdown(wait=False, cancel_futures=True)

    async def _try(self, model: ModelFile, on_share: Callable[[float], None]) -> None:
        """Raises ModelLoadError for a file that does not fit, or does not survive its first load in a child process."""
        await self._make_room(model)
        trial = asyncio.create_task(self._catalog.try_load(model, lambda share: self._reach(share * TRIAL_SHARE)))
        try:
            await self._follow(trial, on_share)
        finally:
            # Its child process ends with it, and must not outlive the app.
            trial.cancel()
            await asyncio.gather(trial, return_exceptions=True)
        if error := trial.result():
            raise ModelLoadError(error)

    async def _make_room(self, model: ModelFile) -> None:
        """Raises ModelLoadError for a model that does not fit, even when those leave that nobody needs."""
        changes = self._changes.get(model.path, NO_CHANGES)
        if reason := self.refusal(model, changes):
            raise ModelLoadError(reason)
        if self._memory is not None and _for(self._memory, changes).refusal(model):
            await self.free_memory()

    async def _load(self, model: ModelFile, on_share: Callable[[float], None], first_share: float) -> None:
        def reach(share: float) -> None:
            self._reach(first_share + share * (1 - first_share))

        load = asyncio.ensure_future(_run(self._loads, self.engine.load, model.path, reach))
        try:
            await self._follow(load, on_share)
            load.result()
        except asyncio.CancelledError:
            # The thread cannot be stopped from here; it ends when the engine closes, and nobody asks how.
            load.add_done_callback(lambda done: None if done.cancelled() else done.exception())
            raise

    async def _follow(self, work: asyncio.Future[Any], on_share: Callable[[float], None]) -> None:
        while not work.done():
            on_share(self._share)
            await asyncio.wait([work], timeout=PROGRESS_SECONDS)

    def _reach(self, share: float) -> None:
        # Called on the loading thread; read by the loop that waits for it.
        self._share = share


def _for(memory: MemoryCheck, changes: LoadChanges) -> MemoryCheck:
    """The check for a model that is loaded in another way than the others."""
    given = changes.model_dump(exclude_none=True, include={"n_ctx", "parallel", "kv_type"})
    return replace(memory, **given)


async def _run(executor: ThreadPoolExecutor, work: Callable[..., T], *arguments: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, work, *arguments)
