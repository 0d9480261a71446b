"""What people do with the library while the program runs, and who may: find, fetch and remove models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from localchat_ui.access import current_user
from localchat_ui.access.audit import audit
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.inference.registry import ModelRegistry
from localchat_ui.library.calibration import Calibration
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.checksums import Checksums
from localchat_ui.library.errors import LibraryError, RemovalError
from localchat_ui.library.estimate import UNKNOWN, Shape
from localchat_ui.library.forecast import Forecast, Forecaster
from localchat_ui.library.gguf_header import GgufError, read_header
from localchat_ui.library.hub import Hub, Repository
from localchat_ui.library.hub_token import HubToken
from localchat_ui.library.model_file import displayable
from localchat_ui.library.offers import Offer
from localchat_ui.library.queue import DownloadQueue, Job, JobFile, job_of
from localchat_ui.library.source import Source, parse_source
from localchat_ui.library.watch import watch
from localchat_ui.text import Text

LOOK_SECONDS = 1.0
KEEP_SECONDS = 60.0


class ModelLibrary:
    """What changes something or asks the hub raises LibraryError: for whoever may not, and when it fails."""

    def __init__(
        self,
        catalog: Catalog,
        models: ModelRegistry,
        queue: DownloadQueue,
        hub: Hub,
        token: HubToken,
        *,
        checksums: Checksums,
        forecaster: Forecaster | None = None,
        is_admin: Callable[[], bool] = lambda: True,
    ) -> None:
        """`is_admin` tells of whoever asks. Without a `forecaster` nothing is said of memory and speed."""
        self.queue = queue
        self.hub = hub
        self._catalog = catalog
        self._models = models
        self._token = token
        self.checksums = checksums
        self._forecaster = forecaster
        self._is_admin = is_admin
        self._tasks: list[asyncio.Task[None]] = []
        self._measuring: asyncio.Task[None] | None = None
        queue.arrived.subscribe(self._on_arrival)

    async def start(self) -> None:
        await self.queue.start()
        self._tasks.append(asyncio.create_task(watch(self._catalog.models_dir, self._models.refresh)))
        self._tasks.append(asyncio.create_task(self._keep_speed()))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.queue.close()
        if self._forecaster:
            await asyncio.to_thread(self._forecaster.calibration.save)

    @property
    def may_manage(self) -> bool:
        """Whether whoever asks may download and remove: administrators, or anybody while there are no accounts."""
        return self._is_admin()

    def may_remove(self, model: ModelRef) -> bool:
        return self.may_manage and model.file is not None and self._catalog.owns(model.file)

    async def remove(self, model: ModelRef) -> int:
        """Remove a model's files; returns the bytes that are free now."""
        self._require_admin()
        if model.file is None:
            raise RemovalError(Text("{name} is not a file on this machine.", name=model.name))
        if model.path in self._models.in_memory:
            await self._models.free_memory(model.path)
        if model.path in self._models.in_memory:
            raise RemovalError(Text("{name} is writing a reply. Remove it when that is done.", name=model.name))
        freed = await self._catalog.remove(model.file)
        self._audit("model removed", model=model.name)
        await self._models.forget(model)
        return freed

    async def template(self, model: ModelRef) -> str:
        """The chat template that a file brings; empty when it has none."""
        if model.path is None:
            return ""
        try:
            header = await asyncio.to_thread(read_header, model.path)
        except GgufError as error:
            raise LibraryError(Text.joined(" ", (model.path.name, str(error)))) from error
        except OSError as error:
            words = Text("{name} cannot be read: {error}.", name=model.path.name, error=error.strerror or str(error))
            raise LibraryError(words) from error
        return displayable(str(header.values.get("tokenizer.chat_template", "")))

    async def search(self, words: str) -> list[Repository]:
        self._require_admin()
        return await self.hub.search(words)

    async def repository(self, repo_id: str) -> Repository:
        self._require_admin()
        return await self.hub.repository(repo_id)

    def forecast(self, weights: int, shape: Shape = UNKNOWN, context_length: int = 0) -> Forecast:
        """Whether a file of so many bytes will run here, and how fast; nothing where that is not ours to say."""
        return self._forecaster.of(weights, shape, context_length) if self._forecaster else Forecast()

    async def forecasts(self, repository: Repository) -> list[Forecast]:
        """Of each file of a repository; they differ in their bytes alone."""
        shape, context_length = await self.hub.shape_or_unknown(repository.id, repository.offers[0])
        return [self.forecast(offer.model_size, shape, context_length) for offer in repository.offers]

    def measure_soon(self) -> None:
        """Measure how fast this machine is as soon as nothing else is computed, if that is not known."""
        if self._forecaster is None or not self._forecaster.can_measure:
            return
        if self._measuring is None or self._measuring.done():
            self._measuring = asyncio.create_task(self._measure(self._forecaster.calibration))
            self._tasks.append(self._measuring)

    async def _measure(self, calibration: Calibration) -> None:
        while True:
            # The page that asks is drawn first.
            await asyncio.sleep(LOOK_SECONDS)
            if not self._models.is_busy:
                break
        await calibration.measure()
        self._models.changed.emit()

    async def _keep_speed(self) -> None:
        """What was learnt of the speed outlives a crash."""
        while self._forecaster is not None:
            await asyncio.sleep(KEEP_SECONDS)
            await asyncio.to_thread(self._forecaster.calibration.save)

    def source(self, text: str) -> Source | None:
        """What a text names; None for words to search for."""
        return parse_source(text, self.hub.endpoint)

    async def pull(self, source: Source) -> Job:
        """Download what was named: a file, a quantisation, or what is recommended of a repository."""
        self._require_admin()
        if source.url:
            return await self._add(Job(source.url, "", (JobFile(source.url_filename),)))
        repository, offer = await self.hub.offer(source)
        return await self.download(repository.id, offer)

    async def download(self, repo_id: str, offer: Offer) -> Job:
        self._require_admin()
        return await self._add(job_of(repo_id, offer))

    def pause(self, job: Job) -> None:
        self._require_admin()
        self.queue.pause(job.id)

    def resume(self, job: Job) -> None:
        self._require_admin()
        self.queue.resume(job.id)

    async def cancel(self, job: Job) -> None:
        self._require_admin()
        await self.queue.cancel(job.id)

    @property
    def has_token(self) -> bool:
        return bool(self._token())

    @property
    def token_is_configured(self) -> bool:
        return self._token.is_configured

    def keep_token(self, token: str) -> None:
        """Keep a token for the hub, or forget it when it is empty."""
        self._require_admin()
        self._token.keep(token)
        self._audit("hub token set" if token.strip() else "hub token removed")

    async def _add(self, job: Job) -> Job:
        job = await self.queue.add(job)
        self._audit("model download", model=job.name)
        return job

    async def _on_arrival(self, path: Path) -> None:
        await self._models.refresh()
        await self._models.use_first(path)

    def _require_admin(self) -> None:
        if not self.may_manage:
            raise LibraryError(Text("Only administrators manage the models here."))

    def _audit(self, event: str, **details: object) -> None:
        user = current_user()
        audit(event, by=user.name if user else "", **details)
