"""Notices what becomes of the files in a folder while the program runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from watchfiles import Change, awatch

logger = logging.getLogger(__name__)

GATHER_MS = 400
LOOK_SECONDS = 2.0
# They change all the time while they are written, and are no models yet.
UNFINISHED = (".part", ".incomplete", ".tmp", ".crdownload")


async def watch(folder: Path, on_change: Callable[[], Awaitable[object]]) -> None:
    """Call `on_change` whenever files come, change or go, for ever; the folder itself may come and go, too."""
    while True:
        if await asyncio.to_thread(folder.is_dir):
            await on_change()
            try:
                await _while_there(folder, on_change)
            except (OSError, RuntimeError) as error:
                # Such as a system that allows no more watches: lists are still read again when they are opened.
                logger.warning("%s cannot be watched: %s", folder, error)
                return
            await on_change()
        await asyncio.sleep(LOOK_SECONDS)


async def _while_there(folder: Path, on_change: Callable[[], Awaitable[object]]) -> None:
    milliseconds = int(LOOK_SECONDS * 1000)
    async for changes in awatch(
        folder, watch_filter=_matters, debounce=GATHER_MS, rust_timeout=milliseconds, yield_on_timeout=True
    ):
        if not await asyncio.to_thread(folder.is_dir):
            return
        if changes:
            await on_change()


def _matters(change: Change, path: str) -> bool:
    return not path.lower().endswith(UNFINISHED)
