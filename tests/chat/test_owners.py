"""Several people in one program: whose a reply is while nobody looks, and how many each may have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from nicegui import Client
from nicegui.page import page
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request

from localchat_ui.access import AccessDatabase, User, Visitor, acting_as
from localchat_ui.access.quotas import Quotas
from localchat_ui.api.errors import api_error
from localchat_ui.chat import RefusedError
from localchat_ui.conversation import ChatOptions, MessageState
from localchat_ui.engine.base import EngineFigures
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.user_data import erase
from localchat_ui.inference.generate import MAX_WAITING
from localchat_ui.settings import Settings

from .house import MODEL, STORY, House, finished, shown, until

ANNA = Visitor("session", "10.0.0.1", "one", User("anna", "anna"))
HER_KEY = replace(ANNA, auth_method="key", session_id="two")
BEN = Visitor("session", "10.0.0.1", "three", User("ben", "ben"))


class BusyEngine(ScriptedEngine):
    """Says how many wait."""

    waiting = 0

    @property
    def figures(self) -> EngineFigures:
        return EngineFigures(waiting=self.waiting)


@pytest.fixture
def engine() -> BusyEngine:
    engine = BusyEngine(seconds_per_token=0.005)
    engine.load(MODEL.path, lambda share: None)
    return engine


@pytest.fixture
async def house(tmp_path: Path, engine: BusyEngine) -> AsyncIterator[House]:
    """Each person may have one reply at a time."""
    async with AccessDatabase(f"sqlite:///{tmp_path / 'chat.sqlite3'}") as database:
        quotas = Quotas(Settings(_env_file=None, generations_per_user=1), database)
        async with House(tmp_path, engine, quotas) as house:
            yield house


async def test_a_reply_whose_conversation_is_erased_with_the_account_ends_and_leaves_nothing(
    house: House, engine: BusyEngine, caplog: pytest.LogCaptureFixture
) -> None:
    with acting_as(ANNA):
        conversation = house.chat.new_conversation()
        engine.enqueue(*["word "] * 2000)
        reply = await house.chat.send(conversation, "A story.")
    assert reply
    await until(lambda: reply.message.text)
    async with AsyncSession(house.store.database._engine) as session, session.begin():
        await erase(session, "anna")
    await finished(reply)
    assert len(reply.message.text) < 5 * 2000, "it was stopped"
    assert not house.store.journal._open
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_reply_belongs_to_who_asked_to_its_end_and_so_does_what_waits_behind_it(
    house: House, engine: BusyEngine
) -> None:
    with acting_as(ANNA):
        conversation = house.chat.new_conversation()
        engine.enqueue(*STORY[:20])
        first = await house.chat.send(conversation, "A story.")
        await house.chat.send(conversation, "And then?", queue=True)
    assert first
    await finished(first)
    await until(lambda: len(engine.requests) == 2 and not house.chat.is_writing(conversation.id))
    with acting_as(ANNA):
        assert [message.state for message in await shown(house.chat, conversation)] == [MessageState.COMPLETE] * 4
    with acting_as(BEN):
        assert await shown(house.chat, conversation) == []


async def test_pages_are_told_of_a_change_as_those_who_opened_them(house: House) -> None:
    """What a page reads when somebody else's reply ends is its own, though a task for somebody else tells it."""
    owners: list[str | None] = []
    scope = {"type": "http", "path": "/", "query_string": b"", "headers": [], "state": {"visitor": BEN}}
    client = Client(page("/"), request=Request(scope))
    with client:
        house.chat.list_changed.subscribe(lambda: owners.append(house.store.database.owner))
    with acting_as(ANNA):
        reply = await house.chat.send(house.chat.new_conversation(), "My secret.")
    await finished(reply)
    assert len(owners) >= 2
    assert set(owners) == {"ben"}
    client.delete()


async def test_somebody_who_has_as_many_replies_as_allowed_is_refused_and_nothing_is_changed(
    house: House, engine: BusyEngine
) -> None:
    engine.enqueue(*STORY)
    with acting_as(ANNA):
        busy, other = house.chat.new_conversation(), house.chat.new_conversation()
        first = await house.chat.send(busy, "A story.")
    with acting_as(HER_KEY), pytest.raises(RefusedError, match="1 reply written at a time") as refused:
        await house.chat.send(other, "And this?", options=ChatOptions(top_k=9))
    answer = api_error(refused.value)
    assert (answer.status, answer.body.error.code, answer.headers) == (
        429,
        "too_many_generations",
        {"Retry-After": "5"},
    )
    assert answer.body.error.type == "rate_limit_error"
    with acting_as(ANNA):
        assert await house.chat.open(other.id) is None, "nothing was stored, its options neither"
        assert len(await house.chat.conversations()) == 1
    with acting_as(BEN):
        await finished(await house.chat.send(house.chat.new_conversation(), "And I?"))
    assert first
    house.chat.stop(busy.id)
    await finished(first)
    with acting_as(ANNA):
        await finished(await house.chat.send(other, "And now?"))


async def test_what_waited_and_is_refused_says_so_and_can_be_tried_again(house: House, engine: BusyEngine) -> None:
    engine.enqueue(*STORY[:20])
    with acting_as(ANNA):
        conversation = house.chat.new_conversation()
        first = await house.chat.send(conversation, "A story.")
        await house.chat.send(conversation, "And then?", queue=True)
    assert first
    engine.waiting = MAX_WAITING
    await finished(first)
    with acting_as(ANNA):
        await until(lambda: not house.chat._replies._tasks)
        messages = await shown(house.chat, conversation)
        assert [message.state for message in messages[2:]] == [MessageState.COMPLETE, MessageState.FAILED]
        assert messages[-1].error == "Too many requests are waiting. Try again soon."
        engine.waiting = 0
        await finished(await house.chat.retry(conversation))
        assert (await shown(house.chat, conversation))[-1].text == "And then?"


async def test_a_full_queue_is_refused_in_the_page_too(house: House, engine: BusyEngine) -> None:
    engine.waiting = MAX_WAITING
    with acting_as(ANNA), pytest.raises(RefusedError, match="Too many requests are waiting") as refused:
        await house.chat.send(house.chat.new_conversation(), "Hello")
    assert api_error(refused.value).body.error.code == "queue_full"


async def test_nobody_ends_the_reply_of_somebody_else(house: House, engine: BusyEngine) -> None:
    """Deleting finds out whose the conversation is first."""
    with acting_as(ANNA):
        engine.enqueue(*STORY[:100])
        conversation = house.chat.new_conversation()
        reply = await house.chat.send(conversation, "A story.")
    assert reply
    with acting_as(BEN), pytest.raises(HistoryError, match="no conversation"):
        await house.chat.delete(conversation.id)
    assert not reply.stopping
    await finished(reply)
    assert reply.message.state is MessageState.COMPLETE
