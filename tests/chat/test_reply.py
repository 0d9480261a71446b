"""A reply on its way to whoever looks, and to the database."""

from __future__ import annotations

import asyncio
import time

import pytest

from localchat_ui.chat import ChatService
from localchat_ui.conversation import ChatOptions, MessageState, Role
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.history import journal
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.store import HistoryStore

from .house import STORY, House, Watcher, begin_story, counting, failing_async, finished, shown, texts, turns, until


async def test_whoever_joins_at_any_moment_sees_the_text_without_a_gap_or_doubling(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    conversation, reply = await begin_story(chat, engine)
    watchers: list[Watcher] = []
    while not reply.finished:
        watchers.append(await Watcher.join(chat, conversation.id))
        await asyncio.sleep(0.003 * (len(watchers) % 7))
    watchers.append(await Watcher.join(chat, conversation.id))
    assert sum(watcher.joined_while_writing for watcher in watchers) > 5
    assert {watcher.text for watcher in watchers} == {"".join(STORY)}


async def test_messages_and_reply_agree_at_every_moment(chat: ChatService, engine: ScriptedEngine) -> None:
    """A reply is there just as long as the last message is being written."""
    conversation = chat.new_conversation()
    engine.seconds_per_token = 0.0005
    engine.enqueue(*STORY[:100])
    sending = asyncio.create_task(chat.send(conversation, "Tell me a story"))
    states: list[MessageState | None] = []
    while not states or states[-1] is not MessageState.COMPLETE:
        messages, reply = await chat.messages(conversation.id)
        last = messages[-1] if messages and messages[-1].role is Role.ASSISTANT else None
        assert (reply is not None) == (last is not None and last.state is MessageState.WRITING)
        assert reply is None or last is reply.message
        states.append(last.state if last else None)
    await finished(await sending)
    assert {None, MessageState.WRITING} <= set(states)


async def test_a_fast_engine_floods_neither_the_pages_nor_the_database(
    chat: ChatService, store: HistoryStore, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates = counting(monkeypatch, store.journal, "_write")
    engine.seconds_per_token = 0.002
    engine.enqueue(*["word "] * 500)
    started = time.monotonic()
    reply = await chat.send(chat.new_conversation(), "Go")
    changes: list[int] = []
    reply.changed.subscribe(lambda: changes.append(reply.n_tokens))
    await finished(reply)
    elapsed = time.monotonic() - started
    # The first word, the last, and what is left of the moment between.
    assert 5 < len(changes) <= 20 * elapsed + 4
    assert 2 <= len(updates) <= 2 * elapsed + 2
    assert reply.n_tokens == 500


async def test_events_tell_which_conversation_changed_and_that_the_list_did(chat: ChatService) -> None:
    changed: list[str] = []
    lists: list[None] = []
    chat.conversation_changed.subscribe(changed.append)
    chat.list_changed.subscribe(lambda: lists.append(None))
    conversation = chat.new_conversation()
    reply = await chat.send(conversation, "Hi")
    assert changed == [conversation.id], "the question and an empty reply are there"
    await finished(reply)
    assert changed == [conversation.id] * 2
    assert len(lists) == 2
    await chat.rename(conversation.id, "Greeting")
    await chat.set_options(conversation, ChatOptions(temperature=1))
    assert changed == [conversation.id] * 4
    await chat.delete(conversation.id)
    await chat.restore(conversation.id)
    assert len(lists) == 5


async def test_a_reply_that_could_not_be_saved_is_kept_until_it_can(
    chat: ChatService, store: HistoryStore, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.enqueue("Hello.")
    conversation = chat.new_conversation()
    with monkeypatch.context() as broken:
        broken.setattr(store.journal, "_write", failing_async(HistoryError("No.", "the disk is full; free some")))
        await finished(await chat.send(conversation, "Hi"))
        messages, writing = await chat.messages(conversation.id)
    assert writing is None
    assert messages[-1].text == "Hello."
    assert (messages[-1].state, messages[-1].error) == (MessageState.COMPLETE, None)
    assert messages[-1].unsaved == "the disk is full"
    await finished(await chat.send(conversation, "And?"))
    assert turns(engine)[1:] == [("user", "Hi"), ("assistant", "Hello."), ("user", "And?")]
    assert [message.text for message in await store.branch(conversation.id)] == ["Hi", "Hello.", "And?", "And?"]


async def test_a_journal_that_fails_does_not_disturb_the_reply(
    chat: ChatService, store: HistoryStore, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "WRITE_SECONDS", 0.01)
    monkeypatch.setattr(journal, "RETRY_SECONDS", 0.01)
    conversation, reply = await begin_story(chat, engine)
    with monkeypatch.context() as broken:
        broken.setattr(store.journal, "_write", failing_async(HistoryError("locked")))
        await until(lambda: reply.n_tokens > 150)
    await finished(reply)
    assert (await texts(chat, conversation))[-1] == (Role.ASSISTANT, "".join(STORY), MessageState.COMPLETE)


async def test_the_text_on_disk_grows_while_the_reply_is_written(
    chat: ChatService, store: HistoryStore, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "WRITE_SECONDS", 0.05)
    _, reply = await begin_story(chat, engine)
    lengths = set()
    while not reply.finished:
        stored = await store.message(reply.message.id)
        assert stored is not None
        assert "".join(STORY).startswith(stored.text)
        if stored.state is MessageState.WRITING:
            lengths.add(len(stored.text))
        await asyncio.sleep(0.01)
    assert len(lengths) > 3


async def test_a_reply_that_is_not_saved_says_so_and_goes_on_until_it_is(
    chat: ChatService, house: House, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "WRITE_SECONDS", 0.02)
    monkeypatch.setattr(journal, "RETRY_SECONDS", 0.02)
    conversation, reply = await begin_story(chat, engine)
    changes: list[str | None] = []
    reply.changed.subscribe(lambda: changes.append(reply.message.unsaved))
    with monkeypatch.context() as broken:
        broken.setattr(house.store.journal, "_write", failing_async(HistoryError("No.", "the disk is full; free some")))
        await chat.send(conversation, "And then?", queue=True)
        await finished(reply)
        assert "the disk is full" in changes
        question = (await shown(chat, conversation))[2]
        assert question.state is MessageState.QUEUED, "it waits until the reply before it is saved"
    await until(lambda: len(engine.requests) == 2 and not chat.is_writing(conversation.id))
    assert reply.message.unsaved is None
    again = HistoryStore(house.store.database)
    assert [(m.text, m.error) for m in (await again.branch(conversation.id))[1:]] == [
        ("".join(STORY), None),
        ("And then?", None),
        ("And then?", None),
    ]
