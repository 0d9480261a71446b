"""Replies being written: stopped, failed, kept at the end, and what was sent meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from localchat_ui.chat import ChatError, ChatService
from localchat_ui.conversation import ChatOptions, Conversation, Message, MessageState, RequestOptions, Role
from localchat_ui.engine.base import PromptTooLongError
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.history import rows
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.store import HistoryStore
from localchat_ui.history.tables import MessageRow
from localchat_ui.inference.local import LocalBackend

from .house import (
    MODEL,
    STORY,
    House,
    SlowTaker,
    begin_story,
    failing,
    failing_async,
    finished,
    shown,
    slow_journal,
    texts,
    turns,
    until,
)


async def test_stop_keeps_what_was_written(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation, reply = await begin_story(chat, engine)
    chat.stop(conversation.id)
    chat.stop(conversation.id)
    await finished(reply)
    [_, (_, text, state)] = await texts(chat, conversation)
    assert state is MessageState.STOPPED
    assert text
    assert "".join(STORY).startswith(text)
    assert len(text) < len("".join(STORY))


async def test_settings_that_are_changed_act_on_the_reply_being_written(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    conversation, reply = await begin_story(chat, engine)
    options = conversation.options.model_copy(update={"temperature": 1.5, "top_k": 7})
    await chat.set_options(conversation, options)
    [(request_id, sampling)] = engine.changes
    assert request_id == engine.requests[-1].id
    assert (sampling.temperature, sampling.top_k) == (1.5, 7)
    chat.stop(conversation.id)
    await finished(reply)
    assert reply.message.stats is not None
    assert reply.message.stats.sampling is not None
    assert reply.message.stats.sampling.temperature == 1.5
    await chat.set_options(conversation, conversation.options)
    assert len(engine.changes) == 1, "nothing is being written any more"


async def test_settings_leave_a_reply_alone_that_has_its_own(chat: ChatService, engine: ScriptedEngine) -> None:
    engine.enqueue(*STORY)
    engine.seconds_per_token = 0.005
    conversation = chat.new_conversation()
    reply = await chat.send(conversation, "A story", sampling=RequestOptions(temperature=0))
    assert reply is not None
    await until(lambda: reply.message.text)
    await chat.set_options(conversation, conversation.options.model_copy(update={"temperature": 1.5}))
    assert not engine.changes
    chat.stop(conversation.id)
    await finished(reply)


async def test_a_server_elsewhere_goes_on_as_it_began_and_the_receipt_says_so(
    chat: ChatService, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalBackend, "takes_changes", False)
    conversation, reply = await begin_story(chat, engine)
    before = reply.options.temperature
    await chat.set_options(conversation, ChatOptions(temperature=1.9))
    chat.stop(conversation.id)
    await finished(reply)
    assert not engine.changes
    assert reply.message.stats
    assert reply.message.stats.sampling
    assert reply.message.stats.sampling.temperature == before


async def test_stop_takes_effect_while_the_model_is_still_loading(empty_house: House) -> None:
    chat = empty_house.chat
    empty_house.models.choose(MODEL)
    conversation = chat.new_conversation()
    reply = await chat.send(conversation, "Hi")
    await asyncio.sleep(0)
    chat.stop(conversation.id)
    await finished(reply)
    assert (await texts(chat, conversation))[-1] == (Role.ASSISTANT, "", MessageState.STOPPED)
    assert not empty_house.engine.requests


async def test_stop_pressed_twice_while_the_model_is_loading_still_keeps_the_reply(empty_house: House) -> None:
    chat = empty_house.chat
    empty_house.models.choose(MODEL)
    conversation = chat.new_conversation()
    reply = await chat.send(conversation, "Hi")
    for _ in range(3):
        chat.stop(conversation.id)
        await asyncio.sleep(0)
    await finished(reply)
    assert (await texts(chat, conversation))[-1] == (Role.ASSISTANT, "", MessageState.STOPPED)


async def test_stop_while_the_engine_takes_the_request_ends_it_there_too(tmp_path: Path) -> None:
    engine = SlowTaker()
    engine.load(MODEL.path, lambda share: None)
    engine.enqueue(*STORY)
    async with House(tmp_path, engine) as house:
        conversation = house.chat.new_conversation()
        reply = await house.chat.send(conversation, "Hi")
        await until(engine.taking.is_set)
        house.chat.stop(conversation.id)
        await finished(reply)
        engine.may_take.set()
        await until(lambda: bool(engine.requests) and not any(thread.is_alive() for thread in engine._threads))
        assert engine.written < len(STORY)


async def test_stop_where_nothing_is_written_does_nothing(chat: ChatService) -> None:
    chat.stop("no such conversation")


async def test_an_error_of_the_engine_ends_the_reply_with_its_words_and_retry_answers_again(
    chat: ChatService, store: HistoryStore, engine: ScriptedEngine
) -> None:
    engine.enqueue("Half an", error="The context has no room left.")
    engine.enqueue("A whole answer.")
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "Question"))
    failed = (await chat.messages(conversation.id))[0][-1]
    assert (failed.text, failed.state) == ("Half an", MessageState.FAILED)
    assert failed.error == "The context has no room left."

    await finished(await chat.retry(conversation))

    assert (await texts(chat, conversation))[-1] == (Role.ASSISTANT, "A whole answer.", MessageState.COMPLETE)
    assert turns(engine)[1:] == [("user", "Question")]
    everything = await store.messages(conversation.id)
    assert {message.text for message in everything} == {"Question", "Half an", "A whole answer."}
    assert [message.parent_id for message in everything if message.role is Role.ASSISTANT] == [everything[0].id] * 2


async def test_a_good_reply_can_be_tried_again_too(chat: ChatService, engine: ScriptedEngine) -> None:
    engine.enqueue("One way.")
    engine.enqueue("Another way.")
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "Question"))
    await finished(await chat.retry(conversation))
    await finished(await chat.send(conversation, "Next"))
    assert turns(engine)[1:] == [("user", "Question"), ("assistant", "Another way."), ("user", "Next")]


async def test_there_is_nothing_to_retry_before_the_first_question(chat: ChatService) -> None:
    conversation = chat.new_conversation()
    with pytest.raises(ChatError, match="no question"):
        await chat.retry(conversation)
    assert await chat.conversations() == []


async def test_a_request_that_the_engine_refuses_fails_with_its_reason(
    chat: ChatService, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "submit", failing(PromptTooLongError("9,999 tokens do not fit.")))
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "Hi"))
    failed = (await chat.messages(conversation.id))[0][-1]
    assert (failed.state, failed.error) == (MessageState.FAILED, "9,999 tokens do not fit.")


async def test_a_bug_ends_the_reply_with_plain_words_and_the_log_has_the_rest(
    chat: ChatService, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine, "submit", failing(ZeroDivisionError("secret detail")))
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "Hi"))
    failed = (await chat.messages(conversation.id))[0][-1]
    assert failed.state is MessageState.FAILED
    assert failed.error
    assert "secret detail" not in failed.error
    assert "secret detail" in caplog.text


async def test_without_a_model_the_reply_says_how_to_get_one(empty_house: House) -> None:
    conversation = empty_house.chat.new_conversation()
    await finished(await empty_house.chat.send(conversation, "Hi"))
    failed = (await empty_house.chat.messages(conversation.id))[0][-1]
    assert failed.state is MessageState.FAILED
    assert failed.error is not None
    assert failed.error.startswith("No model is loaded.")


async def test_a_message_sent_while_the_model_loads_is_answered_when_it_has(empty_house: House) -> None:
    empty_house.models.choose(MODEL)
    conversation = empty_house.chat.new_conversation()
    reply = await empty_house.chat.send(conversation, "Hi")
    await asyncio.sleep(0.05)
    assert not reply.finished
    empty_house.engine.may_load.set()  # type: ignore[attr-defined]
    await finished(reply)
    assert (reply.message.text, reply.message.model) == ("Hi", "tiny")


async def test_a_question_that_cannot_be_stored_is_not_sent(
    chat: ChatService, store: HistoryStore, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = chat.new_conversation()
    with monkeypatch.context() as broken:
        broken.setattr(store, "add_message", failing_async(HistoryError("The disk is full.")))
        with pytest.raises(HistoryError, match="disk is full"):
            await chat.send(conversation, "Hi")
    assert await chat.messages(conversation.id) == ([], None)
    assert await chat.conversations() == []
    assert not chat.is_writing(conversation.id)
    assert not engine.requests
    await finished(await chat.send(conversation, "Hi"))
    assert len(await texts(chat, conversation)) == 2


async def test_when_the_reply_cannot_be_stored_the_question_is_not_either(
    chat: ChatService, store: HistoryStore, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page gives the text back to be sent once more; it must not stand there twice then."""
    conversation = chat.new_conversation()
    row = rows.message_row

    def refuse_replies(message: Message) -> MessageRow:
        if message.role is Role.ASSISTANT:
            raise OSError(28, "No space left on device")
        return row(message)

    with monkeypatch.context() as broken:
        broken.setattr(rows, "message_row", refuse_replies)
        with pytest.raises(HistoryError, match="disk is full"):
            await chat.send(conversation, "My secret")
    assert await chat.messages(conversation.id) == ([], None)
    assert await chat.conversations() == []
    assert not chat.is_writing(conversation.id)
    assert not engine.requests
    await finished(await chat.send(conversation, "Hi"))
    assert [text for _, text, _ in await texts(chat, conversation)] == ["Hi", "Hi"]
    assert [listed.title for listed in await chat.conversations()] == ["Hi"]


async def test_closing_in_mid_reply_keeps_its_text_as_interrupted(
    chat: ChatService, engine: ScriptedEngine, tmp_path: Path
) -> None:
    conversation, reply = await begin_story(chat, engine)
    await chat.close()
    assert reply.finished
    async with House(tmp_path, ScriptedEngine()) as restarted:
        [_, (_, text, state)] = await texts(restarted.chat, conversation)
    assert state is MessageState.INTERRUPTED
    assert text == reply.message.text
    assert "".join(STORY).startswith(text)
    assert text


async def test_closing_just_when_a_reply_ends_keeps_it_whole(
    chat: ChatService, store: HistoryStore, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving = slow_journal(monkeypatch, store)
    engine.enqueue("Hello.")
    conversation = chat.new_conversation()
    await chat.send(conversation, "Hi")
    await saving.wait()
    await chat.close()
    [_, reply] = await store.branch(conversation.id)
    assert (reply.text, reply.state) == ("Hello.", MessageState.COMPLETE)


async def test_closing_frees_the_engine(chat: ChatService, engine: ScriptedEngine) -> None:
    await begin_story(chat, engine)
    await chat.close()
    assert engine._cancelled == {engine.requests[0].id}


async def test_what_a_crash_left_unfinished_is_marked_at_the_next_start_and_can_be_tried_again(
    house: House, tmp_path: Path
) -> None:
    conversation = Conversation(title="Before the crash")
    await house.store.add_conversation(conversation)
    question = Message(conversation.id, Role.USER, "Hi")
    half = Message(conversation.id, Role.ASSISTANT, "Hel", parent_id=question.id, state=MessageState.WRITING)
    for message in (question, half):
        await house.store.add_message(message)

    engine = ScriptedEngine()
    engine.load(MODEL.path, lambda share: None)
    async with House(tmp_path, engine) as restarted:
        assert not restarted.chat.is_writing(conversation.id)
        assert (await texts(restarted.chat, conversation))[-1] == (Role.ASSISTANT, "Hel", MessageState.INTERRUPTED)
        await finished(await restarted.chat.retry(conversation))
        assert (await texts(restarted.chat, conversation))[-1] == (Role.ASSISTANT, "Hi", MessageState.COMPLETE)


async def test_a_message_sent_meanwhile_waits_and_is_answered_next(chat: ChatService, engine: ScriptedEngine) -> None:
    engine.seconds_per_token = 0.005
    conversation = chat.new_conversation()
    engine.enqueue(*STORY[:30])
    first = await chat.send(conversation, "A story.")
    assert first is not None
    assert await chat.send(conversation, "And then?", queue=True) is None
    assert await chat.send(conversation, "And who?", queue=True) is None
    messages = await shown(chat, conversation)
    assert [message.state for message in messages[2:]] == [MessageState.QUEUED, MessageState.QUEUED]
    assert (await chat.messages(conversation.id))[1] is first, "the reply is found above them"

    engine.enqueue("Nobody knows.")
    await finished(first)
    await until(lambda: len(engine.requests) == 2 and not chat.is_writing(conversation.id))
    messages = await shown(chat, conversation)
    assert [message.text for message in messages[2:]] == ["And then?", "And who?", "Nobody knows."]
    assert {message.state for message in messages} == {MessageState.COMPLETE}
    assert [turn.text for turn in engine.requests[-1].turns[-2:]] == ["And then?", "And who?"]


async def test_a_waiting_message_is_not_lost_with_the_program(tmp_path: Path) -> None:
    engine = ScriptedEngine(seconds_per_token=0.01)
    engine.load(MODEL.path, lambda share: None)
    async with House(tmp_path, engine) as house:
        conversation = house.chat.new_conversation()
        engine.enqueue(*STORY)
        await house.chat.send(conversation, "A story.")
        await house.chat.send(conversation, "And then?", queue=True)
    engine = ScriptedEngine()
    engine.load(MODEL.path, lambda share: None)
    async with House(tmp_path, engine) as house:
        messages = await shown(house.chat, conversation)
        assert [message.state for message in messages[1:]] == [MessageState.INTERRUPTED, MessageState.QUEUED]
        await finished(await house.chat.retry(conversation))
        messages = await shown(house.chat, conversation)
        assert [message.state for message in messages[2:]] == [MessageState.COMPLETE, MessageState.COMPLETE]
        assert engine.requests[-1].turns[-1].text.endswith("And then?")


@pytest.mark.parametrize("how", ["failed", "stopped"])
async def test_what_waits_is_answered_however_the_reply_before_ended(
    chat: ChatService, engine: ScriptedEngine, how: str
) -> None:
    engine.seconds_per_token = 0.005
    engine.enqueue(*STORY[:30], error="The cache is full." if how == "failed" else None)
    conversation = chat.new_conversation()
    first = await chat.send(conversation, "A story.")
    await chat.send(conversation, "And then?", queue=True)
    if how == "stopped":
        assert first
        await until(lambda: first.n_tokens > 0)
        chat.stop(conversation.id)
    engine.enqueue("Nobody knows.")
    await finished(first)
    await until(lambda: len(engine.requests) == 2 and not chat.is_writing(conversation.id))
    messages = await shown(chat, conversation)
    assert [message.text for message in messages[2:]] == ["And then?", "Nobody knows."]
    assert messages[1].state in (MessageState.FAILED, MessageState.STOPPED)
    assert {message.state for message in messages[2:]} == {MessageState.COMPLETE}


async def test_one_message_is_taken_back_and_those_behind_it_go_on_waiting(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    conversation, reply = await begin_story(chat, engine)
    for text in ("One?", "Two?", "Three?"):
        await chat.send(conversation, text, queue=True)
    waiting = (await shown(chat, conversation))[2:]
    await chat.take_back(conversation, waiting[1].id)
    assert [message.text for message in (await shown(chat, conversation))[2:]] == ["One?", "Three?"]
    await chat.take_back(conversation, waiting[2].id)
    await chat.take_back(conversation, waiting[0].id)
    assert len(await shown(chat, conversation)) == 2
    with pytest.raises(ChatError, match="was already sent"):
        await chat.take_back(conversation, waiting[0].id)
    chat.stop(conversation.id)
    await finished(reply)
    assert len(engine.requests) == 1


async def test_what_still_waits_after_a_restart_is_sent_with_the_next_message(tmp_path: Path) -> None:
    """Taking it back must not hide what was said since."""
    engine = ScriptedEngine(seconds_per_token=0.01)
    engine.load(MODEL.path, lambda share: None)
    async with House(tmp_path, engine) as house:
        conversation = house.chat.new_conversation()
        engine.enqueue(*STORY)
        await house.chat.send(conversation, "A story.")
        await house.chat.send(conversation, "And then?", queue=True)
    engine = ScriptedEngine()
    engine.load(MODEL.path, lambda share: None)
    async with House(tmp_path, engine) as house:
        await finished(await house.chat.send(conversation, "And who?"))
        messages = await shown(house.chat, conversation)
        assert [message.text for message in messages[2:4]] == ["And then?", "And who?"]
        assert {message.state for message in messages[2:]} == {MessageState.COMPLETE}
        assert [turn.text for turn in engine.requests[-1].turns[-2:]] == ["And then?", "And who?"]
        with pytest.raises(ChatError, match="was already sent"):
            await house.chat.take_back(conversation, messages[2].id)
        assert len(await shown(house.chat, conversation)) == 5
