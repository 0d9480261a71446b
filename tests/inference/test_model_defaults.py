"""What is kept of a model, and how it is loaded otherwise, on a real folder and database; only loading is played."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from localchat_ui.chat import ChatDefaults
from localchat_ui.conversation import ChatOptions
from localchat_ui.engine.base import EngineError, EngineFigures, ModelLoadError
from localchat_ui.engine.load_changes import LoadChanges
from localchat_ui.history.preferences import Preferences
from localchat_ui.inference import ModelDefaults, ModelLibrary, ModelRef, Phase
from localchat_ui.inference.load_times import LoadTimes
from localchat_ui.inference.model_defaults import KEY, NOTHING
from localchat_ui.library import fit
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.checksums import Checksums
from localchat_ui.library.errors import RemovalError
from localchat_ui.library.fit import MemoryCheck
from localchat_ui.library.hub import Hub
from localchat_ui.library.hub_token import HubToken
from tests.inference.test_registry import House, house, model_of, settled

__all__ = ["house"]

SET = ModelDefaults(
    name="  My \n model ",
    load=LoadChanges(n_ctx=1024, kv_type="q8_0"),
    chat={"temperature": 0.2, "system_prompt": "Hi"},
)


async def test_what_is_kept_outlives_a_restart_and_a_move_to_another_folder(house: House) -> None:
    house.put("a.gguf")
    manager = await house.started()
    await manager.set_defaults(model_of(manager, "a.gguf"), SET)
    assert manager.current is not None
    assert manager.current.name == "My model"
    assert manager.status.model == model_of(manager, "a.gguf"), "pages tell by that which one is in use"
    # What another version kept, and is not allowed now, spoils nothing.
    kept = await house.preferences.get(KEY)
    await house.preferences.set(KEY, {**kept, "b": {"chat": {"temperature": 99}}, "c": {"of": "later"}})

    (house.folder / "deep").mkdir()
    (house.folder / "a.gguf").rename(house.folder / "deep" / "a.gguf")
    house.restart()
    manager = house.manager()
    await manager.open()
    await manager.refresh()
    moved = model_of(manager, "a.gguf")
    assert moved.defaults == ModelDefaults(name="My model", load=SET.load, chat=SET.chat)
    assert (moved.name, moved.id, moved.context_length) == ("My model", "a", 1024)
    await manager.set_defaults(moved, NOTHING)
    assert (model_of(manager, "a.gguf").name, "a" in await house.preferences.get(KEY)) == ("a", False)


async def test_a_model_is_loaded_anew_as_it_is_set_and_stays_as_it_was_if_it_cannot(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.memory = MemoryCheck(4096, 4)
    house.put("a.gguf")
    manager = await house.started()
    model = model_of(manager, "a.gguf")
    house.engine.configured.clear()
    monkeypatch.setattr(house.engine, "holds", lambda path: False)

    await manager.reload(model, LoadChanges(n_ctx=2048, parallel=2))
    await settled(manager)
    changed = model_of(manager, "a.gguf")
    assert house.engine.configured[-1] == (model.path, LoadChanges(n_ctx=2048, parallel=2))
    assert (manager.status.phase, changed.defaults.load.n_ctx) == (Phase.READY, 2048)

    monkeypatch.setattr(fit, "free_memory", lambda: 1000)
    monkeypatch.setattr("localchat_ui.inference.local.free_memory", lambda: 1000)
    with pytest.raises(ModelLoadError, match=r"does not fit into memory: it needs about .* 8 × "):
        await manager.reload(changed, LoadChanges(parallel=8))
    assert not manager.placement.forecast(changed, LoadChanges(parallel=8)).fits  # type: ignore[union-attr]
    assert model_of(manager, "a.gguf") == changed

    monkeypatch.setattr(fit, "free_memory", lambda: 10**12)
    house.engine.broken["a.gguf"] = "a.gguf could not be loaded: no memory for its context."
    told: list[str] = []
    manager.failed.subscribe(told.append)
    await manager.reload(changed, LoadChanges(n_ctx=0))
    await settled(manager)
    assert told == ["a.gguf could not be loaded: no memory for its context."]
    assert (manager.status.phase, manager.status.error) == (Phase.READY, told[0])
    assert model_of(manager, "a.gguf") == changed
    assert house.engine.configured[-1] == (model.path, changed.defaults.load)


async def test_a_model_that_writes_is_neither_unloaded_nor_removed(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.put("a.gguf", "b.gguf")
    manager = await house.started()
    model = model_of(manager, "a.gguf")
    writing = EngineFigures(models=(model.path,), sizes=(100,))  # type: ignore[arg-type]
    monkeypatch.setattr(type(house.engine), "figures", property(lambda engine: writing))
    token = HubToken("", tmp_path / "hub-token")
    catalog: Catalog = manager._catalog
    checksums = Checksums(tmp_path / "checksums.json")
    assert house.queue is not None
    library = ModelLibrary(catalog, manager, house.queue, Hub(token), token, checksums=checksums)
    assert manager.placement.memory_of(model) == 100
    with pytest.raises(EngineError, match=r"a is writing a reply\. Unload it when that is done"):
        await manager.unload(model)
    with pytest.raises(RemovalError, match=r"a is writing a reply\. Remove it when that is done"):
        await library.remove(model)
    assert (house.folder / "a.gguf").exists()

    monkeypatch.setattr(type(house.engine), "figures", property(lambda engine: EngineFigures()))
    await manager.unload(model)
    assert await library.remove(model) == len("a.gguf")
    await settled(manager)
    assert manager.current is not None
    assert manager.current.id == "b"


async def test_new_chats_start_with_what_is_set_most_precisely(house: House) -> None:
    house.put("a.gguf")
    manager = await house.started()
    model = model_of(manager, "a.gguf")
    assert model.file is not None
    wants = (("temperature", 0.6), ("top_p", 0.8), ("top_k", 20))
    model = replace(model, file=replace(model.file, sampling=wants))
    # The settings name one of them, the person another.
    defaults = ChatDefaults(ChatOptions(top_p=0.5), house.preferences, lambda: model)
    assert (defaults.current.temperature, defaults.current.top_p, defaults.current.top_k) == (0.6, 0.5, 20)
    await defaults.set(defaults.current.model_copy(update={"top_k": 7}))
    assert (defaults.current.top_k, defaults.are_own) == (7, True)
    assert defaults.of_programs(model).top_k == 20
    model = model.with_defaults(ModelDefaults(chat={"top_k": 1, "system_prompt": "Be brief."}))
    assert (defaults.current.top_k, defaults.current.system_prompt) == (1, "Be brief.")
    assert defaults.of(ModelRef("other", "other")).top_k == 7


async def test_what_a_load_will_take_is_known_from_those_before(house: House) -> None:
    times = LoadTimes(house.preferences)
    assert times.expected("a", 10**9, cached=False) is None
    await times.note("a", 10**9, 4.0, cached=False)
    await times.note("b", 10**9, 1.0, cached=True)
    again = LoadTimes(Preferences(house.preferences._database))
    await again.open()
    assert again.expected("a", 10**9, cached=False) == 4.0
    assert again.expected("c", 5 * 10**9, cached=True) == pytest.approx(5.0)
    assert again.expected("a", 2 * 10**9, cached=False) == pytest.approx(8.0), "it is another file by now"


async def test_two_changes_at_a_time_lose_nothing(house: House) -> None:
    house.put("a.gguf", "b.gguf")
    manager = await house.started()
    a, b = manager.models
    await asyncio.gather(
        manager.set_defaults(a, ModelDefaults(name="One")), manager.set_defaults(b, ModelDefaults(name="Two"))
    )
    assert [model.name for model in manager.models] == ["One", "Two"]
    assert len(await house.preferences.get(KEY)) == 2
