"""The model that a first run without any fetches, as one download of the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from localchat_ui.inference.local import PROGRESS_SECONDS
from localchat_ui.library.download import Progress
from localchat_ui.library.errors import DownloadError
from localchat_ui.library.queue import DownloadQueue, Job, State


class FirstDownload:
    """It goes on whoever looks, and after a restart; here it is followed until the model can be used."""

    def __init__(self, queue: DownloadQueue, suggestion: Callable[[], Job]) -> None:
        """`suggestion` makes the job of what is fetched."""
        self.name = suggestion().name
        self._queue = queue
        self._suggestion = suggestion

    async def run(self, show: Callable[[Progress], None]) -> Path | None:
        """Fetch it and return its file; None when it was paused or given up. Raises DownloadError.

        What failed for want of a network goes on by itself all the same.
        """
        job = self._job
        if job is not None and job.is_open:
            self._queue.retry(job.id)
        elif job is None or job.state is not State.DONE or not await asyncio.to_thread(self._queue.path(job).is_file):
            await self._queue.add(self._suggestion())
        while (job := self._job) is not None and job.state is not State.PAUSED:
            if job.state is State.DONE:
                return self._queue.path(job)
            if job.error:
                raise DownloadError(job.error)
            show(self._queue.progress(job))
            await asyncio.sleep(PROGRESS_SECONDS)
        return None

    @property
    def is_paused(self) -> bool:
        return self._job is not None and self._job.state is State.PAUSED

    def pause(self) -> None:
        """What has arrived stays."""
        if self._job is not None:
            self._queue.pause(self._job.id)

    @property
    def _job(self) -> Job | None:
        wanted = self._suggestion()
        return next((job for job in self._queue.jobs if (job.folder, job.name) == (wanted.folder, wanted.name)), None)
