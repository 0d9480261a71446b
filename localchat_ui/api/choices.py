"""The replies of one HTTP request: several at once, and none that outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from localchat_ui.engine.base import Event, GenerationDone, GenerationFailed, GenerationRequest, PromptBuilt
from localchat_ui.inference import Inference, ModelRef, TokenStream

# Whatever is wrong with a request shows at its first step: for so long a stream waits with its status.
FIRST_STEP_SECONDS = 0.25


class Choices:
    """Runs requests at the same time. Whoever makes one has to `close` it; what still runs is cancelled then."""

    def __init__(self, inference: Inference, model: ModelRef, requests: Sequence[GenerationRequest]) -> None:
        self._inference = inference
        self._model = model
        self._requests = requests
        self._events: asyncio.Queue[tuple[int, list[Event]]] = asyncio.Queue()
        self._stepped = asyncio.Event()
        self._refused: GenerationFailed | None = None
        self._streams: list[TokenStream] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Hand all requests to the model. Raises EngineError when one cannot begin."""
        for index, request in enumerate(self._requests):
            stream = await self._inference.generate(self._model, request).__aenter__()
            self._streams.append(stream)
            self._tasks.append(asyncio.create_task(self._receive(index, stream)))

    async def first_step(self) -> GenerationFailed | None:
        """The failure of a request that ended with its very first step, as far as that is known soon."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stepped.wait(), FIRST_STEP_SECONDS)
        return self._refused

    async def events(self) -> AsyncGenerator[tuple[int, list[Event]], None]:
        """The events of each request under its number, in batches; the last of each is Done or Failed."""
        n_open = len(self._requests)
        while n_open:
            index, events = await self._events.get()
            n_open -= isinstance(events[-1], (GenerationDone, GenerationFailed))
            yield index, events

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
        for task in self._tasks:
            task.cancel()

    async def _receive(self, index: int, stream: TokenStream) -> None:
        async for events in stream:
            self._events.put_nowait((index, events))
            if isinstance(events[-1], GenerationFailed):
                self._refused = self._refused or events[-1]
            if not all(isinstance(event, PromptBuilt) for event in events):
                self._stepped.set()
