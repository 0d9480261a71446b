"""The end of the program, told to open requests before their connections are cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nicegui.server import Server

POLL_SECONDS = 0.5


def server_is_ending() -> bool:
    """Whether the web server was told to end. It tells nobody, and waits for open connections."""
    server = getattr(Server, "instance", None)
    return bool(server and server.should_exit)


class Closing:
    """Wakes all who wait when the program is about to end. Nothing runs while nobody waits."""

    def __init__(self, is_ending: Callable[[], bool] = server_is_ending) -> None:
        self._is_ending = is_ending
        self._n_waiting = 0
        self._watch: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        return self._is_ending()

    async def wait(self) -> None:
        """Return when the program is about to end."""
        self._n_waiting += 1
        try:
            if self._watch is None or self._watch.done():
                self._watch = asyncio.create_task(self._look())
            await asyncio.shield(self._watch)
        finally:
            self._n_waiting -= 1

    async def _look(self) -> None:
        while self._n_waiting and not self._is_ending():  # noqa: ASYNC110 - the server has no event to wait for
            await asyncio.sleep(POLL_SECONDS)
