from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localchat_ui.library import watch as watch_module
from localchat_ui.library.watch import watch
from tests.library.test_metadata import until


@pytest.fixture
async def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[list[str]]]:
    """What was there each time the watch called."""
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(watch_module, "GATHER_MS", 50)
    seen: list[list[str]] = []
    folder = tmp_path / "models"

    async def look() -> None:
        seen.append(sorted(path.name for path in folder.rglob("*")) if folder.is_dir() else ["gone"])

    task = asyncio.create_task(watch(folder, look))
    yield seen
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_files_that_come_change_and_go_are_noticed(seen: list[list[str]], tmp_path: Path) -> None:
    models = tmp_path / "models"
    await asyncio.sleep(0.2)
    assert not seen
    models.mkdir()
    await until(lambda: seen == [[]])
    await asyncio.sleep(0.3)

    (models / "a.gguf").write_bytes(b"x")
    await until(lambda: seen[-1] == ["a.gguf"])
    (models / "more").mkdir()
    await until(lambda: "more" in seen[-1])
    (models / "a.gguf").rename(models / "more" / "b.gguf")
    await until(lambda: seen[-1] == ["b.gguf", "more"])
    shutil.rmtree(models)
    await until(lambda: seen[-1] == ["gone"])
    (models / "more").mkdir(parents=True)
    await until(lambda: seen[-1] == ["more"])


async def test_a_download_that_grows_disturbs_nobody(seen: list[list[str]], tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    await until(lambda: bool(seen))
    await asyncio.sleep(0.3)
    n_seen = len(seen)
    with (tmp_path / "models" / "a.gguf.0123456789ab.part").open("wb", buffering=0) as file:
        for _ in range(10):
            file.write(b"x")
            await asyncio.sleep(0.05)
    assert len(seen) == n_seen
