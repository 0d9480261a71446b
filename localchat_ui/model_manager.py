"""Which model is in use: chosen at start, swapped from the page, downloaded on a first run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import Event

from localchat_ui.engine.base import Engine, EngineError, ModelLoadError, NoModelError
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.preferences import Preferences
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.download import Download, DownloadError, Progress
from localchat_ui.library.fit import MemoryCheck
from localchat_ui.library.model_file import ModelFile, displayable
from localchat_ui.model_loader import PROGRESS_SECONDS, ModelLoader

logger = logging.getLogger(__name__)

LAST_USED = "model.last_used"
ADMINS_CHOOSE = "model.only_admins_choose"
HOW_TO_ADD = "Put a GGUF file into the models folder and choose it in the header, or download one."


class Phase(str, Enum):
    STARTING = "starting"
    LOADING = "loading"
    DOWNLOADING = "downloading"
    READY = "ready"
    FAILED = "failed"
    NONE = "none"


@dataclass(frozen=True)
class ModelStatus:
    """What the page shows of the models.

    `model` answers now; `target` is on its way into memory and `share` of it, 0 to 1, is there; `download` is how far a
    download is. `error` says, for people, why the last attempt failed.
    """

    phase: Phase
    model: ModelFile | None = None
    target: ModelFile | None = None
    share: float = 0.0
    download: Progress | None = None
    error: str | None = None


class UnknownModelError(EngineError):
    """No installed model is called so."""


class ChoiceRefusedError(EngineError):
    """Whoever asks may not change the model that answers everybody."""


class ModelManager:
    """Brings models into the engine, one at a time.

    Events fire on the event loop: `changed` whenever `status` did, `failed` with the reason each time something failed.
    """

    def __init__(
        self,
        engine: Engine,
        catalog: Catalog,
        preferences: Preferences,
        *,
        configured: str = "",
        download_name: str,
        new_download: Callable[[], Download],
        memory: MemoryCheck | None = None,
        is_admin: Callable[[], bool] = lambda: True,
    ) -> None:
        """Without `memory` a model is loaded whether it fits or not: on a graphics card it is not ours to say.

        `is_admin` tells of whoever asks.
        """
        self._engine = engine
        self._catalog = catalog
        self._preferences = preferences
        self._configured = configured
        self._new_download = new_download
        self._loader = ModelLoader(engine, catalog, memory)
        self._is_admin = is_admin
        self.only_admins_choose = False
        self.download_name = download_name
        self._task: asyncio.Task[None] | None = None
        self._running_download: asyncio.Task[Path] | None = None
        self._model: ModelFile | None = None
        self._error: str | None = None
        self._number = 0
        self.status = ModelStatus(Phase.STARTING)
        self.changed: Event[[]] = Event()
        self.failed: Event[[str]] = Event()

    @property
    def models(self) -> list[ModelFile]:
        """The files found by the last refresh."""
        return self._catalog.models

    @property
    def context_length(self) -> int:
        """Tokens one conversation may have with the model in use; 0 without one."""
        return self._engine.model.n_ctx if self._engine.model else 0

    async def refresh(self) -> None:
        """Look for new and vanished files."""
        before = self._catalog.models
        if await self._catalog.refresh() != before:
            self.changed.emit()

    @property
    def in_memory(self) -> tuple[Path, ...]:
        """The files whose models are loaded, in use or kept warm."""
        return self._engine.figures.models

    @property
    def may_choose(self) -> bool:
        """Whether whoever asks may change the model that answers everybody."""
        return self._is_admin() or not self.only_admins_choose

    async def let_only_admins_choose(self, only_admins: bool) -> None:
        """Keep who may change the model in use from now on. Raises HistoryError."""
        await self._preferences.set(ADMINS_CHOOSE, only_admins)
        self.only_admins_choose = only_admins
        self.changed.emit()

    async def free_memory(self) -> None:
        """Let all models leave memory that nobody needs at this moment; the one in use comes back on demand."""
        await asyncio.to_thread(self._engine.make_room)
        self.changed.emit()

    async def open(self) -> None:
        """Read what is kept of choices made before. Raises HistoryError."""
        self.only_admins_choose = bool(await self._preferences.get(ADMINS_CHOOSE, False))

    def start(self) -> None:
        """Load the model this installation starts with, in the background."""
        self._run(self._load_first)

    def choose(self, model: ModelFile) -> None:
        """Load another model; the one in use goes on until that worked. Raises ChoiceRefusedError."""
        self._require_choice()
        if model.refusal:
            self._fail(model.refusal)
        else:
            self._run(partial(self._load, model))

    def download(self) -> None:
        """Fetch the configured model, then load it; a partial file is continued. Raises ChoiceRefusedError."""
        self._require_choice()
        self._run(self._fetch)

    def cancel_download(self) -> None:
        """Raises ChoiceRefusedError."""
        self._require_choice()
        self._cancel_download()

    def _require_choice(self) -> None:
        if not self.may_choose:
            raise ChoiceRefusedError("Only administrators choose the model here.")

    def _cancel_download(self) -> None:
        if self._running_download is not None:
            self._running_download.cancel()

    async def ready(self) -> None:
        """Wait until a model can answer. Raises NoModelError with the reason when none is on its way."""
        while self._engine.model is None:
            if self._task is None or self._task.done():
                raise NoModelError(f"No model is loaded. {self.status.error or HOW_TO_ADD}")
            await asyncio.wait([self._task])

    @property
    def settling(self) -> bool:
        """Whether the first model is still on its way: none can answer yet, and one will."""
        return self._engine.model is None and self._task is not None and not self._task.done()

    async def prepare(self, name: str) -> ModelFile:
        """An installed model by its file name, that a request may name without changing the model in use.

        The engine loads it when the request is submitted. Raises UnknownModelError, and ModelLoadError for one that
        does not fit beside those in use or cannot be loaded.
        """
        model = self._catalog.find(name)
        if model is None:
            await self.refresh()
            model = self._catalog.find(name)
        if model is None:
            raise UnknownModelError(f"No installed model is called {displayable(name)[:200]}.")
        if not model.is_loadable:
            raise ModelLoadError(model.refusal)
        await self._loader.prepare(model)
        return model

    async def close(self) -> None:
        """Give up what is under way. A load ends when the engine closes, so close that first."""
        self._number += 1
        self._cancel_download()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        """One thing at a time: a later choice replaces those that have not begun."""
        self._number += 1
        self._cancel_download()
        self._task = asyncio.create_task(self._follow(self._task, work, self._number))

    async def _follow(
        self, previous: asyncio.Task[None] | None, work: Callable[[], Awaitable[None]], number: int
    ) -> None:
        if previous is not None:
            await asyncio.gather(previous, return_exceptions=True)
        if number != self._number:
            return
        self._error = None
        try:
            await work()
        except Exception:
            logger.exception("the model could not be brought into use")
            self._fail("Something went wrong inside the program. The log says what; please try again.")

    async def _load_first(self) -> None:
        await self._catalog.refresh()
        if self._configured:
            model = self._catalog.find(self._configured, outside=True)
            if model is None:
                self._fail(f"MODEL={self._configured} was not found. Choose another model in the header.")
            else:
                await self._load(model)
            return
        failures = []
        for model in await self._candidates():
            await self._load(model)
            if self._model is not None:
                break
            failures.append(self._error)
        if self._model is None:
            failures += [model.error for model in self._catalog.models if model.error]
        if failures:
            self._fail(failures[0] or "")
        elif self._model is None:
            await self._fetch()

    async def _candidates(self) -> list[ModelFile]:
        """The model used last, then the user's own files, then the starter."""
        last_used = self._catalog.find(str(await self._preferences.get(LAST_USED, "") or "-"))
        usable = [model for model in self._catalog.models if model.refusal is None]
        return sorted(usable, key=lambda model: (model != last_used, model.is_starter))

    async def _load(self, model: ModelFile) -> None:
        if model.refusal:
            self._fail(model.refusal)
            return
        try:
            await self._loader.load(model, lambda share: self._show(Phase.LOADING, target=model, share=share))
        except ModelLoadError as error:
            self._fail(str(error))
            return
        self._model = model
        self._settle()
        try:
            await self._preferences.set(LAST_USED, str(model.path))
        except HistoryError as error:
            logger.warning("the model used last could not be remembered: %s", error)

    async def _fetch(self) -> None:
        download = self._new_download()
        run = self._running_download = asyncio.create_task(download.run())
        try:
            while not run.done():
                self._show(Phase.DOWNLOADING, download=download.progress)
                await asyncio.wait([run], timeout=PROGRESS_SECONDS)
            path = run.result()
        except DownloadError as error:
            self._fail(str(error))
            return
        except asyncio.CancelledError:
            if not run.cancelled():
                raise
            self._settle()
            return
        finally:
            self._running_download = None
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
        await self._catalog.refresh()
        model = self._catalog.find(str(path))
        assert model is not None
        await self._load(model)

    def _fail(self, error: str) -> None:
        """Say what went wrong; whatever is under way beside it goes on."""
        self._error = error
        if self.status.phase is Phase.LOADING and self._task is not asyncio.current_task():
            self._show(Phase.LOADING, target=self.status.target, share=self.status.share)
        else:
            self._settle()
        self.failed.emit(error)

    def _settle(self) -> None:
        phase = Phase.READY if self._model is not None else Phase.FAILED if self._error else Phase.NONE
        self._show(phase)

    def _show(self, phase: Phase, **changes: Any) -> None:
        self.status = ModelStatus(phase, model=self._model, error=self._error, **changes)
        self.changed.emit()
