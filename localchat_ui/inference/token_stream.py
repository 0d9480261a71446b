"""The events of one reply, on their way from whoever computes it to whoever reads it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from types import TracebackType

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import Event, GenerationDone, GenerationFailed, GenerationRequest, Token
from localchat_ui.inference.backend import Backend
from localchat_ui.inference.metrics import Meter
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.inference.update_throttle import UpdateThrottle

# A token that is the last for a while is shown so late at most.
PATIENCE_SECONDS = 0.05


class TokenStream:
    """`async with` submits the request; iterating yields its events in batches; leaving the block cancels it.

    Batches come at most about 20 times a second, and half as often while all cores are busy, those of all streams at
    the same moments: whenever the loop wakes, it takes a core from the engine.
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
        # No token wakes the loop before that moment, nor twice.
        self._due = 0.0
        self._is_woken = False
        self._later: asyncio.TimerHandle | None = None
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
            self._arrived.clear()
            with self._lock:
                events, self._events, self._is_woken = self._events, [], False
                if has_text := any(isinstance(event, Token) for event in events):
                    self._taken_at = time.monotonic()
                    self._due = self._throttle.next_update(self._taken_at)
            if not events:
                continue
            self._ended = isinstance(events[-1], (GenerationDone, GenerationFailed))
            if has_text:
                self._first_at = self._first_at or self._taken_at
                self._look_later()
            yield events

    def close(self) -> None:
        """Cancel what is still computed."""
        if not self._ended:
            self._ended = True
            self.cancel()

    def cancel(self) -> None:
        """End it at the next step; it then ends with `cancelled`."""
        self._backend.cancel(self._request.id)

    @property
    def takes_changes(self) -> bool:
        """Whether the options can be changed while it is written: not on a server elsewhere."""
        return self._backend.takes_changes

    def change(self, sampling: RequestOptions) -> None:
        """Let it go on with other options; the next token obeys."""
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
            if self._is_woken or (isinstance(event, Token) and time.monotonic() < self._due):
                return
            self._is_woken = True
        self._loop.call_soon_threadsafe(self._arrived.set)

    def _look_later(self) -> None:
        """Take what came before it was due, if nothing follows that takes it along."""
        if self._later:
            self._later.cancel()
        if not self._ended:
            seconds = self._due - time.monotonic() + PATIENCE_SECONDS
            self._later = self._loop.call_later(seconds, self._arrived.set)


def _failed(done: asyncio.Future[None]) -> bool:
    return done.cancelled() or done.exception() is not None
