"""When the events of a reply reach its reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from localchat_ui.conversation import GenerationStats, RequestOptions
from localchat_ui.engine.base import Emit, GenerationDone, GenerationFailed, GenerationRequest, Token
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.inference import ModelRef, TokenStream
from localchat_ui.inference.metrics import Meter, Metrics
from localchat_ui.inference.update_throttle import UpdateThrottle


class Dictated:
    """A backend that says what the test does."""

    emit: Emit
    takes_changes = False

    async def submit(self, model: ModelRef, request: GenerationRequest, emit: Emit) -> None:
        self.emit = emit

    def cancel(self, request_id: str) -> None:
        pass

    def change(self, request_id: str, sampling: RequestOptions) -> None:
        pass


@pytest.fixture
async def dictated() -> Dictated:
    return Dictated()


@pytest.fixture
def spent() -> list[int]:
    return []


@pytest.fixture
async def stream(dictated: Dictated, spent: list[int]) -> AsyncIterator[TokenStream]:
    meter = Meter(Metrics(ScriptedEngine()), lambda visitor, n_tokens: spent.append(n_tokens), None)
    async with TokenStream(dictated, ModelRef("m", "m"), GenerationRequest([]), meter) as stream:  # type: ignore[arg-type]
        yield stream


async def test_a_token_that_nothing_follows_is_shown_soon(
    dictated: Dictated, stream: TokenStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UpdateThrottle, "measure", lambda self: 0.05)
    batches = aiter(stream)
    dictated.emit(Token("first", 1))
    assert len(await anext(batches)) == 1
    dictated.emit(Token("second", 2))
    dictated.emit(Token("third", 3))
    assert [event.text for event in await asyncio.wait_for(anext(batches), 5) if isinstance(event, Token)] == [
        "second",
        "third",
    ]


async def test_the_end_waits_for_no_update(
    dictated: Dictated, stream: TokenStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UpdateThrottle, "measure", lambda self: 1e6)
    batches = aiter(stream)
    dictated.emit(Token("first", 1))
    await anext(batches)
    dictated.emit(Token("second", 2))
    dictated.emit(GenerationDone("", GenerationStats()))
    assert len(await asyncio.wait_for(anext(batches), 5)) == 2
    with pytest.raises(StopAsyncIteration):
        await anext(batches)


async def test_a_reply_that_breaks_off_elsewhere_is_paid_for(
    dictated: Dictated, stream: TokenStream, spent: list[int]
) -> None:
    dictated.emit(GenerationFailed("It broke off.", "unavailable", n_tokens=120))
    assert [events async for events in stream]
    dictated.emit(GenerationFailed("Nothing was written."))
    assert spent == [120]


def test_all_replies_are_updated_at_the_same_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UpdateThrottle, "measure", lambda self: 0.1)
    one, other = UpdateThrottle(), UpdateThrottle()
    assert one.next_update(20.03) == one.next_update(20.09) == other.next_update(20.01) == pytest.approx(20.1)
    moments = [one.next_update(5 + step / 1000) for step in range(300)]
    assert moments == sorted(moments)
    assert len(set(moments)) <= 4
