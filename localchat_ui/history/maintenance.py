"""What an app that runs for months does beside its work: it erases what was deleted, and makes backups."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from localchat_ui.history import backups, trash
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.store import HistoryStore

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 15 * 60.0


class Maintenance:
    """Runs every quarter of an hour, in a thread of its own where it takes long; whatever fails is tried again then."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="backup")
        self._stopped = threading.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._repeat())

    async def close(self) -> None:
        """End a backup that is being made; it leaves nothing behind."""
        self._stopped.set()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def run(self) -> None:
        """Do now whatever is due. Raises HistoryError."""
        await self._store.purge(trash.RETENTION)
        path = self._store.database.path
        if path is not None and backups.is_due(path):
            await self._back_up(path)

    async def _repeat(self) -> None:
        while True:
            try:
                await self.run()
            except HistoryError as error:
                logger.warning("maintenance of the history: %s", error)
            except Exception:
                logger.exception("maintenance of the history failed")
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _back_up(self, path: Path) -> None:
        back_up = partial(backups.back_up, path, is_stopped=self._stopped.is_set)
        made = await asyncio.get_running_loop().run_in_executor(self._executor, back_up)
        logger.info("the conversations were backed up to %s", made)
