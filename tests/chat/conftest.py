"""A house whose model is loaded, and one without a model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localchat_ui.chat import ChatService
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.history.store import HistoryStore

from .house import MODEL, House, SlowLoader


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house whose model is loaded and answers quickly."""
    engine = ScriptedEngine()
    engine.load(MODEL.path, lambda share: None)
    async with House(tmp_path, engine) as house:
        yield house


@pytest.fixture
def chat(house: House) -> ChatService:
    return house.chat


@pytest.fixture
def engine(house: House) -> ScriptedEngine:
    return house.engine


@pytest.fixture
def store(house: House) -> HistoryStore:
    return house.store


@pytest.fixture
async def empty_house(tmp_path: Path) -> AsyncIterator[House]:
    """A house without a model; `models.choose(MODEL)` begins a load that waits for `engine.may_load`."""
    async with House(tmp_path, SlowLoader()) as house:
        yield house
