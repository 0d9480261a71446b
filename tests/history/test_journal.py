"""Replies saved while they grow, on a disk that is full for a while and beside a program that locks the file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from localchat_ui.conversation import Message, MessageState, Role
from localchat_ui.history import journal as journal_module
from localchat_ui.history.database import Database
from localchat_ui.history.errors import HistoryError, UnknownMessageError
from localchat_ui.history.store import HistoryStore

from .conftest import fill, locked, start_conversation, url_of


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "WRITE_SECONDS", 0.02)
    monkeypatch.setattr(journal_module, "RETRY_SECONDS", 0.05)


@pytest.fixture
async def reply(store: HistoryStore) -> Message:
    conversation, [question] = await start_conversation(store, "Hi")
    return await begin(store, conversation.id, question.id)


async def begin(store: HistoryStore, conversation_id: str, parent_id: str) -> Message:
    reply = Message(conversation_id, Role.ASSISTANT, "", parent_id=parent_id, state=MessageState.WRITING)
    await store.add_message(reply)
    return reply


async def test_a_growing_reply_is_written_behind_its_stream_and_the_newest_text_wins(
    store: HistoryStore, reply: Message
) -> None:
    for number in range(50):
        reply.text += f"{number} "
        store.journal.write(reply)
        await asyncio.sleep(0.002)
    await until(lambda: not store.journal._pending)
    assert (await stored(store, reply)).text == reply.text
    assert await store.message(reply.id) is reply, "it may grow at any moment"
    reply.state = MessageState.COMPLETE
    await store.journal.finish(reply)
    assert (await stored(store, reply)).state is MessageState.COMPLETE
    assert not store.journal._open


async def test_a_full_disk_is_told_and_nothing_is_lost_when_there_is_room_again(small_disk: Path) -> None:
    store = HistoryStore(await Database(url_of(small_disk / "chat.sqlite3")).open())
    told: list[str | None] = []
    store.journal.on_change = lambda message: told.append(message.unsaved)
    conversation, [question] = await start_conversation(store, "Hi")
    reply = await begin(store, conversation.id, question.id)
    fill(small_disk)
    while not reply.unsaved:
        reply.text += "word " * 1000
        store.journal.write(reply)
        await asyncio.sleep(0.01)
    assert reply.unsaved == "the disk is full"
    reply.state = MessageState.COMPLETE
    await store.journal.finish(reply)
    assert [message.text for message in await store.branch(conversation.id)] == ["Hi", reply.text]
    assert [message.text for message in await store.messages(conversation.id)] == ["Hi", reply.text]
    with pytest.raises(HistoryError, match="not saved yet: the disk is full"):
        await store.journal.flush(conversation.id)

    (small_disk / "filling").unlink()

    await asyncio.wait_for(store.journal.written(reply), 10)
    assert told == ["the disk is full", None]
    assert reply.unsaved is None
    await store.database.close()
    again = HistoryStore(await Database(url_of(small_disk / "chat.sqlite3")).open())
    assert (await again.branch(conversation.id))[-1] == reply
    await again.database.close()


async def test_a_program_that_locks_the_file_holds_no_stream_and_nothing_is_lost(
    store: HistoryStore, reply: Message, database: Path
) -> None:
    with locked(database):
        longest = 0.0
        for _ in range(100):
            begun = time.monotonic()
            reply.text += "word "
            store.journal.write(reply)
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - begun)
        reply.state = MessageState.COMPLETE
        await asyncio.wait_for(store.journal.finish(reply), 3)
        assert reply.unsaved == journal_module.BUSY
        assert (await stored(store, reply)).text == ""
        assert longest < 1, "far from the five seconds that a write waits for the lock"
    await asyncio.wait_for(store.journal.written(reply), 15)
    assert await stored(store, reply) == reply
    assert reply.unsaved is None


async def test_the_end_of_the_program_waits_for_what_is_not_saved(
    store: HistoryStore, reply: Message, database: Path
) -> None:
    reply.text, reply.state = "Everything.", MessageState.COMPLETE
    with locked(database):
        await store.journal.finish(reply)
        closing = asyncio.create_task(store.journal.close(15))
        await asyncio.sleep(0.1)
        assert not closing.done()
    await closing
    assert (await stored(store, reply)).text == "Everything."


async def test_the_end_of_the_program_does_not_wait_for_ever_and_says_what_is_lost(
    store: HistoryStore, reply: Message, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reply.text = "Everything."
    with locked(database):
        await store.journal.finish(reply)
        await asyncio.wait_for(store.journal.close(0.1), 10)
    assert f"the end of reply {reply.id} is lost" in caplog.text
    assert "Everything" not in caplog.text


async def test_one_that_was_erased_is_told_and_does_not_keep_the_others_from_being_saved(
    store: HistoryStore, reply: Message
) -> None:
    gone: list[Message] = []
    store.journal.on_erased = gone.append
    ghost = Message(reply.conversation_id, Role.ASSISTANT, "Boo")
    store.journal.write(ghost)
    reply.text = "Hello."
    store.journal.write(reply)
    assert store.journal._writer
    await store.journal._writer
    assert gone == [ghost]
    assert (await stored(store, reply)).text == "Hello."
    with pytest.raises(UnknownMessageError):
        await store.journal.finish(ghost)


async def test_a_bug_in_a_write_is_tried_again_too(
    store: HistoryStore, reply: Message, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(journal_module.rows, "growing_values", lambda message: 1 / 0)
        reply.text = "Hello."
        await store.journal.finish(reply)
        assert reply.unsaved == "see the log"
    await asyncio.wait_for(store.journal.written(reply), 5)
    assert (await stored(store, reply)).text == "Hello."
    assert "ZeroDivisionError" in caplog.text


async def test_a_fork_of_what_is_not_saved_has_all_of_it(store: HistoryStore, reply: Message) -> None:
    store.journal.open(reply)
    reply.text, reply.unsaved = "More than is stored", "the disk is full"
    forked = await store.fork(reply.conversation_id, reply.id)
    copy = (await store.branch(forked.id))[-1]
    assert (copy.text, copy.state, copy.unsaved) == (reply.text, MessageState.INTERRUPTED, None)
    assert reply.conversation_id != copy.conversation_id


async def stored(store: HistoryStore, message: Message) -> Message:
    """What another store finds in the database."""
    found = await HistoryStore(store.database).message(message.id)
    assert found is not None
    return found


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
