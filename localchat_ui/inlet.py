"""The one place where the engine's thread meets the event loop."""

from __future__ import annotations

import asyncio
import threading

from localchat_ui.engine.base import Event, Token
from localchat_ui.push_rate import PushRate


class Inlet:
    """Carries events from the engine's thread to the event loop, in batches at most about 20 times a second, and half
    as often while all cores are busy.

    Waking the loop for every token would make it compete with the engine for the interpreter's lock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._arrived = asyncio.Event()
        self._rate = PushRate()
        self._taken_at = 0.0
        self._first_at = 0.0

    def put(self, event: Event) -> None:
        """Called on the engine's thread."""
        with self._lock:
            self._events.append(event)
            if len(self._events) > 1:
                return
        self._loop.call_soon_threadsafe(self._arrived.set)

    async def take(self) -> list[Event]:
        """All events since the last call, at least one; the first text comes at once, later ones are gathered a while."""
        await self._arrived.wait()
        pause = self._taken_at + self._rate.measure() - self._loop.time()
        if pause > 0:
            await asyncio.sleep(pause)
        with self._lock:
            events, self._events = self._events, []
            self._arrived.clear()
        if any(isinstance(event, Token) for event in events):
            self._taken_at = self._loop.time()
            self._first_at = self._first_at or self._taken_at
        return events

    def tokens_per_second(self, n_tokens: int) -> float:
        elapsed = self._taken_at - self._first_at
        return (n_tokens - 1) / elapsed if elapsed > 0 and n_tokens > 1 else 0.0
