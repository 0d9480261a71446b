"""Which model is in use, on a real folder of files and a real database; only loading and downloading are played."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from localchat_ui.engine.base import EngineFigures, LoadedModel, ModelLoadError, NoModelError
from localchat_ui.engine.load_changes import LoadChanges
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.history.database import Database
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.preferences import Preferences
from localchat_ui.inference import ModelRef, ModelRegistry, ModelStatus, Phase, UnknownModelError
from localchat_ui.inference import first_download as first_download_module
from localchat_ui.inference import local as local_module
from localchat_ui.inference.first_download import FirstDownload
from localchat_ui.inference.local import LocalBackend
from localchat_ui.inference.remote import RemoteServer
from localchat_ui.inference.start_order import LAST_USED
from localchat_ui.library import fit, scan
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.download import Progress
from localchat_ui.library.errors import DownloadError
from localchat_ui.library.fit import MemoryCheck
from localchat_ui.library.metadata import Metadata
from localchat_ui.library.queue import DownloadQueue, Job, JobFile, State
from localchat_ui.settings import EngineSettings
from tests.inference.stub import Stub
from tests.library.test_metadata import Child

# The probe of these tests crashes on a file of this name.
UNREADABLE = "quit.gguf"


class PlayedEngine(ScriptedEngine):
    """Loads any file, unless it is told not to or to wait with that file."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.broken: dict[str, Exception | str] = {}
        self.waiting: dict[str, threading.Event] = {}
        self.unused_bytes = 0
        self.rooms_made = 0
        self.configured: list[tuple[Path, LoadChanges]] = []

    def hold(self, name: str) -> threading.Event:
        """Let the next load of this file wait for the event."""
        self.waiting[name] = threading.Event()
        return self.waiting[name]

    def load(self, path: Path, on_progress: Callable[[float], None]) -> LoadedModel:
        self.loads.append(path.name)
        on_progress(0.5)
        if path.name in self.waiting:
            assert self.waiting[path.name].wait(10)
        reason = self.broken.get(path.name)
        if isinstance(reason, Exception):
            raise reason
        self.load_error = reason
        return super().load(path, on_progress)

    @property
    def figures(self) -> EngineFigures:
        return EngineFigures(unused_bytes=self.unused_bytes)

    def configure(self, path: Path, changes: LoadChanges) -> None:
        self.configured.append((path, changes))

    def make_room(self, path: Path | None = None) -> None:
        self.rooms_made += 1

    @property
    def loaded(self) -> str | None:
        return self.model.path.name if self.model else None


class PlayedDownload:
    """Writes its file when it is let go on; an object is good for one run, as the real one is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: str | None = None
        self.progress = Progress()
        self.is_running = False
        self.is_cancelled = False
        self._go_on = asyncio.Event()

    async def run(self) -> Path:
        self.progress = Progress("downloading", 120, 400, 10.0)
        self.is_running = True
        try:
            await asyncio.wait_for(self._go_on.wait(), 10)
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise
        if self.error:
            raise DownloadError(self.error)
        return put(self.path)

    def finish(self, error: str | None = None) -> None:
        self.error = error
        self._go_on.set()


class House:
    """A models folder, an engine and a database, and managers that start on them like the program does."""

    def __init__(self, folder: Path, preferences: Preferences) -> None:
        self.folder = folder / "models"
        self.folder.mkdir()
        self.preferences = preferences
        self.engine = PlayedEngine()
        self.downloads: list[PlayedDownload] = []
        self.queue: DownloadQueue | None = None
        self.closing = AsyncExitStack()
        self.memory: MemoryCheck | None = None
        self.remotes: list[RemoteServer] = []
        self._cache = folder / "data" / "models.json"
        self._probe = Child(folder).command

    def put(self, *names: str) -> None:
        for name in names:
            put(self.folder / name)

    def manager(self, configured: str = "") -> ModelRegistry:
        """A manager that has not started yet."""
        catalog = Catalog(self.folder, self._cache, probe=self._probe)
        self.queue = DownloadQueue(self.folder, self._cache.with_name("downloads.json"), self._new_download)
        self.closing.push_async_callback(self.queue.close)
        manager = ModelRegistry(
            LocalBackend(self.engine, catalog, self.memory),
            catalog,
            self.preferences,
            remotes=self.remotes,
            configured=configured,
            first_download=FirstDownload(self.queue, lambda: Job("a/b", "", (JobFile("suggested.gguf"),))),
        )
        self.closing.push_async_callback(manager.close)
        return manager

    async def started(self, configured: str = "") -> ModelRegistry:
        """A manager that has done what it does at the start."""
        manager = self.manager(configured)
        manager.start()
        await settled(manager)
        return manager

    async def started_with(self, stub: Stub) -> ModelRegistry:
        """One that has a server elsewhere, too."""
        self.remotes = [RemoteServer(EngineSettings(name="box", url=stub.url))]
        return await self.started()

    def restart(self) -> None:
        self.engine = PlayedEngine()

    def _new_download(self, *_: object) -> PlayedDownload:
        self.downloads.append(PlayedDownload(self.folder / "suggested.gguf"))
        return self.downloads[-1]


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(scan, "STARTER_PACKAGE", "no_such_package")
    monkeypatch.setattr(first_download_module, "PROGRESS_SECONDS", 0.01)
    monkeypatch.setattr(local_module, "PROGRESS_SECONDS", 0.01)
    database = await Database(f"sqlite+aiosqlite:///{tmp_path / 'chat.sqlite3'}").open()
    house = House(tmp_path, Preferences(database))
    yield house
    for event in house.engine.waiting.values():
        event.set()
    await house.closing.aclose()
    await database.close()
    # What a task left unsaid is said here, and not in the middle of something else.
    gc.collect()


# At the start


async def test_the_configured_model_comes_before_all_others(house: House) -> None:
    house.put("a.gguf", "b.gguf", "c.gguf")
    manager = await house.started()
    manager.choose(model_of(manager, "c.gguf"))
    await settled(manager)
    house.restart()
    manager = await house.started(configured="b")
    assert manager.status == ModelStatus(Phase.READY, model=model_of(manager, "b.gguf"))
    assert house.engine.loads == ["b.gguf"]


async def test_a_configured_path_may_lie_outside_the_models_folder(house: House, tmp_path: Path) -> None:
    house.put("a.gguf")
    elsewhere = put(tmp_path / "elsewhere" / "mine.gguf")
    manager = await house.started(configured=str(elsewhere))
    assert house.engine.loaded == "mine.gguf"
    assert [model.name for model in manager.models] == ["a", "mine"]


async def test_a_configured_model_that_is_missing_is_a_clear_error_and_nothing_else_is_loaded(house: House) -> None:
    house.put("a.gguf")
    manager = await house.started(configured="typo.gguf")
    assert manager.status.phase is Phase.FAILED
    assert manager.status.error == "MODEL=typo.gguf was not found. Choose another model in the header."
    assert not house.engine.loads
    with pytest.raises(NoModelError, match=r"MODEL=typo\.gguf was not found"):
        await manager.ready()
    manager.choose(model_of(manager, "a.gguf"))
    await settled(manager)
    assert manager.status == ModelStatus(Phase.READY, model=model_of(manager, "a.gguf"))


async def test_a_configured_model_that_does_not_load_says_why(house: House) -> None:
    house.put("a.gguf", "b.gguf")
    house.engine.broken["b.gguf"] = "b.gguf could not be loaded: it is not a GGUF file."
    manager = await house.started(configured="b.gguf")
    assert manager.status == ModelStatus(Phase.FAILED, error="b.gguf could not be loaded: it is not a GGUF file.")


async def test_without_a_configured_model_the_one_used_last_is_loaded(house: House) -> None:
    house.put("a.gguf", "sub/b.gguf", "c.gguf")
    manager = await house.started()
    manager.choose(model_of(manager, "b.gguf"))
    await settled(manager)
    house.restart()
    await house.started()
    assert house.engine.loads == ["b.gguf"]


async def test_when_the_one_used_last_is_gone_the_first_of_the_folder_is_loaded(house: House) -> None:
    house.put("a.gguf", "b.gguf", "z.gguf")
    manager = await house.started()
    manager.choose(model_of(manager, "z.gguf"))
    await settled(manager)
    (house.folder / "z.gguf").unlink()
    house.restart()
    await house.started()
    assert house.engine.loads == ["a.gguf"]


async def test_the_users_own_files_come_before_the_starter(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_starter(tmp_path, monkeypatch)
    manager = await house.started()
    assert house.engine.loads == ["starter.gguf"]
    assert manager.status.model is not None
    assert manager.status.model.is_starter
    assert not house.downloads

    await house.preferences.set(LAST_USED, None)
    house.put("zzz.gguf")
    house.restart()
    await house.started()
    assert house.engine.loads == ["zzz.gguf"]


async def test_a_starter_that_was_used_last_is_loaded_again(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_starter(tmp_path, monkeypatch)
    await house.started()
    house.put("a.gguf")
    house.restart()
    await house.started()
    assert house.engine.loads == ["starter.gguf"]


async def test_a_model_that_does_not_load_is_passed_over_for_the_next(house: House) -> None:
    house.put("a.gguf", "b.gguf", "c.gguf")
    house.engine.broken["a.gguf"] = "a.gguf could not be loaded: out of memory."
    manager = await house.started()
    assert house.engine.loads == ["a.gguf", "b.gguf"]
    assert manager.status == ModelStatus(
        Phase.READY, model=model_of(manager, "b.gguf"), error="a.gguf could not be loaded: out of memory."
    )


async def test_a_configured_file_whose_metadata_could_not_be_read_is_not_loaded_either(house: House) -> None:
    house.put(UNREADABLE, "z.gguf")
    manager = await house.started(configured=UNREADABLE)
    assert manager.status == ModelStatus(Phase.FAILED, error=model_of(manager, UNREADABLE).error)
    assert not house.engine.loads


async def test_when_no_model_loads_the_reason_is_told_and_nothing_is_downloaded(house: House) -> None:
    house.put("a.gguf")
    house.engine.broken["a.gguf"] = "a.gguf could not be loaded: out of memory."
    manager = await house.started()
    assert manager.status == ModelStatus(Phase.FAILED, error="a.gguf could not be loaded: out of memory.")
    assert not house.downloads


async def test_a_file_whose_metadata_could_not_be_read_is_never_loaded(house: House) -> None:
    house.put(UNREADABLE, "z.gguf")
    manager = await house.started()
    assert house.engine.loads == ["z.gguf"]
    assert model_of(manager, UNREADABLE).error


async def test_when_nothing_but_a_broken_file_is_there_it_says_so(house: House) -> None:
    house.put(UNREADABLE)
    manager = await house.started()
    assert manager.status == ModelStatus(Phase.FAILED, error=model_of(manager, UNREADABLE).error)
    assert not house.downloads


async def test_what_cannot_chat_is_never_chosen_at_the_start(house: House) -> None:
    house.put("adapter.gguf", "embedding.gguf", "projector.gguf", "vocabulary.gguf", "z.gguf")
    await house.preferences.set(LAST_USED, str(house.folder / "embedding.gguf"))
    await house.started()
    assert house.engine.loads == ["z.gguf"]


async def test_where_nothing_can_chat_a_model_is_downloaded(house: House) -> None:
    house.put("embedding.gguf")
    house.manager().start()
    (await next_download(house, 1)).finish()


@pytest.mark.parametrize("name", ["embedding", "adapter", "projector", "vocabulary"])
async def test_what_cannot_chat_is_not_chosen_by_its_name_either(house: House, name: str) -> None:
    house.put(f"{name}.gguf", "z.gguf")
    manager = await house.started(configured=f"{name}.gguf")
    reason = model_of(manager, f"{name}.gguf").refusal
    assert manager.status == ModelStatus(Phase.FAILED, error=reason)
    manager.choose(model_of(manager, "z.gguf"))
    await settled(manager)
    manager.choose(model_of(manager, f"{name}.gguf"))
    assert (manager.status.phase, manager.status.error) == (Phase.READY, reason)
    assert house.engine.loads == ["z.gguf"]


async def test_a_request_may_name_an_embedding_model_but_no_part_of_a_model(house: House) -> None:
    house.put("embedding.gguf", "projector.gguf", "z.gguf")
    manager = await house.started()
    assert (await manager.prepare("embedding")).path.name == "embedding.gguf"
    with pytest.raises(ModelLoadError, match=r"projector\.gguf is a projector of another model"):
        await manager.prepare("projector")


async def test_a_first_run_downloads_the_suggested_model_and_loads_it(house: House) -> None:
    manager = house.manager()
    seen = record(manager)
    manager.start()
    download = await next_download(house, 1)
    await until(lambda: manager.status.download == Progress("downloading", 120, 400, 10.0))
    assert manager.status.phase is Phase.DOWNLOADING
    download.finish()
    await settled(manager)
    assert manager.status.phase is Phase.READY
    assert house.engine.loaded == "suggested.gguf"
    phases = list(dict.fromkeys(status.phase for status in seen))
    assert phases == [Phase.DOWNLOADING, Phase.LOADING, Phase.READY]

    house.restart()
    await house.started()
    assert (house.engine.loaded, len(house.downloads)) == ("suggested.gguf", 1)


# Choosing


async def test_a_model_on_its_way_is_shown_with_how_far_it_is(house: House) -> None:
    house.put("a.gguf", "b.gguf")
    manager = await house.started()
    first, second = manager.models
    go_on = house.engine.hold("b.gguf")
    manager.choose(second)
    # Half of it is the trial, of which the pretend child says that half is done.
    await until(lambda: manager.status.share == 0.25 + 0.75 / 2)
    assert manager.status == ModelStatus(Phase.LOADING, model=first, target=second, share=0.625)
    assert house.engine.loaded == "a.gguf", "the old one answers meanwhile"
    go_on.set()
    await settled(manager)
    assert manager.status == ModelStatus(Phase.READY, model=second)


async def test_a_load_that_fails_keeps_the_old_model_and_says_the_reason(house: House) -> None:
    house.put("a.gguf", "b.gguf")
    manager = await house.started()
    house.engine.broken["b.gguf"] = "b.gguf could not be loaded: it is corrupted or incomplete."
    manager.choose(model_of(manager, "b.gguf"))
    await settled(manager)
    assert manager.status == ModelStatus(
        Phase.READY,
        model=model_of(manager, "a.gguf"),
        error="b.gguf could not be loaded: it is corrupted or incomplete.",
    )
    await manager.ready()
    house.restart()
    await house.started()
    assert house.engine.loads == ["a.gguf"], "what did not load is not what was used last"


async def test_the_reason_goes_away_with_the_next_load_that_works(house: House) -> None:
    house.put("a.gguf", "b.gguf", "c.gguf")
    manager = await house.started()
    house.engine.broken["b.gguf"] = "b.gguf could not be loaded."
    for name in ("b.gguf", "c.gguf"):
        manager.choose(model_of(manager, name))
        await settled(manager)
    assert manager.status == ModelStatus(Phase.READY, model=model_of(manager, "c.gguf"))


async def test_a_file_that_could_not_be_read_is_refused_without_loading_it(house: House) -> None:
    house.put("a.gguf", UNREADABLE)
    manager = await house.started()
    unreadable = model_of(manager, UNREADABLE)
    manager.choose(unreadable)
    await settled(manager)
    assert manager.status == ModelStatus(Phase.READY, model=model_of(manager, "a.gguf"), error=unreadable.error)
    assert house.engine.loads == ["a.gguf"]


async def test_of_two_quick_choices_the_last_one_stays(house: House) -> None:
    house.put("a.gguf", "b.gguf", "c.gguf")
    manager = await house.started()
    slow = house.engine.hold("b.gguf")
    manager.choose(model_of(manager, "b.gguf"))
    await until(lambda: "b.gguf" in house.engine.loads)
    manager.choose(model_of(manager, "c.gguf"))
    slow.set()
    await settled(manager)
    assert house.engine.loaded == "c.gguf"
    assert manager.status == ModelStatus(Phase.READY, model=model_of(manager, "c.gguf"))
    house.restart()
    await house.started()
    assert house.engine.loads == ["c.gguf"]


async def test_of_many_quick_choices_those_in_between_are_never_loaded(house: House) -> None:
    house.put("a.gguf", "b.gguf", "c.gguf", "d.gguf")
    manager = await house.started()
    slow = house.engine.hold("b.gguf")
    manager.choose(model_of(manager, "b.gguf"))
    await until(lambda: "b.gguf" in house.engine.loads)
    manager.choose(model_of(manager, "c.gguf"))
    manager.choose(model_of(manager, "d.gguf"))
    slow.set()
    await settled(manager)
    assert house.engine.loads == ["a.gguf", "b.gguf", "d.gguf"]
    assert manager.status == ModelStatus(Phase.READY, model=model_of(manager, "d.gguf"))


async def test_a_file_refused_while_another_loads_disturbs_it_not_and_its_reason_stays(house: House) -> None:
    house.put("a.gguf", "b.gguf", UNREADABLE)
    manager = await house.started()
    slow = house.engine.hold("b.gguf")
    manager.choose(model_of(manager, "b.gguf"))
    await until(lambda: house.engine.loads[-1] == "b.gguf")
    failures: list[str] = []
    manager.failed.subscribe(failures.append)
    manager.choose(model_of(manager, UNREADABLE))
    reason = model_of(manager, UNREADABLE).error
    await asyncio.sleep(0.05)
    assert (manager.status.phase, manager.status.error) == (Phase.LOADING, reason)
    assert manager.status.target == model_of(manager, "b.gguf")
    slow.set()
    await settled(manager)
    assert house.engine.loaded == "b.gguf"
    assert failures == [reason]


async def test_a_bug_in_loading_is_told_in_plain_words_and_the_next_choice_works(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.put("a.gguf", "b.gguf")
    manager = await house.started()
    house.engine.broken["b.gguf"] = ZeroDivisionError("secret detail")
    manager.choose(model_of(manager, "b.gguf"))
    await settled(manager)
    assert manager.status.error is not None
    assert "secret detail" not in manager.status.error
    assert "secret detail" in caplog.text
    assert manager.status.model == model_of(manager, "a.gguf")
    del house.engine.broken["b.gguf"]
    manager.choose(model_of(manager, "b.gguf"))
    await settled(manager)
    assert house.engine.loaded == "b.gguf"


async def test_a_model_is_used_even_if_that_cannot_be_remembered(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise HistoryError("The disk is full.")

    house.put("a.gguf")
    monkeypatch.setattr(house.preferences, "set", fail)
    manager = await house.started()
    assert manager.status == ModelStatus(Phase.READY, model=model_of(manager, "a.gguf"))


async def test_refresh_finds_new_and_vanished_files_and_tells_only_of_changes(house: House) -> None:
    house.put("a.gguf")
    manager = await house.started()
    seen = record(manager)
    await manager.refresh()
    assert not seen
    house.put("b.gguf")
    await manager.refresh()
    assert [model.name for model in manager.models] == ["a", "b"]
    (house.folder / "a.gguf").unlink()
    await manager.refresh()
    assert [model.name for model in manager.models] == ["b"]
    assert len(seen) == 2
    assert manager.status.phase is Phase.READY, "what is loaded stays loaded"


# Downloading


async def test_a_paused_download_is_no_error_and_can_be_resumed(house: House) -> None:
    manager = house.manager()
    manager.start()
    await next_download(house, 1)
    manager.pause_download()
    await settled(manager)
    assert manager.status == ModelStatus(Phase.NONE)
    manager.download()
    (await next_download(house, 2)).finish()
    await settled(manager)
    assert house.engine.loaded == "suggested.gguf"


async def test_a_download_that_fails_says_why_and_can_be_tried_again(house: House) -> None:
    manager = house.manager()
    manager.start()
    (await next_download(house, 1)).finish(error="No connection to the hub. Check the network and start again.")
    await settled(manager)
    reason = "No connection to the hub. Check the network and start again."
    assert manager.status == ModelStatus(Phase.FAILED, error=reason)
    with pytest.raises(NoModelError, match="No connection to the hub"):
        await manager.ready()
    manager.download()
    (await next_download(house, 2)).finish()
    await settled(manager)
    assert manager.status.phase is Phase.READY
    assert manager.status.error is None


async def test_a_download_goes_on_beside_a_file_that_is_chosen(house: House) -> None:
    manager = house.manager()
    manager.start()
    await next_download(house, 1)
    house.put("mine.gguf")
    await manager.refresh()
    manager.choose(model_of(manager, "mine.gguf"))
    await settled(manager)
    assert not house.downloads[0].is_cancelled
    house.downloads[0].finish()
    await until(lambda: house.queue.jobs[0].state is State.DONE)
    assert house.engine.loads == ["mine.gguf"]
    assert manager.status == ModelStatus(Phase.READY, model=model_of(manager, "mine.gguf"))


async def test_download_pressed_twice_runs_once_at_a_time(house: House) -> None:
    manager = house.manager()
    manager.start()
    await next_download(house, 1)
    manager.download()
    download = await next_download(house, 1)
    assert not download.is_cancelled
    download.finish()
    await settled(manager)
    assert house.engine.loads == ["suggested.gguf"]


async def test_pausing_without_a_download_does_nothing(house: House) -> None:
    house.manager().pause_download()


# Ready


async def test_ready_waits_for_a_load_on_its_way(house: House) -> None:
    house.put("a.gguf")
    go_on = house.engine.hold("a.gguf")
    manager = house.manager()
    manager.start()
    waiting = asyncio.create_task(manager.ready())
    await until(lambda: bool(house.engine.loads))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    go_on.set()
    await asyncio.wait_for(waiting, 5)
    assert house.engine.loaded == "a.gguf"


async def test_ready_waits_for_a_download_and_the_load_after_it(house: House) -> None:
    manager = house.manager()
    manager.start()
    waiting = asyncio.create_task(manager.ready())
    (await next_download(house, 1)).finish()
    await asyncio.wait_for(waiting, 5)
    assert house.engine.loaded == "suggested.gguf"


async def test_ready_raises_the_reason_when_the_load_it_waits_for_fails(house: House) -> None:
    house.put("a.gguf")
    house.engine.broken["a.gguf"] = "a.gguf could not be loaded: out of memory."
    go_on = house.engine.hold("a.gguf")
    manager = house.manager()
    manager.start()
    waiting = asyncio.create_task(manager.ready())
    await until(lambda: bool(house.engine.loads))
    go_on.set()
    with pytest.raises(NoModelError, match=r"No model is loaded\. a\.gguf could not be loaded: out of memory\."):
        await asyncio.wait_for(waiting, 5)


async def test_ready_goes_on_waiting_when_another_model_is_chosen_meanwhile(house: House) -> None:
    house.put("a.gguf", "b.gguf")
    house.engine.broken["a.gguf"] = "a.gguf could not be loaded."
    go_on = house.engine.hold("a.gguf")
    manager = house.manager(configured="a.gguf")
    manager.start()
    waiting = asyncio.create_task(manager.ready())
    await until(lambda: bool(house.engine.loads))
    manager.choose(model_of(manager, "b.gguf"))
    go_on.set()
    await asyncio.wait_for(waiting, 5)
    assert house.engine.loaded == "b.gguf"


async def test_ready_does_not_wait_for_a_swap_while_a_model_can_answer(house: House) -> None:
    house.put("a.gguf", "b.gguf")
    manager = await house.started()
    house.engine.hold("b.gguf")
    manager.choose(model_of(manager, "b.gguf"))
    await until(lambda: "b.gguf" in house.engine.loads)
    await asyncio.wait_for(manager.ready(), 1)


async def test_ready_says_how_to_get_a_model_when_none_is_on_its_way(house: House) -> None:
    manager = house.manager()
    with pytest.raises(NoModelError, match="Put a GGUF file into the models folder"):
        await manager.ready()
    manager.start()
    await next_download(house, 1)
    manager.pause_download()
    with pytest.raises(NoModelError, match="Put a GGUF file into the models folder"):
        await asyncio.wait_for(manager.ready(), 5)


# The end


async def test_closing_ends_a_download(house: House) -> None:
    manager = house.manager()
    manager.start()
    download = await next_download(house, 1)
    await asyncio.wait_for(manager.close(), 5)
    assert not download.is_cancelled, "the queue's own end ends it"
    await asyncio.wait_for(house.queue.close(), 5)
    assert download.is_cancelled
    assert not house.engine.loads


async def test_closing_ends_with_the_load_that_the_engine_gives_up(house: House) -> None:
    house.put("a.gguf", "b.gguf")
    house.engine.broken["a.gguf"] = "The program is shutting down."
    given_up = house.engine.hold("a.gguf")
    manager = house.manager()
    manager.start()
    await until(lambda: bool(house.engine.loads))
    given_up.set()
    await asyncio.wait_for(manager.close(), 5)
    assert house.engine.loads == ["a.gguf"]


async def test_closing_leaves_nothing_that_is_logged_later(house: House, caplog: pytest.LogCaptureFixture) -> None:
    for begun in (False, True):
        manager = house.manager()
        manager.start()
        if begun:
            await next_download(house, 1)
        await manager.close()
    house.put("a.gguf")
    house.engine.broken["a.gguf"] = "The program is shutting down."
    given_up = house.engine.hold("a.gguf")
    manager = house.manager()
    manager.start()
    await until(lambda: bool(house.engine.loads))
    closing = asyncio.create_task(manager.close())
    await asyncio.sleep(0.05)
    given_up.set()
    await closing
    await asyncio.sleep(0.05)
    house.closing.pop_all()
    del manager, closing
    gc.collect()
    assert caplog.text == ""


# Files that could do harm


async def test_a_file_that_crashes_its_first_load_never_reaches_the_engine(house: House) -> None:
    house.put("a.gguf", "b.gguf")
    manager = await house.started()
    # Its metadata is harmless, but loading it ends whoever does.
    (house.folder / "b.gguf").rename(house.folder / "abort.gguf")
    manager._catalog._known = {file: Metadata() for file in scan.find_files(house.folder)}
    await manager.refresh()
    manager.choose(model_of(manager, "abort.gguf"))
    await settled(manager)
    assert "crashed (SIGABRT) when it was tried" in (manager.status.error or "")
    assert house.engine.loads == ["a.gguf"]
    assert manager.status.phase is Phase.READY


async def test_a_model_that_does_not_fit_is_refused_with_numbers(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.put("a.gguf")
    monkeypatch.setattr(fit, "free_memory", lambda: 10_000_000)
    house.memory = MemoryCheck(n_ctx=4096, parallel=4)
    manager = await house.started()
    assert re.search(r"a does not fit into memory: it needs about \d+ MB .*10 MB are free", manager.status.error or "")
    assert house.engine.loads == []


async def test_models_that_nobody_needs_make_room_for_one_that_would_not_fit(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.put("a.gguf", "b.gguf")
    monkeypatch.setattr(fit, "free_memory", lambda: 10_000_000)
    house.memory = MemoryCheck(n_ctx=4096, parallel=4)
    house.engine.unused_bytes = 100_000_000
    manager = await house.started()
    assert manager.status.phase is Phase.READY
    assert house.engine.rooms_made == 1


async def test_closing_twice_or_before_the_start_does_no_harm(house: House) -> None:
    manager = house.manager()
    await manager.close()
    manager.start()
    await next_download(house, 1)
    await manager.close()
    await manager.close()


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(path.name.encode())
    return path


def install_starter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that brings a model, as the extra `starter` does."""
    put(folder / "site" / "played_starter" / "starter.gguf")
    put(folder / "site" / "played_starter" / "__init__.py").write_text("raise ImportError('it is never imported')")
    monkeypatch.syspath_prepend(folder / "site")
    monkeypatch.setattr(scan, "STARTER_PACKAGE", "played_starter")


def model_of(manager: ModelRegistry, name: str) -> ModelRef:
    return next(model for model in manager.models if model.path.name == name)


def record(manager: ModelRegistry) -> list[ModelStatus]:
    seen: list[ModelStatus] = []
    manager.changed.subscribe(lambda: seen.append(manager.status))
    return seen


async def settled(manager: ModelRegistry) -> None:
    """Wait until nothing is on its way."""
    if manager._task is not None:
        await asyncio.wait_for(asyncio.shield(manager._task), 10)


async def next_download(house: House, number: int) -> PlayedDownload:
    """The download of that number, once it runs."""
    await until(lambda: len(house.downloads) == number and house.downloads[-1].is_running)
    return house.downloads[-1]


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


# Models that requests name


async def test_a_named_model_is_made_ready_and_the_one_in_use_stays(house: House) -> None:
    house.put("a.gguf")
    manager = await house.started()
    before = manager.status
    house.put("later.gguf")

    assert (await manager.prepare("later")).path.name == "later.gguf"

    assert manager.status == before
    assert house.engine.loads == ["a.gguf"], "the engine loads it when the request comes"


async def test_a_named_model_that_is_unknown_unreadable_or_too_big_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.put("a.gguf", "b.gguf", UNREADABLE)
    house.memory = MemoryCheck(4096, 4)
    manager = await house.started()
    for name in ("nowhere", "../a.gguf", "a\0", "\ud800"):
        with pytest.raises(UnknownModelError):
            await manager.prepare(name)
    with pytest.raises(ModelLoadError):
        await manager.prepare(UNREADABLE)
    monkeypatch.setattr(fit, "free_memory", lambda: 0)
    with pytest.raises(ModelLoadError, match="does not fit into memory"):
        await manager.prepare("b")
    assert manager.status.error is None


# Servers elsewhere


async def test_a_model_elsewhere_is_used_without_being_loaded_and_remembered(house: House) -> None:
    house.put("a.gguf")
    with Stub().running() as stub:
        manager = await house.started_with(stub)
        await until(lambda: len(manager.models) == 3)
        assert [model.id for model in manager.models] == ["a", "box/one", "box/two"]
        manager.choose(manager.models[1])
        await settled(manager)
        assert manager.current is not None
        assert (manager.current.id, manager.context_length, house.engine.loads) == ("box/one", 1000, ["a.gguf"])
        assert (await manager.prepare("box/two")).remote_id == "two"
        house.restart()
        again = await house.started_with(stub)
        assert again.current is not None
        assert (again.current.id, house.engine.loads) == ("box/one", [])
        again.choose(model_of(again, "a.gguf"))
        await settled(again)
        assert (again.current.id, house.engine.loaded) == ("a", "a.gguf")


async def test_a_server_that_is_down_delays_no_file_and_cannot_be_chosen(house: House) -> None:
    house.put("a.gguf")
    with Stub().running() as stub:
        pass
    manager = await house.started_with(stub)
    assert house.engine.loaded == "a.gguf"
    await until(lambda: len(manager.models) == 2)
    manager.choose(manager.models[1])
    await settled(manager)
    assert manager.status.phase is Phase.READY
    assert "box cannot be reached" in (manager.status.error or "")
    with pytest.raises(NoModelError, match="box cannot be reached"):
        await manager.prepare("box/box")


async def test_files_of_one_name_can_both_be_named(house: House) -> None:
    house.put("a.gguf")
    put(house.folder / "other" / "a.gguf")
    manager = await house.started()
    assert [model.id for model in manager.models] == ["a", "other/a"]
    assert (await manager.prepare("other/a")).path == house.folder / "other" / "a.gguf"
