"""Downloads that wait, run and are kept over restarts: they belong to the process, not to whoever looks at them."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from nicegui import Event
from pydantic import TypeAdapter, ValidationError

from localchat_ui.atomic_file import write_atomically
from localchat_ui.library.download import Download, Progress
from localchat_ui.library.errors import ConnectionLostError, DownloadError
from localchat_ui.library.model_file import readable_size
from localchat_ui.library.offers import Offer
from localchat_ui.text import Text

logger = logging.getLogger(__name__)

AT_A_TIME = 4
# Between attempts while there is no network, beside those that the download makes itself.
RETRY_SECONDS = 30.0


class State(str, Enum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True)
class JobFile:
    """A file to be fetched; `size` in bytes, 0 where it is not known yet."""

    name: str
    size: int = 0


@dataclass(frozen=True)
class Job:
    """Files that only together are a model. `source` is a repository or an address.

    `fetched` are those files that are complete, and `found` those of them that were there before. `error` says why it
    failed, or why it waits.
    """

    source: str
    folder: str
    files: tuple[JobFile, ...]
    state: State = State.QUEUED
    fetched: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    error: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def name(self) -> str:
        return Path(self.files[0].name).name

    @property
    def is_open(self) -> bool:
        """Whether it goes on by itself."""
        return self.state in (State.QUEUED, State.RUNNING)

    @property
    def size(self) -> int | None:
        sizes = [file.size for file in self.files]
        return sum(sizes) if all(sizes) else None


def job_of(repo_id: str, offer: Offer) -> Job:
    """The download of a model from the hub, into a folder that is called like its repository."""
    return Job(repo_id, repo_id, tuple(JobFile(file.name, file.size) for file in offer.all_files))


class DownloadQueue:
    """The downloads of one folder. Belongs to one event loop, on which its events fire.

    `arrived` tells of the first file of a model that is complete.
    """

    def __init__(
        self,
        models_dir: Path,
        journal: Path,
        new_download: Callable[[Job, JobFile, Path], Download],
        *,
        at_a_time: int = AT_A_TIME,
    ) -> None:
        """`journal` is the file that remembers them."""
        self.jobs: list[Job] = []
        self.changed: Event[[]] = Event()
        self.arrived: Event[[Path]] = Event()
        self._models_dir = models_dir
        self._journal = journal
        self._new_download = new_download
        self._at_a_time = at_a_time
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._downloads: dict[str, Download] = {}
        self._is_closing = False

    async def start(self) -> None:
        """Go on where the last run of the program ended, however it did."""
        self.jobs = [
            replace(job, state=State.QUEUED) if job.is_open else job
            for job in await asyncio.to_thread(_read, self._journal)
        ]
        self._fill()

    async def close(self) -> None:
        """What has arrived stays, and goes on with the next start."""
        self._is_closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def find(self, job_id: str) -> Job:
        """Raises DownloadError."""
        for job in self.jobs:
            if job.id == job_id:
                return job
        raise DownloadError(Text("This download is not there any more."))

    def progress(self, job: Job) -> Progress:
        """Of all its files together."""
        total = job.size
        before = sum(file.size for file in job.files if file.name in job.fetched)
        if job.state is State.DONE:
            return Progress("done", before, total)
        if download := self._downloads.get(job.id):
            now = download.progress
            return replace(now, done=before + now.done, total=total or now.total)
        waiting = [self.path(job, file) for file in job.files if file.name not in job.fetched]
        return Progress("connecting", before + sum(map(_part_size, waiting)), total)

    def path(self, job: Job, file: JobFile | None = None) -> Path:
        """Where a file of it will be, or is; without one, the first."""
        return self._models_dir / job.folder / (file or job.files[0]).name

    async def add(self, job: Job) -> Job:
        """Raises DownloadError when it is under way already, or when there is no room for it.

        One that was paused or has failed goes on instead, and is returned.
        """
        for other in list(self.jobs):
            if (other.folder, other.name) == (job.folder, job.name):
                if other.is_open:
                    raise DownloadError(Text("{name} is being downloaded already.", name=job.name))
                if other.state is not State.DONE:
                    self.resume(other.id)
                    return self.find(other.id)
                self._forget(other)
        await self._check_room(job)
        self.jobs.append(job)
        self._keep()
        self._fill()
        return job

    def pause(self, job_id: str) -> None:
        """Raises DownloadError."""
        if self.find(job_id).is_open:
            self._change(job_id, state=State.PAUSED, error="")
            self._stop(job_id)

    def resume(self, job_id: str) -> None:
        """Go on with one that was paused or has failed. Raises DownloadError."""
        if self.find(job_id).state in (State.PAUSED, State.FAILED):
            self._change(job_id, state=State.QUEUED, error="")
            self._fill()

    def retry(self, job_id: str) -> None:
        """Try again at once what waits for the network. Raises DownloadError."""
        if self.find(job_id).error:
            self.pause(job_id)
            self.resume(job_id)

    async def cancel(self, job_id: str) -> None:
        """Give it up and remove what has arrived of it; of one that is done, forget it. Raises DownloadError."""
        self.pause(job_id)
        if task := self._tasks.get(job_id):
            await asyncio.gather(task, return_exceptions=True)
        job = self.find(job_id)
        self._forget(job)
        if job.state is not State.DONE:
            await asyncio.to_thread(self._clean_up, job)
        self._keep()

    def _fill(self) -> None:
        for job in [job for job in self.jobs if job.state is State.QUEUED]:
            if self._is_closing or len(self._tasks) >= self._at_a_time:
                return
            if job.id not in self._tasks:
                self._tasks[job.id] = asyncio.create_task(self._run(job.id))
                self._change(job.id, state=State.RUNNING)

    def _stop(self, job_id: str) -> None:
        if task := self._tasks.get(job_id):
            task.cancel()

    async def _run(self, job_id: str) -> None:
        try:
            await self._fetch_all(job_id)
        except DownloadError as error:
            self._change(job_id, state=State.FAILED, error=str(error))
        except asyncio.CancelledError:
            pass  # paused, given up, or the program ends: whoever did it has said so
        except Exception:
            logger.exception("a download ended")
            self._change(job_id, state=State.FAILED, error="Something went wrong inside the program. Try again.")
        else:
            self._change(job_id, state=State.DONE, error="")
            job = self.find(job_id)
            self.arrived.emit(self.path(job))
        finally:
            del self._tasks[job_id]
            self._downloads.pop(job_id, None)
            self._fill()

    async def _fetch_all(self, job_id: str) -> None:
        for file in self.find(job_id).files:
            while file.name not in self.find(job_id).fetched:
                job = self.find(job_id)
                path = self.path(job, file)
                was_there = await asyncio.to_thread(path.exists)
                download = self._downloads[job_id] = self._new_download(job, file, self._models_dir / job.folder)
                try:
                    await download.run()
                except ConnectionLostError as error:
                    self._change(job_id, error=str(error))
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                size = (await asyncio.to_thread(path.stat)).st_size
                files = tuple(replace(each, size=size) if each.name == file.name else each for each in job.files)
                found = (*job.found, file.name) if was_there else job.found
                self._change(job_id, files=files, fetched=(*job.fetched, file.name), found=found, error="")

    async def _check_room(self, job: Job) -> None:
        if job.size is None:
            return
        missing = job.size + sum(
            (progress.total or 0) - progress.done
            for progress in (self.progress(other) for other in self.jobs if other.is_open)
        )
        free = await asyncio.to_thread(_free, self._models_dir)
        if missing > free:
            raise DownloadError(
                Text(
                    "The disk is too full: {name} needs {size}, and {free} are left for all downloads. "
                    "Make room, or set MODELS_DIR to another disk.",
                    name=job.name,
                    size=readable_size(job.size),
                    free=readable_size(free),
                )
            )

    def _clean_up(self, job: Job) -> None:
        for file in job.files:
            path = self.path(job, file)
            for part in _parts(path):
                part.unlink(missing_ok=True)
            if file.name in job.fetched and file.name not in job.found:
                path.unlink(missing_ok=True)
        folder = self._models_dir / job.folder
        while folder != self._models_dir and self._models_dir in folder.parents:
            with suppress(OSError):
                folder.rmdir()
            folder = folder.parent

    def _change(self, job_id: str, **changes: object) -> None:
        self.jobs = [replace(job, **changes) if job.id == job_id else job for job in self.jobs]  # type: ignore[arg-type]
        self._keep()

    def _forget(self, job: Job) -> None:
        self.jobs = [other for other in self.jobs if other.id != job.id]

    def _keep(self) -> None:
        try:
            write_atomically(self._journal, _JOBS.dump_json([job for job in self.jobs if job.state is not State.DONE]))
        except OSError as error:
            logger.warning("Downloads are not remembered in %s: %s", self._journal, error)
        self.changed.emit()


_JOBS = TypeAdapter(list[Job])


def _read(journal: Path) -> list[Job]:
    try:
        return _JOBS.validate_json(journal.read_bytes())
    except (OSError, ValidationError):
        return []


def _free(folder: Path) -> int:
    while not folder.exists():
        folder = folder.absolute().parent
    return shutil.disk_usage(folder).free


def _parts(path: Path) -> list[Path]:
    """What has arrived of a file that is not complete."""
    unfinished = re.compile(re.escape(path.name) + r"\.[0-9a-f]{12}\.part")
    with suppress(OSError):
        return [other for other in path.parent.iterdir() if unfinished.fullmatch(other.name)]
    return []


def _part_size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return sum(part.stat().st_size for part in _parts(path))
