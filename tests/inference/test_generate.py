"""The one way to tokens: submitted on entering, cancelled on leaving, counted for whoever asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localchat_ui.access import Visitor
from localchat_ui.conversation import RequestOptions, Role
from localchat_ui.engine.base import EngineFigures, Event, GenerationDone, GenerationRequest, Token, Turn
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.inference import Inference, ModelRef, QueueFullError
from localchat_ui.inference.local import LocalBackend
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.model_file import ModelFile
from tests.chat.house import SlowTaker, until

MODEL = ModelRef.of_path(Path("tiny.gguf"))


class House:
    def __init__(self, folder: Path, engine: ScriptedEngine) -> None:
        engine.load(Path("tiny.gguf"), lambda share: None)
        self.engine = engine
        self.spent: list[tuple[Visitor | None, int]] = []
        self.local = LocalBackend(engine, Catalog(folder, folder / "models.json"))
        self.speeds: list[tuple[str, float]] = []
        self.inference = Inference(
            self.local,
            record_usage=lambda visitor, n: self.spent.append((visitor, n)),
            learn_speed=lambda file, stats: self.speeds.append((file.name, stats.tokens_per_second)),
        )


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path, ScriptedEngine())
    yield house
    await house.local.close()


def request() -> GenerationRequest:
    return GenerationRequest([Turn(Role.USER, "Hi")])


async def test_events_come_in_batches_that_end_with_the_reply(house: House) -> None:
    house.engine.seconds_per_token = 0.002
    house.engine.enqueue(*["word "] * 200)
    async with house.inference.generate(MODEL, request()) as stream:
        batches = [events async for events in stream]
        assert stream.tokens_per_second(200) > 0
    events = [event for batch in batches for event in batch]
    assert "".join(event.text for event in events if isinstance(event, Token)) == "word " * 200
    assert isinstance(events[-1], GenerationDone)
    assert 3 < len(batches) < 60
    assert house.engine.requests[0].model == MODEL.path
    assert house.spent == [(None, 201)], "one for the prompt"


async def test_leaving_the_block_cancels(house: House) -> None:
    house.engine.seconds_per_token = 0.01
    house.engine.enqueue(*["word "] * 500)
    async with house.inference.generate(MODEL, request()) as stream:
        async for _ in stream:
            break
    await until(lambda: bool(house.spent))
    assert house.spent[0][1] < 100, "what was computed for nobody is counted all the same"


async def test_whoever_gives_up_while_it_is_submitted_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = SlowTaker()
    house = House(tmp_path, engine)
    engine.enqueue(*["word "] * 500)
    entering = asyncio.create_task(house.inference.generate(MODEL, request()).__aenter__())
    await asyncio.to_thread(engine.taking.wait, 10)
    entering.cancel()
    await asyncio.gather(entering, return_exceptions=True)
    engine.may_take.set()
    await until(lambda: bool(house.spent))
    assert engine.written < 50
    await house.local.close()


async def test_a_stream_may_be_stopped_and_changed(house: House) -> None:
    house.engine.seconds_per_token = 0.005
    house.engine.enqueue(*["word "] * 500)
    last: Event | None = None
    async with house.inference.generate(MODEL, request()) as stream:
        async for events in stream:
            stream.change(RequestOptions(temperature=2))
            stream.cancel()
            last = events[-1]
    assert isinstance(last, GenerationDone)
    assert last.stats.finish_reason == "cancelled"
    assert house.engine.changes[0][1].temperature == 2


async def test_a_reply_that_is_alone_teaches_how_fast_its_file_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ModelFile(Path("tiny.gguf"), "tiny", None, "", 1, 0, None, False)
    for model, figures in (
        (MODEL, EngineFigures()),
        (ModelRef.of_file(file), EngineFigures(running=1)),
        (ModelRef.of_file(file), EngineFigures(waiting=1)),
        (ModelRef.of_file(file), EngineFigures()),
    ):
        monkeypatch.setattr(ScriptedEngine, "figures", figures)
        assert not house.speeds
        house.engine.enqueue(*["word "] * 20)
        async with house.inference.generate(model, request()) as stream:
            async for _ in stream:
                pass
    [(name, speed)] = house.speeds
    assert name == "tiny"
    assert speed > 0


async def test_a_full_queue_admits_nobody(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.inference.admit()
    monkeypatch.setattr(ScriptedEngine, "figures", EngineFigures(waiting=256))
    with pytest.raises(QueueFullError, match="Try again soon"):
        house.inference.admit()


async def test_requests_have_threads_of_their_own(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else holds asyncio's threads up, such as hashing passwords, holds up no reply."""
    names: list[str] = []
    submit = house.engine.submit
    monkeypatch.setattr(
        house.engine, "submit", lambda *given: (names.append(threading.current_thread().name), submit(*given))
    )
    async with house.inference.generate(MODEL, request()) as stream:
        async for _ in stream:
            pass
    assert names[0].startswith("request")
