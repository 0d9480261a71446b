"""Every model there is, and which one is in use: chosen at start, swapped from the page, downloaded on a first run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nicegui import Event

from localchat_ui.engine.base import EngineError, ModelLoadError, NoModelError
from localchat_ui.engine.load_changes import NO_CHANGES, LoadChanges
from localchat_ui.engine.thinking_support import NO_SUPPORT, ThinkingSupport
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.preferences import Preferences
from localchat_ui.inference.first_download import FirstDownload
from localchat_ui.inference.load_times import LoadTimes
from localchat_ui.inference.local import LocalBackend
from localchat_ui.inference.model_defaults import KeptDefaults, ModelDefaults
from localchat_ui.inference.model_ref import ModelRef, refs_of
from localchat_ui.inference.model_status import ChoiceRefusedError, ModelStatus, Phase, UnknownModelError
from localchat_ui.inference.placement import Placement
from localchat_ui.inference.start_order import LAST_USED, StartOrder
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.errors import DownloadError
from localchat_ui.library.forecast import Forecast, Forecaster
from localchat_ui.library.model_file import ModelFile, displayable
from localchat_ui.text import Text

if TYPE_CHECKING:
    from localchat_ui.inference.remote import RemoteServer

logger = logging.getLogger(__name__)

ADMINS_CHOOSE = "model.only_admins_choose"
HOW_TO_ADD = Text("Put a GGUF file into the models folder and choose it in the header, or download one.")


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
        first_download: FirstDownload,
        load_defaults: LoadChanges = NO_CHANGES,
        forecaster: Forecaster | None = None,
        is_admin: Callable[[], bool] = lambda: True,
    ) -> None:
        """`is_admin` tells of whoever asks. `load_defaults` is how models are loaded of which nothing else is kept.

        Without a `forecaster` nothing is said of memory and speed.
        """
        self._forecaster = forecaster
        self._local = local
        self._catalog = catalog
        self._preferences = preferences
        self._remotes = remotes
        self._configured = configured
        self.first_download = first_download
        self.load_defaults = load_defaults
        self._is_admin = is_admin
        self.only_admins_choose = False
        self._defaults = KeptDefaults(preferences)
        self._times = LoadTimes(preferences)
        self._order = StartOrder(catalog, preferences, remotes, self._ref_of)
        self.placement = Placement(local, self._times)
        self._task: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[Path | None] | None = None
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
            refs = refs_of(files, self._catalog.models_dir.absolute())
            self._refs = {file: self._with_defaults(model) for file, model in refs.items()}
        remotes = (self._with_defaults(model) for remote in self._remotes for model in remote.models)
        return [*self._refs.values(), *remotes]

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
        if model is None or not model.is_local:
            return model.thinking if model else NO_SUPPORT
        return loaded.thinking if loaded is not None else NO_SUPPORT

    async def refresh(self) -> None:
        """Look for new and vanished files, and where those are that are here."""
        before = self._catalog.models
        for remote in self._remotes:
            remote.refresh_soon()
        files = await self._catalog.refresh()
        if await self.placement.look(files) or files != before:
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
    def may_manage(self) -> bool:
        """Whether whoever asks may set how models are loaded, and unload them."""
        return self._is_admin()

    async def set_defaults(self, model: ModelRef, defaults: ModelDefaults) -> None:
        """Keep what is set of a model. One in memory stays as it is until it is loaded again.

        Raises ChoiceRefusedError, HistoryError.
        """
        self._require_management()
        await self._keep(model, defaults)

    async def reload(self, model: ModelRef, changes: LoadChanges) -> None:
        """Use a model, loaded in this way from now on; replies being written end as they began.

        Raises ModelLoadError when it does not fit, ChoiceRefusedError. If it cannot be loaded so, all stays as it was.
        """
        self._require_management()
        if model.refusal:
            raise ModelLoadError(model.refusal)
        if model.file is not None and (reason := self._local.refusal(model.file, changes)):
            raise ModelLoadError(reason)
        self._run(partial(self._use_changed, model, changes))

    async def unload(self, model: ModelRef) -> None:
        """Let a model leave memory; the one in use comes back with the next message.

        Raises ChoiceRefusedError, EngineError while it is writing.
        """
        self._require_management()
        if model.path is not None:
            await self.free_memory(model.path)
            if model.path in self.in_memory:
                raise EngineError(Text("{model} is writing a reply. Unload it when that is done.", model=model.name))

    @property
    def may_choose(self) -> bool:
        """Whether whoever asks may change the model that answers everybody."""
        return self._is_admin() or not self.only_admins_choose

    async def let_only_admins_choose(self, only_admins: bool) -> None:
        """Keep who may change the model in use from now on. Raises HistoryError."""
        await self._preferences.set(ADMINS_CHOOSE, only_admins)
        self.only_admins_choose = only_admins
        self.changed.emit()

    async def free_memory(self, path: Path | None = None) -> None:
        """Let all models, or the one of this file, leave memory that nobody needs at this moment; the one in use comes
        back on demand."""
        await self._local.free_memory(path)
        self.changed.emit()

    async def open(self) -> None:
        """Read what is kept of choices made before. Raises HistoryError."""
        await self._defaults.open()
        await self._times.open()
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
        """Fetch the suggested model, then load it; a partial file is continued. Raises ChoiceRefusedError."""
        self._require_choice()
        self._run(self._fetch)

    def pause_download(self) -> None:
        """Raises ChoiceRefusedError."""
        self._require_choice()
        self.first_download.pause()

    async def forget(self, model: ModelRef) -> None:
        """Its file is gone: if it was in use, another one that is here takes its place."""
        if self._model is not None and self._model.is_same(model):
            self._model, self._removed = None, model.path
            candidates = await self._order.candidates()
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
            raise ChoiceRefusedError(Text("Only administrators choose the model here."))

    def _require_management(self) -> None:
        if not self.may_manage:
            raise ChoiceRefusedError(Text("Only administrators set how models are loaded here."))

    def _with_defaults(self, model: ModelRef) -> ModelRef:
        defaults = self._defaults.of(model.id)
        if model.path is not None:
            self._local.configure(model.path, defaults.load)
        return model.with_defaults(defaults)

    async def _keep(self, model: ModelRef, defaults: ModelDefaults) -> None:
        await self._defaults.set(model.id, defaults)
        self._refs = {}
        now = {known.id: known for known in self.models}
        self._model = now.get(self._model.id, self._model) if self._model else None
        target = self.status.target
        self.status = replace(self.status, model=self._model, target=now.get(target.id, target) if target else None)
        self.changed.emit()

    def _stop_following(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()

    async def ready(self) -> ModelRef:
        """The model in use, as soon as there is one. Raises NoModelError with the reason when none is on its way."""
        while (model := self.current) is None:
            if self._task is None or self._task.done():
                raise NoModelError(Text("No model is loaded. {reason}", reason=self.status.error or HOW_TO_ADD))
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
            raise UnknownModelError(Text("No installed model is called {name}.", name=displayable(name)[:200]))
        if not model.can_answer:
            raise ModelLoadError(model.refusal) if model.is_local else NoModelError(model.refusal)
        if model.file is not None:
            await self._local.prepare(model.file)
        return model

    async def close(self) -> None:
        """Give up what is under way. A load ends when the engine closes, so close that first."""
        self._number += 1
        self._stop_following()
        for remote in self._remotes:
            await remote.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        """One thing at a time: a later choice replaces those that have not begun."""
        self._number += 1
        self._stop_following()
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
        await self.placement.look(await self._catalog.refresh())
        if self._configured:
            await self._use_configured()
            return
        failures = []
        candidates = await self._order.candidates()
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
        elif self._model is None and self.first_download.is_paused:
            self._settle()
        elif self._model is None:
            await self._fetch()

    async def _use_configured(self) -> None:
        file = self._catalog.find(self._configured, outside=True)
        model = self._ref_of(file) if file else await self._order.remote(self._configured)
        if model is None:
            self._fail(Text("MODEL={name} was not found. Choose another model in the header.", name=self._configured))
        else:
            await self._use(model)

    def _ref_of(self, file: ModelFile) -> ModelRef:
        return next((model for model in self.models if model.file == file), None) or ModelRef.of_file(file)

    async def _use(self, model: ModelRef, *, remember: bool = True) -> None:
        if model.refusal:
            self._fail(model.refusal)
            return
        if model.file is not None:
            try:
                async with self.placement.timing(model):
                    await self._local.load(
                        model.file, lambda share: self._show(Phase.LOADING, target=model, share=share)
                    )
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

    async def _use_changed(self, model: ModelRef, changes: LoadChanges) -> None:
        before = model.defaults
        await self._keep(model, before.model_copy(update={"load": changes}))
        changed = self.find(model.id) or model
        await self._use(changed)
        if self._error:
            await self._keep(changed, before)

    async def _fetch(self) -> None:
        download = self.first_download
        run = self._fetching = asyncio.create_task(
            download.run(lambda progress: self._show(Phase.DOWNLOADING, download=progress))
        )
        try:
            await asyncio.wait([run])
            path = run.result()
        except DownloadError as error:
            self._fail(str(error))
            return
        except asyncio.CancelledError:
            if not run.cancelled():
                raise
            path = None
        finally:
            self._fetching = None
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
        if path is None:
            self._settle()
            return
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
