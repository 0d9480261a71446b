"""Requests to models: admitted, sent where the model runs, metered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from weakref import WeakSet

from localchat_ui.access import current_visitor
from localchat_ui.conversation import GenerationStats, new_id
from localchat_ui.engine.base import Embeddings, EngineError, GenerationRequest, PromptBuilt, Ranking, VocabularyToken
from localchat_ui.inference.backend import MAX_WAITING, Backend, QueueFullError
from localchat_ui.inference.local import LocalBackend
from localchat_ui.inference.metrics import Meter, Metrics, RecordUsage
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.inference.token_stream import TokenStream
from localchat_ui.library.kind import Kind
from localchat_ui.library.model_file import ModelFile
from localchat_ui.text import Text

LearnSpeed = Callable[[ModelFile, GenerationStats], None]

NO_REMOTES: Mapping[str, Backend] = {}


class Inference:
    """All that computes with a model goes through here, for pages and programs alike."""

    def __init__(
        self,
        local: LocalBackend,
        remotes: Mapping[str, Backend] = NO_REMOTES,
        *,
        record_usage: RecordUsage = lambda visitor, n_tokens: None,
        learn_speed: LearnSpeed = lambda model, stats: None,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """`remotes` are the servers elsewhere, by name.

        `record_usage` is told, on any thread, of the tokens that were computed for somebody; `learn_speed` of replies
        of files here that nothing else was computed beside.
        """
        self.local = local
        self.metrics = Metrics(local.engine)
        self.max_waiting = max_waiting
        self._remotes = remotes
        self._record_usage = record_usage
        self._learn_speed = learn_speed
        self._ephemeral: WeakSet[TokenStream] = WeakSet()

    def generate(self, model: ModelRef, request: GenerationRequest) -> TokenStream:
        """A reply: `async with inference.generate(model, request) as stream`, then `async for events in stream`.

        Raises EngineError when the block is entered and the request cannot begin.
        What is ephemeral is cancelled as soon as anything else is asked for.
        """
        on_done = partial(self._learn, model) if self.is_idle else _ignore
        meter = Meter(self.metrics, self._record_usage, current_visitor(), on_done)
        self._make_way()
        stream = TokenStream(self._backend(model), model, request, meter)
        if request.ephemeral:
            self._ephemeral.add(stream)
        return stream

    @property
    def is_idle(self) -> bool:
        """Whether the engine has nothing to do."""
        figures = self.local.engine.figures
        return not figures.running and not figures.waiting

    def admit(self) -> None:
        """Raises QueueFullError when too many requests wait for the engine in this process already."""
        if self.local.engine.figures.waiting >= self.max_waiting:
            raise QueueFullError

    async def preview(self, model: ModelRef, request: GenerationRequest) -> PromptBuilt:
        """What the model would read for this request. Raises EngineError."""
        return await self._backend(model).preview(model, request)

    async def embed(self, model: ModelRef, texts: Sequence[str | Sequence[int]]) -> Embeddings:
        """The meaning of each text (or its tokens) as a vector of length 1; whoever waits no longer, cancels it.

        Raises EngineError.
        """
        visitor, backend, request_id = current_visitor(), self._backend(model), new_id()
        self._make_way()
        try:
            embeddings = await backend.embed(model, texts, request_id=request_id)
        finally:
            backend.cancel(request_id)
        self._record_usage(visitor, embeddings.n_tokens)
        return embeddings

    async def rank(self, model: ModelRef, query: str, documents: Sequence[str]) -> Ranking:
        """How well each document answers a query; whoever waits no longer, cancels it. Raises EngineError."""
        if model.kind is not Kind.RERANKER:
            raise EngineError(Text("{name} is no reranker. Name one in model.", name=model.name))
        visitor, request_id = current_visitor(), new_id()
        self._make_way()
        try:
            ranking = await self.local.rank(model, query, documents, request_id=request_id)
        finally:
            self.local.cancel(request_id)
        self._record_usage(visitor, ranking.n_tokens)
        return ranking

    async def tokenize(
        self, model: ModelRef, text: str, *, add_special: bool = False, parse_special: bool = True
    ) -> list[VocabularyToken]:
        """The tokens of a text, as `Engine.tokenize` does it. Raises EngineError."""
        _require_local(model)
        return await self.local.tokenize(model, text, add_special=add_special, parse_special=parse_special)

    async def detokenize(self, model: ModelRef, tokens: Sequence[int]) -> str:
        """The text of tokens. Raises EngineError."""
        _require_local(model)
        return await self.local.detokenize(model, tokens)

    def _learn(self, model: ModelRef, stats: GenerationStats) -> None:
        """Of a reply that began alone; one that had company in between is an odd one among others."""
        if model.file is not None and self.is_idle:
            self._learn_speed(model.file, stats)

    def _make_way(self) -> None:
        for stream in self._ephemeral:
            stream.cancel()
        self._ephemeral.clear()

    def _backend(self, model: ModelRef) -> Backend:
        return self._remotes[model.engine] if model.engine else self.local


def _ignore(stats: GenerationStats) -> None:
    """For replies whose speed says nothing."""


def _require_local(model: ModelRef) -> None:
    if not model.is_local:
        raise EngineError(
            Text(
                "{name} runs on {engine}, and only models in this program show their tokens.",
                name=model.name,
                engine=model.engine,
            )
        )
