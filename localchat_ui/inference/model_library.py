"""What people do with the library while the program runs, and who may: find, fetch and remove models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from localchat_ui.access import current_user
from localchat_ui.access.audit import audit
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.inference.registry import ModelRegistry
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.checksums import Checksums
from localchat_ui.library.errors import DownloadError, LibraryError, RemovalError
from localchat_ui.library.estimate import UNKNOWN, Shape
from localchat_ui.library.fit import MemoryCheck
from localchat_ui.library.gguf_header import GgufError, read_header
from localchat_ui.library.hub import Hub, Repository
from localchat_ui.library.hub_token import HubToken
from localchat_ui.library.model_file import displayable
from localchat_ui.library.offers import Offer
from localchat_ui.library.queue import DownloadQueue, Job, JobFile, job_of
from localchat_ui.library.source import Source, parse_source
from localchat_ui.library.watch import watch


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
        memory: MemoryCheck | None = None,
        is_admin: Callable[[], bool] = lambda: True,
    ) -> None:
        """`is_admin` tells of whoever asks. Without `memory` nothing is said of what fits."""
        self.queue = queue
        self.hub = hub
        self._catalog = catalog
        self._models = models
        self._token = token
        self.checksums = checksums
        self._memory = memory
        self._is_admin = is_admin
        self._watching: asyncio.Task[None] | None = None
        queue.arrived.subscribe(self._on_arrival)

    async def start(self) -> None:
        await self.queue.start()
        self._watching = asyncio.create_task(watch(self._catalog.models_dir, self._models.refresh))

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.queue.close()

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
            raise RemovalError(f"{model.name} is not a file on this machine.")
        if model.path in self._models.in_memory:
            await self._models.free_memory(model.path)
        if model.path in self._models.in_memory:
            raise RemovalError(f"{model.name} is writing a reply. Remove it when that is done.")
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
        except (GgufError, OSError) as error:
            raise LibraryError(f"{model.path.name} cannot be read: {error}") from error
        return displayable(str(header.values.get("tokenizer.chat_template", "")))

    async def search(self, words: str) -> list[Repository]:
        self._require_admin()
        return await self.hub.search(words)

    async def repository(self, repo_id: str) -> Repository:
        self._require_admin()
        return await self.hub.repository(repo_id)

    def verdict(self, weights: int, shape: Shape = UNKNOWN, context_length: int = 0) -> str:
        """Whether a file of so many bytes runs here, in one line; empty where that is not ours to say."""
        return self._memory.verdict(weights, shape, context_length).text if self._memory else ""

    async def verdicts(self, repository: Repository) -> list[str]:
        """Of each file of a repository; they differ in their bytes alone."""
        try:
            shape, context_length = await self.hub.shape(repository.id, repository.offers[0])
        except DownloadError:
            shape, context_length = UNKNOWN, 0
        return [self.verdict(offer.model_size, shape, context_length) for offer in repository.offers]

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
            raise LibraryError("Only administrators manage the models here.")

    def _audit(self, event: str, **details: object) -> None:
        user = current_user()
        audit(event, by=user.name if user else "", **details)
