"""Requests to the engine on behalf of one HTTP request: several at once, and none that outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from functools import partial

from localchat_ui.engine.base import Engine, Event, GenerationDone, GenerationFailed, GenerationRequest, PromptBuilt
from localchat_ui.inlet import Inlet

# Whatever is wrong with a request shows at its first step: for so long a stream waits with its status.
FIRST_STEP_SECONDS = 0.25


class Generations:
    """Runs requests at the same time. Whoever makes one has to `close` it; what still runs is cancelled then."""

    def __init__(self, engine: Engine, requests: Sequence[GenerationRequest]) -> None:
        self._engine = engine
        self._requests = requests
        self._events: asyncio.Queue[tuple[int, list[Event]]] = asyncio.Queue()
        self._stepped = asyncio.Event()
        self._refused: GenerationFailed | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._open: set[str] = set()

    async def start(self) -> None:
        """Hand all requests to the engine. Raises EngineError when one cannot begin."""
        for index, request in enumerate(self._requests):
            inlet = Inlet(asyncio.get_running_loop())
            submitting = asyncio.ensure_future(asyncio.to_thread(self._engine.submit, request, inlet.put))
            try:
                await asyncio.shield(submitting)
            except asyncio.CancelledError:
                # The thread cannot be stopped; what it submits must not be written for nobody.
                submitting.add_done_callback(partial(self._forget, request.id))
                raise
            self._open.add(request.id)
            self._tasks.append(asyncio.create_task(self._receive(index, inlet)))

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
        for request_id in self._open:
            self._engine.cancel(request_id)
        for task in self._tasks:
            task.cancel()

    async def _receive(self, index: int, inlet: Inlet) -> None:
        while True:
            events = await inlet.take()
            self._events.put_nowait((index, events))
            if isinstance(events[-1], GenerationFailed):
                self._refused = self._refused or events[-1]
            if not all(isinstance(event, PromptBuilt) for event in events):
                self._stepped.set()
            if isinstance(events[-1], (GenerationDone, GenerationFailed)):
                self._open.discard(self._requests[index].id)
                return

    def _forget(self, request_id: str, submitting: asyncio.Future[None]) -> None:
        if not submitting.cancelled() and not submitting.exception():
            self._engine.cancel(request_id)
