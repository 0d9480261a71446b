"""Every model there is, and which one is in use: chosen at start, swapped from the page, downloaded on a first run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nicegui import Event

from localchat_ui.engine.base import ModelLoadError, NoModelError
from localchat_ui.engine.thinking_support import NO_SUPPORT, ThinkingSupport
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.preferences import Preferences
from localchat_ui.inference.local import PROGRESS_SECONDS, LocalBackend
from localchat_ui.inference.model_ref import ModelRef, refs_of
from localchat_ui.inference.model_status import ChoiceRefusedError, ModelStatus, Phase, UnknownModelError
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.download import Download
from localchat_ui.library.errors import DownloadError
from localchat_ui.library.forecast import Forecast, Forecaster
from localchat_ui.library.model_file import ModelFile, displayable

if TYPE_CHECKING:
    from localchat_ui.inference.remote import RemoteServer

logger = logging.getLogger(__name__)

START_SECONDS = 2.0
LAST_USED = "model.last_used"
ADMINS_CHOOSE = "model.only_admins_choose"
HOW_TO_ADD = "Put a GGUF file into the models folder and choose it in the header, or download one."


class ModelRegistry:
    """The models of this machine and of the servers that are set up, of which one is in use.

    Brings models into memory, one at a time. Events fire on the event loop: `changed` whenever `status` or `models`
    did, `failed` with the reason each time something failed.
    """

    def __init__(
        self,
        local: LocalBackend,
        catalog: Catalog,
        preferences: Preferences,
        *,
        remotes: Sequence[RemoteServer] = (),
        configured: str = "",
        download_name: str,
        new_download: Callable[[], Download],
        forecaster: Forecaster | None = None,
        is_admin: Callable[[], bool] = lambda: True,
    ) -> None:
        """`is_admin` tells of whoever asks. Without a `forecaster` nothing is said of memory and speed."""
        self._forecaster = forecaster
        self._local = local
        self._catalog = catalog
        self._preferences = preferences
        self._remotes = remotes
        self._configured = configured
        self._new_download = new_download
        self._is_admin = is_admin
        self.only_admins_choose = False
        self.download_name = download_name
        self._task: asyncio.Task[None] | None = None
        self._running_download: asyncio.Task[Path] | None = None
        self._model: ModelRef | None = None
        self._removed: Path | None = None
        self._error: str | None = None
        self._number = 0
        self._refs: dict[ModelFile, ModelRef] = {}
        self.status = ModelStatus(Phase.STARTING)
        self.changed: Event[[]] = Event()
        self.failed: Event[[str]] = Event()
        for remote in remotes:
            remote.on_change = self.changed.emit

    @property
    def models(self) -> list[ModelRef]:
        """The files found by the last refresh, then what the servers said last that they have."""
        files = self._catalog.models
        if list(self._refs) != files:
            self._refs = refs_of(files, self._catalog.models_dir.absolute())
        return [*self._refs.values(), *(model for remote in self._remotes for model in remote.models)]

    @property
    def current(self) -> ModelRef | None:
        """The model that answers whoever names none."""
        if self._model is not None and not self._model.is_local:
            return next((model for model in self.models if model.is_same(self._model)), self._model)
        loaded = self._local.engine.model
        if loaded is None or loaded.path == self._removed:
            return None
        if self._model is not None and self._model.path == loaded.path:
            return self._model
        found = next((model for model in self.models if model.path == loaded.path), None)
        return found or ModelRef.of_path(loaded.path)

    @property
    def context_length(self) -> int:
        """Tokens one conversation may have with the model in use; 0 without one, or where it is not known."""
        model, loaded = self.current, self._local.engine.model
        if model is None or loaded is None or not model.is_local:
            return model.context_length if model else 0
        return loaded.n_ctx

    @property
    def thinking(self) -> ThinkingSupport:
        """What can be chosen of the thinking of the model in use; nothing where that is not known."""
        model, loaded = self.current, self._local.engine.model
        return loaded.thinking if loaded is not None and model is not None and model.is_local else NO_SUPPORT

    async def refresh(self) -> None:
        """Look for new and vanished files."""
        before = self._catalog.models
        for remote in self._remotes:
            remote.refresh_soon()
        if await self._catalog.refresh() != before:
            self.changed.emit()

    @property
    def in_memory(self) -> tuple[Path, ...]:
        """The files whose models are loaded, in use or kept warm."""
        return self._local.engine.figures.models

    def forecast(self, model: ModelRef) -> Forecast:
        """Whether a file of this machine will run here, and how fast; what is loaded has its memory."""
        if self._forecaster is None or model.file is None or not model.file.is_loadable:
            return Forecast()
        return self._forecaster.of_file(model.file, is_loaded=model.path in self.in_memory)

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
        await self._local.free_memory()
        self.changed.emit()

    async def open(self) -> None:
        """Read what is kept of choices made before. Raises HistoryError."""
        self.only_admins_choose = bool(await self._preferences.get(ADMINS_CHOOSE, False))

    def start(self) -> None:
        """Load the model this installation starts with, in the background."""
        for remote in self._remotes:
            remote.refresh_soon()
        self._run(self._load_first)

    def choose(self, model: ModelRef) -> None:
        """Use another model; the one in use goes on until it is loaded. Raises ChoiceRefusedError."""
        self._require_choice()
        if model.refusal:
            self._fail(model.refusal)
        else:
            self._run(partial(self._use, model))

    def download(self) -> None:
        """Fetch the configured model, then load it; a partial file is continued. Raises ChoiceRefusedError."""
        self._require_choice()
        self._run(self._fetch)

    def cancel_download(self) -> None:
        """Raises ChoiceRefusedError."""
        self._require_choice()
        self._cancel_download()

    async def forget(self, model: ModelRef) -> None:
        """Its file is gone: if it was in use, another one that is here takes its place."""
        if self._model is not None and self._model.is_same(model):
            self._model, self._removed = None, model.path
            candidates = await self._candidates()
            self._settle()
            if candidates:
                self._run(partial(self._use, candidates[0]))
        self.changed.emit()

    async def use_first(self, path: Path) -> None:
        """Use a file that has just come, if there is no other model that answers or is on its way."""
        file = self._catalog.find(path)
        if file is not None and file.refusal is None and self.current is None and not self.settling:
            self._run(partial(self._use, self._ref_of(file)))

    def _require_choice(self) -> None:
        if not self.may_choose:
            raise ChoiceRefusedError("Only administrators choose the model here.")

    def _cancel_download(self) -> None:
        if self._running_download is not None:
            self._running_download.cancel()

    async def ready(self) -> ModelRef:
        """The model in use, as soon as there is one. Raises NoModelError with the reason when none is on its way."""
        while (model := self.current) is None:
            if self._task is None or self._task.done():
                raise NoModelError(f"No model is loaded. {self.status.error or HOW_TO_ADD}")
            await asyncio.wait([self._task])
        return model

    @property
    def is_busy(self) -> bool:
        """Whether something is loaded or computed at this moment."""
        figures = self._local.engine.figures
        return bool(figures.running or figures.waiting) or (self._task is not None and not self._task.done())

    @property
    def settling(self) -> bool:
        """Whether the first model is still on its way: none can answer yet, and one will."""
        return self.current is None and self._task is not None and not self._task.done()

    def find(self, name: str) -> ModelRef | None:
        """A model that is known at this moment, by its id, or by the path, file name or stem of its file."""
        models = self.models
        if found := next((model for model in models if model.id == name), None):
            return found
        file = self._catalog.find(name)
        return next((model for model in models if model.file is not None and model.file == file), None)

    async def prepare(self, name: str) -> ModelRef:
        """A model that a request names, without changing the model in use.

        A file is loaded when the request is submitted. Raises UnknownModelError, ModelLoadError for one that does not
        fit beside those in use, or cannot answer, and NoModelError for one whose server is down.
        """
        model = self.find(name)
        if model is None:
            await self.refresh()
            model = self.find(name)
        if model is None:
            raise UnknownModelError(f"No installed model is called {displayable(name)[:200]}.")
        if not model.can_answer:
            raise ModelLoadError(model.refusal) if model.is_local else NoModelError(model.refusal)
        if model.file is not None:
            await self._local.prepare(model.file)
        return model

    async def close(self) -> None:
        """Give up what is under way. A load ends when the engine closes, so close that first."""
        self._number += 1
        self._cancel_download()
        for remote in self._remotes:
            await remote.close()
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
            self._fail("Something went wrong. The log has the details; please try again.")

    async def _load_first(self) -> None:
        await self._catalog.refresh()
        if self._configured:
            await self._use_configured()
            return
        failures = []
        candidates = await self._candidates()
        for model in candidates:
            # What stands in for a server that is down is not what was chosen.
            await self._use(model, remember=model is candidates[0] or candidates[0].is_local)
            if self._model is not None:
                break
            failures.append(self._error)
        if self._model is None:
            failures += [model.error for model in self._catalog.models if model.error]
        if failures:
            self._fail(failures[0] or "")
        elif self._model is None:
            await self._fetch()

    async def _use_configured(self) -> None:
        file = self._catalog.find(self._configured, outside=True)
        model = self._ref_of(file) if file else await self._remote(self._configured)
        if model is None:
            self._fail(f"MODEL={self._configured} was not found. Choose another model in the header.")
        else:
            await self._use(model)

    async def _candidates(self) -> list[ModelRef]:
        """The model used last, then the user's own files, the starter, and the smallest of other programs."""
        last_used = str(await self._preferences.get(LAST_USED, "") or "-")
        usable = [self._ref_of(file) for file in self._catalog.models if file.refusal is None]
        file = self._catalog.find(last_used)
        first = self._ref_of(file) if file else await self._remote(last_used)
        others = sorted((model for model in usable if model != first), key=_belongs_to_others)
        return [first, *others] if first and (first in usable or not first.is_local) else others

    async def _remote(self, name: str) -> ModelRef | None:
        """A model of a server that is set up; asks that server what it has."""
        for remote in self._remotes:
            if name.startswith(f"{remote.name}/"):
                # A server that is slow to say what it has must not hold up the files.
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(remote.refresh(), START_SECONDS)
                models = remote.models
                return next((model for model in models if model.id == name or model.error), None)
        return None

    def _ref_of(self, file: ModelFile) -> ModelRef:
        return next((model for model in self.models if model.file == file), None) or ModelRef.of_file(file)

    async def _use(self, model: ModelRef, *, remember: bool = True) -> None:
        if model.refusal:
            self._fail(model.refusal)
            return
        if model.file is not None:
            try:
                await self._local.load(model.file, lambda share: self._show(Phase.LOADING, target=model, share=share))
            except ModelLoadError as error:
                self._fail(str(error))
                return
        self._model, self._removed = model, None
        self._settle()
        if not remember:
            return
        try:
            await self._preferences.set(LAST_USED, str(model.path or model.id))
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
        file = self._catalog.find(str(path))
        assert file is not None
        await self._use(self._ref_of(file))

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


def _belongs_to_others(model: ModelRef) -> tuple[bool, bool, int]:
    """A key that sorts what nobody put here for us behind what somebody did."""
    is_foreign = bool(model.file and model.file.origin)
    return is_foreign, model.is_starter, model.file.size_bytes if model.file and is_foreign else 0
