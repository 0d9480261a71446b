"""Where models are said to be, on a real folder; only loading is played."""

from __future__ import annotations

import pytest

from localchat_ui.engine.base import EngineFigures
from localchat_ui.ui.components.model_words import place_of
from tests.inference.test_registry import House, house, model_of

__all__ = ["house"]


async def test_it_says_where_a_model_is_and_what_a_switch_costs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.put("a.gguf", "b.gguf", "c.gguf")
    manager = await house.started()
    a, b, c = manager.models
    figures = EngineFigures(models=(a.path, b.path), sizes=(2_000_000, 1_000_000))  # type: ignore[arg-type]
    monkeypatch.setattr(type(house.engine), "figures", property(lambda engine: figures))
    monkeypatch.setattr(house.engine, "leaving", lambda path: (b.path,))
    assert place_of(manager, a) == "In use, 2 MB of memory"
    assert place_of(manager, b) == "In memory, 1 MB"
    assert place_of(manager, c) == "Cached · b leaves memory"
    manager.placement.cached = frozenset()
    await manager._times.note("c", 6, 4.2, cached=False)
    assert place_of(manager, c) == "On disk · loads in about 4 s · b leaves memory"

    monkeypatch.setattr(type(house.engine), "figures", property(lambda engine: EngineFigures()))
    assert place_of(manager, a) == "In use, loads with the next message"
    (house.folder / "a.gguf").unlink()
    await manager.refresh()
    assert manager.current is not None
    assert place_of(manager, manager.current) == "In use, but its file is gone"
    assert [model.id for model in manager.models] == ["b", "c"]
    assert place_of(manager, model_of(manager, "b.gguf")).startswith("Cached")
