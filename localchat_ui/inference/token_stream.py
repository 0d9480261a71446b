"""The events of one reply, on their way from whoever computes it to whoever reads it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from types import TracebackType

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import Event, GenerationDone, GenerationFailed, GenerationRequest, Token
from localchat_ui.inference.backend import Backend
from localchat_ui.inference.metrics import Meter
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.inference.update_throttle import UpdateThrottle


class TokenStream:
    """`async with` submits the request; iterating yields its events in batches; leaving the block cancels it.

    Batches come at most about 20 times a second, and half as often while all cores are busy: waking the loop for every
    token would make it compete with the engine for the interpreter's lock.
    """

    def __init__(self, backend: Backend, model: ModelRef, request: GenerationRequest, meter: Meter) -> None:
        self.model = model
        self._backend = backend
        self._request = request
        self._meter = meter
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._arrived = asyncio.Event()
        self._throttle = UpdateThrottle()
        self._taken_at = 0.0
        self._first_at = 0.0
        self._ended = False

    async def __aenter__(self) -> TokenStream:
        """Raises EngineError when the request cannot begin."""
        submitting = asyncio.ensure_future(self._backend.submit(self.model, self._request, self._put))
        try:
            await asyncio.shield(submitting)
        except asyncio.CancelledError:
            # What is submitted in a thread cannot be stopped, and must not be written for nobody.
            submitting.add_done_callback(lambda done: self.cancel() if not _failed(done) else None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aiter__(self) -> AsyncIterator[list[Event]]:
        """At least one event at a time; the first text comes at once. The last event is Done or Failed."""
        while not self._ended:
            await self._arrived.wait()
            pause = self._taken_at + self._throttle.measure() - self._loop.time()
            if pause > 0:
                await asyncio.sleep(pause)
            with self._lock:
                events, self._events = self._events, []
                self._arrived.clear()
            if any(isinstance(event, Token) for event in events):
                self._taken_at = self._loop.time()
                self._first_at = self._first_at or self._taken_at
            self._ended = isinstance(events[-1], (GenerationDone, GenerationFailed))
            yield events

    def close(self) -> None:
        """Cancel what is still computed."""
        if not self._ended:
            self._ended = True
            self.cancel()

    def cancel(self) -> None:
        """End it at the next step; it then ends with `cancelled`."""
        self._backend.cancel(self._request.id)

    def change(self, sampling: RequestOptions) -> None:
        """Let it go on with other options; the next token obeys, where the engine can do that."""
        self._backend.change(self._request.id, sampling)

    def tokens_per_second(self, n_tokens: int) -> float:
        """How fast so many tokens have arrived."""
        elapsed = self._taken_at - self._first_at
        return (n_tokens - 1) / elapsed if elapsed > 0 and n_tokens > 1 else 0.0

    def _put(self, event: Event) -> None:
        """Called on the engine's thread."""
        self._meter.count(event)
        with self._lock:
            self._events.append(event)
            if len(self._events) > 1:
                return
        self._loop.call_soon_threadsafe(self._arrived.set)


def _failed(done: asyncio.Future[None]) -> bool:
    return done.cancelled() or done.exception() is not None
