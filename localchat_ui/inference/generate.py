"""Requests to models: admitted, sent where the model runs, metered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from localchat_ui.access import current_visitor
from localchat_ui.conversation import new_id
from localchat_ui.engine.base import Embeddings, GenerationRequest, PromptBuilt
from localchat_ui.inference.backend import MAX_WAITING, Backend, QueueFullError
from localchat_ui.inference.local import LocalBackend
from localchat_ui.inference.metrics import Meter, Metrics, RecordUsage
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.inference.token_stream import TokenStream

NO_REMOTES: Mapping[str, Backend] = {}


class Inference:
    """All that computes with a model goes through here, for pages and programs alike."""

    def __init__(
        self,
        local: LocalBackend,
        remotes: Mapping[str, Backend] = NO_REMOTES,
        *,
        record_usage: RecordUsage = lambda visitor, n_tokens: None,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """`remotes` are the servers elsewhere, by name.

        `record_usage` is told, on any thread, of the tokens that were computed for somebody.
        """
        self.local = local
        self.metrics = Metrics(local.engine)
        self.max_waiting = max_waiting
        self._remotes = remotes
        self._record_usage = record_usage

    def generate(self, model: ModelRef, request: GenerationRequest) -> TokenStream:
        """A reply: `async with inference.generate(model, request) as stream`, then `async for events in stream`.

        Raises EngineError when the block is entered and the request cannot begin.
        """
        meter = Meter(self.metrics, self._record_usage, current_visitor())
        return TokenStream(self._backend(model), model, request, meter)

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
        try:
            embeddings = await backend.embed(model, texts, request_id=request_id)
        finally:
            backend.cancel(request_id)
        self._record_usage(visitor, embeddings.n_tokens)
        return embeddings

    def _backend(self, model: ModelRef) -> Backend:
        return self._remotes[model.engine] if model.engine else self.local
