"""What every kind of backend promises: the engine in this process, and servers elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import Embeddings, Emit, EngineError, GenerationRequest, PromptBuilt
from localchat_ui.inference.model_ref import ModelRef

# More requests than these wait for nobody.
MAX_WAITING = 256


class QueueFullError(EngineError):
    """Too many requests wait already."""

    def __init__(self) -> None:
        super().__init__("Too many requests are waiting. Try again soon.")


class Backend(Protocol):
    """Computes for models of its own. Belongs to the event loop. `takes_changes`: whether `change` does anything."""

    @property
    def takes_changes(self) -> bool: ...

    async def submit(self, model: ModelRef, request: GenerationRequest, emit: Emit) -> None:
        """Begin a reply. Its events reach `emit`, on any thread; the last is Done or Failed, exactly once.

        Raises EngineError when it cannot begin.
        """

    async def preview(self, model: ModelRef, request: GenerationRequest) -> PromptBuilt:
        """What the model would read for this request. Raises EngineError."""

    async def embed(self, model: ModelRef, texts: Sequence[str | Sequence[int]], *, request_id: str = "") -> Embeddings:
        """The meaning of each text (or its tokens) as a vector. Raises EngineError."""

    def change(self, request_id: str, sampling: RequestOptions) -> None:
        """Let a running request go on with other options, if that can be. Unknown ids are ignored."""

    def cancel(self, request_id: str) -> None:
        """Stop a request soon; it ends with `cancelled`. Unknown ids are ignored."""
