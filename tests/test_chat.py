"""Conversations as people have them, on a real database and an engine that says what it is told to say."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

from localchat_ui.access import current_owner
from localchat_ui.access.quotas import Quotas
from localchat_ui.chat import ChatDefaults, ChatError, ChatService, Reply
from localchat_ui.chat import reply as reply_module
from localchat_ui.chat import service as chat_module
from localchat_ui.conversation import ChatOptions, Conversation, Message, MessageState, Role
from localchat_ui.engine.base import Emit, Event, GenerationRequest, LoadedModel, PromptTooLongError
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.history import rows
from localchat_ui.history.database import Database
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.preferences import Preferences
from localchat_ui.history.store import HistoryStore
from localchat_ui.history.tables import MessageRow
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.model_file import ModelFile
from localchat_ui.model_manager import ModelManager

MODEL = ModelFile(Path("tiny.gguf"), "tiny", None, "", 1, 0, None, is_starter=True)
OPTIONS = ChatOptions(system_prompt="Be brief.", temperature=0.3)
STORY = [f"word{n} " for n in range(300)]


class SlowLoader(ScriptedEngine):
    """Loads a model when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_load = threading.Event()

    def load(self, path: Path, on_progress: Callable[[float], None]) -> LoadedModel:
        assert self.may_load.wait(10)
        return super().load(path, on_progress)

    def close(self) -> None:
        self.may_load.set()
        super().close()


class SlowTaker(ScriptedEngine):
    """Takes its time with a request, as with a long prompt; and ignores what it does not know, as an engine does."""

    def __init__(self) -> None:
        super().__init__(seconds_per_token=0.005)
        self.taking = threading.Event()
        self.may_take = threading.Event()
        self.written = 0

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        def count(event: Event) -> None:
            self.written += 1
            emit(event)

        self.taking.set()
        assert self.may_take.wait(10)
        super().submit(request, count)

    def cancel(self, request_id: str) -> None:
        if any(request.id == request_id for request in self.requests):
            super().cancel(request_id)


class House:
    """A chat service with everything it needs, on one database file. Enter another on the same file for a restart."""

    def __init__(self, folder: Path, engine: ScriptedEngine, quotas: Quotas | None = None) -> None:
        self.engine = engine
        url = f"sqlite+aiosqlite:///{folder / 'chat.sqlite3'}"
        self.store = HistoryStore(Database(url, current_owner=current_owner))
        preferences = Preferences(self.store.database)
        catalog = Catalog(folder / "models", folder / "models.json", probe=["/no/such/program"])
        self.models = ModelManager(engine, catalog, preferences, download_name="", new_download=no_download)
        self.chat = ChatService(engine, self.store, self.models, ChatDefaults(OPTIONS, preferences), quotas)

    async def __aenter__(self) -> House:
        await self.store.database.open()
        await self.chat.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.chat.close()
        await asyncio.to_thread(self.engine.close)
        await self.models.close()
        await self.store.database.close()


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


# Send


async def test_a_first_message_gets_a_reply_and_gives_the_conversation_its_title(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    engine.enqueue("Hello ", "there.")
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "\nHi, who are you?\nTell me all.\n"))
    question, reply = await texts(chat, conversation)
    assert question == (Role.USER, "Hi, who are you?\nTell me all.", MessageState.COMPLETE)
    assert reply == (Role.ASSISTANT, "Hello there.", MessageState.COMPLETE)
    [listed] = await chat.conversations()
    assert (listed.id, listed.title, listed.options) == (conversation.id, "Hi, who are you?", OPTIONS)


async def test_a_reply_is_kept_with_its_model_and_its_receipt(chat: ChatService, engine: ScriptedEngine) -> None:
    engine.enqueue("one ", "two")
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "Count"))
    reply = (await chat.messages(conversation.id))[0][-1]
    assert reply.model == "tiny"
    assert reply.stats is not None
    assert (reply.stats.reply_tokens, reply.stats.finish_reason) == (2, "stop")


async def test_the_model_reads_the_system_prompt_and_everything_said_so_far(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    engine.enqueue("Four.")
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "2 + 2?"))
    await finished(await chat.send(conversation, "Times 3?"))
    assert turns(engine) == [
        ("system", "Be brief."),
        ("user", "2 + 2?"),
        ("assistant", "Four."),
        ("user", "Times 3?"),
    ]
    assert engine.requests[-1].sampling.temperature == 0.3


async def test_without_a_system_prompt_none_is_sent(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation = Conversation(options=ChatOptions(system_prompt=" \n"))
    await finished(await chat.send(conversation, "Hi"))
    assert turns(engine) == [("user", "Hi")]


async def test_a_question_that_was_never_answered_is_read_together_with_the_next(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    engine.enqueue(error="The cache is full.")
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "First"))
    await finished(await chat.send(conversation, "Second"))
    assert turns(engine)[1:] == [("user", "First\n\nSecond")]


async def test_only_the_first_message_names_the_conversation(chat: ChatService) -> None:
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "First"))
    await finished(await chat.send(conversation, "Second"))
    assert [listed.title for listed in await chat.conversations()] == ["First"]
    await chat.rename(conversation.id, "  My title\nand more ")
    await finished(await chat.send(conversation, "Third"))
    assert [listed.title for listed in await chat.conversations()] == ["My title"]


@pytest.mark.parametrize("text", ["", "   ", "\n\n\t"])
async def test_an_empty_message_is_refused_and_nothing_is_kept(chat: ChatService, text: str) -> None:
    conversation = chat.new_conversation()
    with pytest.raises(ChatError, match="empty"):
        await chat.send(conversation, text)
    assert await chat.open(conversation.id) is None


async def test_two_sends_at_once_give_one_reply_and_one_error(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation = chat.new_conversation()
    results = await asyncio.gather(
        chat.send(conversation, "One"), chat.send(conversation, "Two"), return_exceptions=True
    )
    assert {type(result) for result in results} == {Reply, ChatError}
    [reply] = [result for result in results if isinstance(result, Reply)]
    await finished(reply)
    assert [role for role, _, _ in await texts(chat, conversation)] == [Role.USER, Role.ASSISTANT]
    assert len(engine.requests) == 1


async def test_while_a_reply_is_written_another_message_is_refused(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation, reply = await begin_story(chat, engine)
    for attempt in (chat.send(conversation, "And?"), chat.retry(conversation)):
        with pytest.raises(ChatError, match="still being written"):
            await attempt
    chat.stop(conversation.id)
    await finished(reply)
    await finished(await chat.send(conversation, "And?"))
    assert len(await texts(chat, conversation)) == 4


async def test_a_message_sent_while_the_reply_before_is_just_being_saved_waits_for_that(
    chat: ChatService, store: HistoryStore, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text is complete on the page by then, so nobody would understand a refusal."""
    saving = slow_updates(monkeypatch, store)
    conversation = chat.new_conversation()
    await chat.send(conversation, "Hi")
    await saving.wait()
    messages, writing = await chat.messages(conversation.id)
    assert (messages[-1].text, messages[-1].state, writing) == ("Hi", MessageState.COMPLETE, None)
    await finished(await chat.send(conversation, "And?"))
    assert [text for _, text, _ in await texts(chat, conversation)] == ["Hi", "Hi", "And?", "And?"]


async def test_two_conversations_are_written_at_the_same_time(chat: ChatService, engine: ScriptedEngine) -> None:
    first, first_reply = await begin_story(chat, engine)
    second, second_reply = await begin_story(chat, engine)
    assert chat.is_writing(first.id)
    assert chat.is_writing(second.id)
    for reply in (first_reply, second_reply):
        await finished(reply)
        assert reply.message.text == "".join(STORY)
    assert not chat.is_writing(first.id)


# Stop


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


# What goes wrong


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
        with pytest.raises(HistoryError, match="No space left"):
            await chat.send(conversation, "My secret")
    assert await chat.messages(conversation.id) == ([], None)
    assert await chat.conversations() == []
    assert not chat.is_writing(conversation.id)
    assert not engine.requests
    await finished(await chat.send(conversation, "Hi"))
    assert [text for _, text, _ in await texts(chat, conversation)] == ["Hi", "Hi"]
    assert [listed.title for listed in await chat.conversations()] == ["Hi"]


async def test_a_reply_that_could_not_be_saved_is_kept_until_it_can(
    chat: ChatService, store: HistoryStore, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.enqueue("Hello.")
    conversation = chat.new_conversation()
    with monkeypatch.context() as broken:
        broken.setattr(store, "update_message", failing_async(HistoryError("The disk is full.")))
        await finished(await chat.send(conversation, "Hi"))
        messages, writing = await chat.messages(conversation.id)
    assert writing is None
    assert messages[-1].text == "Hello."
    assert messages[-1].state is not MessageState.WRITING
    assert messages[-1].error == "The reply could not be saved: The disk is full."
    await finished(await chat.send(conversation, "And?"))
    assert turns(engine)[1:] == [("user", "Hi"), ("assistant", "Hello."), ("user", "And?")]
    assert [message.text for message in await store.branch(conversation.id)] == ["Hi", "Hello.", "And?", "And?"]


async def test_a_journal_that_fails_does_not_disturb_the_reply(
    chat: ChatService, store: HistoryStore, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply_module, "JOURNAL_SECONDS", 0)
    conversation, reply = await begin_story(chat, engine)
    with monkeypatch.context() as broken:
        broken.setattr(store, "update_message", failing_async(HistoryError("locked")))
        await until(lambda: reply.n_tokens > 150)
    await finished(reply)
    assert (await texts(chat, conversation))[-1] == (Role.ASSISTANT, "".join(STORY), MessageState.COMPLETE)


# Watching


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
    updates = counting(monkeypatch, store, "update_message")
    engine.seconds_per_token = 0.002
    engine.enqueue(*["word "] * 500)
    started = time.monotonic()
    reply = await chat.send(chat.new_conversation(), "Go")
    changes: list[int] = []
    reply.changed.subscribe(lambda: changes.append(reply.n_tokens))
    await finished(reply)
    elapsed = time.monotonic() - started
    assert 5 < len(changes) <= 20 * elapsed + 2
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


# Settings


async def test_changed_settings_apply_from_the_next_reply_on(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation, reply = await begin_story(chat, engine)
    await chat.set_options(conversation, ChatOptions(system_prompt="Rhyme.", temperature=1.5, max_tokens=3))
    await finished(reply)
    assert reply.message.text == "".join(STORY)
    engine.enqueue(*STORY)
    await finished(await chat.send(conversation, "Go on"))
    assert turns(engine)[0] == ("system", "Rhyme.")
    assert [request.sampling.temperature for request in engine.requests] == [0.3, 1.5]
    assert (await texts(chat, conversation))[-1][1] == "".join(STORY[:3])


async def test_a_system_prompt_changed_while_the_model_loads_is_for_the_next_reply(empty_house: House) -> None:
    chat = empty_house.chat
    empty_house.models.choose(MODEL)
    conversation = chat.new_conversation()
    reply = await chat.send(conversation, "Hi")
    await chat.set_options(conversation, ChatOptions(system_prompt="Rhyme.", temperature=1.5))
    empty_house.engine.may_load.set()  # type: ignore[attr-defined]
    await finished(reply)
    assert turns(empty_house.engine)[0] == ("system", "Be brief.")
    assert empty_house.engine.requests[0].sampling.temperature == 0.3


async def test_settings_and_a_first_message_may_arrive_at_once(chat: ChatService) -> None:
    for _ in range(5):
        conversation = chat.new_conversation()
        _, reply = await asyncio.gather(
            chat.set_options(conversation, ChatOptions(temperature=1)), chat.send(conversation, "Hi")
        )
        await finished(reply)
        kept = await chat.open(conversation.id)
        assert kept is not None
        assert kept.options.temperature == 1


async def test_settings_belong_to_their_conversation(chat: ChatService) -> None:
    conversation = chat.new_conversation()
    await chat.set_options(conversation, ChatOptions(temperature=1.5))
    assert chat.new_conversation().options == OPTIONS
    kept = await chat.open(conversation.id)
    assert kept is not None
    assert kept.options.temperature == 1.5
    assert await chat.conversations() == [], "settings alone are no conversation yet"


# Delete


async def test_a_deleted_conversation_is_gone_and_comes_back_as_it_was(chat: ChatService) -> None:
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "Hi"))
    before = await texts(chat, conversation)
    await chat.delete(conversation.id)
    assert await chat.conversations() == []
    assert await chat.open(conversation.id) is None
    await chat.restore(conversation.id)
    assert await texts(chat, conversation) == before
    assert len(await chat.conversations()) == 1


async def test_a_deleted_conversation_is_not_written_to_and_says_so(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "Hi"))
    await chat.delete(conversation.id)
    for attempt in (
        chat.send(conversation, "And?"),
        chat.retry(conversation),
        chat.set_options(conversation, ChatOptions(temperature=1)),
        chat.rename(conversation.id, "Mine"),
    ):
        with pytest.raises((ChatError, HistoryError), match="deleted"):
            await attempt
    assert len(engine.requests) == 1
    await chat.restore(conversation.id)
    assert len(await texts(chat, conversation)) == 2


async def test_deleting_ends_the_reply_and_undo_brings_its_text_back(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation, reply = await begin_story(chat, engine)
    await chat.delete(conversation.id)
    await finished(reply)
    assert not chat.is_writing(conversation.id)
    assert await chat.conversations() == []
    await chat.restore(conversation.id)
    [_, (_, text, state)] = await texts(chat, conversation)
    assert state is MessageState.STOPPED
    assert text == reply.message.text
    assert 0 < len(text) < len("".join(STORY))


async def test_what_was_deleted_survives_a_restart_for_a_while(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = house.chat.new_conversation()
    await finished(await house.chat.send(conversation, "Hi"))
    await house.chat.delete(conversation.id)
    async with House(tmp_path, ScriptedEngine()) as restarted:
        await restarted.chat.restore(conversation.id)
        await restarted.chat.delete(conversation.id)
    monkeypatch.setattr(chat_module, "UNDO_TIME", timedelta(0))
    async with House(tmp_path, ScriptedEngine()) as restarted:
        with pytest.raises(HistoryError):
            await restarted.chat.restore(conversation.id)


# End and restart


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
    saving = slow_updates(monkeypatch, store)
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


async def test_the_text_on_disk_grows_while_the_reply_is_written(
    chat: ChatService, store: HistoryStore, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply_module, "JOURNAL_SECONDS", 0.05)
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


# Branches


async def test_another_answer_is_another_version_and_both_stay(chat: ChatService, engine: ScriptedEngine) -> None:
    engine.enqueue("One.")
    conversation = await said(chat, "Name a number.")
    engine.enqueue("Two.")
    first = (await shown(chat, conversation))[1]
    await finished(await chat.regenerate(conversation, first.id))

    messages = await shown(chat, conversation)
    assert [message.text for message in messages] == ["Name a number.", "Two."]
    version = (await chat.versions(messages))[messages[1].id]
    assert (version.number, version.count, version.previous_id) == (2, 2, first.id)

    await chat.select_version(conversation, first.id)
    assert [message.text for message in await shown(chat, conversation)] == ["Name a number.", "One."]


async def test_a_question_asked_differently_is_a_branch_and_the_old_one_is_a_step_away(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    conversation = await said(chat, "One?", "Two?")
    question = (await shown(chat, conversation))[0]
    await finished(await chat.edit_question(conversation, question.id, "Uno?"))
    assert [message.text for message in await shown(chat, conversation)] == ["Uno?", "Uno?"]
    assert [turn.text for turn in engine.requests[-1].turns] == ["Be brief.", "Uno?"]

    await chat.select_version(conversation, question.id)
    assert [message.text for message in await shown(chat, conversation)] == ["One?", "One?", "Two?", "Two?"]


async def test_an_edited_answer_is_what_the_model_reads_next(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation = await said(chat, "One?")
    answer = (await shown(chat, conversation))[1]
    await chat.edit_answer(conversation, answer.id, "I said nothing.")
    await finished(await chat.send(conversation, "What did you say?"))
    assert [turn.text for turn in engine.requests[-1].turns[1:]] == ["One?", "I said nothing.", "What did you say?"]


async def test_a_reply_goes_on_where_it_ended(chat: ChatService, engine: ScriptedEngine) -> None:
    engine.enqueue("Once ", "upon")
    conversation = await said(chat, "A story.")
    before = (await shown(chat, conversation))[1]
    engine.enqueue(" a ", "time.")
    await finished(await chat.continue_reply(conversation))

    after = (await shown(chat, conversation))[1]
    assert (after.id, after.text, after.state) == (before.id, "Once upon a time.", MessageState.COMPLETE)
    assert [(turn.role, turn.text) for turn in engine.requests[-1].turns[1:]] == [
        (Role.USER, "A story."),
        (Role.ASSISTANT, "Once upon"),
    ]
    assert after.stats is not None
    assert after.stats.reply_tokens == 4


async def test_a_deleted_message_takes_what_follows_with_it_and_comes_back(chat: ChatService) -> None:
    conversation = await said(chat, "One?", "Two?")
    question = (await shown(chat, conversation))[2]
    await chat.delete_message(conversation, question.id)
    assert [message.text for message in await shown(chat, conversation)] == ["One?", "One?"]
    await chat.restore_message(conversation, question.id)
    assert [message.text for message in await shown(chat, conversation)] == ["One?", "One?", "Two?", "Two?"]


async def test_a_fork_goes_its_own_way(chat: ChatService) -> None:
    conversation = await said(chat, "One?", "Two?")
    forked = await chat.fork(conversation.id, (await shown(chat, conversation))[1].id)
    await finished(await chat.send(forked, "Three?"))
    assert [message.text for message in await shown(chat, forked)] == ["One?", "One?", "Three?", "Three?"]
    assert [message.text for message in await shown(chat, conversation)] == ["One?", "One?", "Two?", "Two?"]


async def test_nothing_is_changed_under_a_reply_that_is_being_written(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    conversation = await said(chat, "One?")
    question, answer = await shown(chat, conversation)
    engine.seconds_per_token = 0.01
    engine.enqueue(*STORY)
    reply = await chat.send(conversation, "A story.")
    assert reply is not None
    attempts = [
        chat.regenerate(conversation, answer.id),
        chat.edit_question(conversation, question.id, "Uno?"),
        chat.edit_answer(conversation, answer.id, "No."),
        chat.continue_reply(conversation),
        chat.delete_message(conversation, question.id),
        chat.restore_message(conversation, question.id),
        chat.select_version(conversation, answer.id),
        chat.retry(conversation),
    ]
    for attempt in attempts:
        with pytest.raises(ChatError, match="still being written"):
            await attempt
    chat.stop(conversation.id)
    await finished(reply)


async def test_a_message_that_is_no_longer_shown_cannot_be_changed(chat: ChatService) -> None:
    conversation = await said(chat, "One?", "Two?")
    question = (await shown(chat, conversation))[2]
    await chat.delete_message(conversation, question.id)
    with pytest.raises(ChatError, match="no longer shown"):
        await chat.regenerate(conversation, question.id)


# Messages that wait


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
    assert engine.requests[-1].turns[-1].text == "And then?\n\nAnd who?"


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


# Thinking, prompts, defaults


async def test_thinking_is_kept_apart_and_read_by_the_model_next_time(
    chat: ChatService, engine: ScriptedEngine, store: HistoryStore
) -> None:
    engine.enqueue("Four.", thinking="Two and two.")
    conversation = await said(chat, "2 + 2?")
    await finished(await chat.send(conversation, "Why?"))
    [_, answer, *_] = await store.branch(conversation.id)
    assert (answer.thinking, answer.text) == ("Two and two.", "Four.")
    assert answer.stats is not None
    assert answer.stats.thinking_seconds == 1.5
    assert engine.requests[-1].turns[2].thinking == "Two and two."


async def test_the_prompt_can_be_looked_at_with_the_tokens_of_each_message(chat: ChatService) -> None:
    conversation = await said(chat, "One two three?")
    view = await chat.preview(conversation)
    question, answer = await shown(chat, conversation)
    assert view.text == "Be brief.\nOne two three?\nOne two three?"
    assert view.message_tokens == {question.id: 3, answer.id: 3}
    assert (view.n_tokens, view.system_tokens, view.n_unseen) == (8, 2, 0)


async def test_own_defaults_are_for_new_conversations_and_survive_a_restart(house: House, tmp_path: Path) -> None:
    before = house.chat.new_conversation()
    await house.chat.defaults.set(OPTIONS.model_copy(update={"temperature": 1.25}))
    assert before.options == OPTIONS
    assert house.chat.new_conversation().options.temperature == 1.25
    engine = ScriptedEngine()
    async with House(tmp_path, engine) as again:
        await again.chat.started()
        assert again.chat.new_conversation().options.temperature == 1.25
        await again.chat.defaults.set(None)
        assert again.chat.new_conversation().options == OPTIONS


async def said(chat: ChatService, *questions: str) -> Conversation:
    """A conversation in which these were asked and answered."""
    conversation = chat.new_conversation()
    for question in questions:
        await finished(await chat.send(conversation, question))
    return conversation


async def shown(chat: ChatService, conversation: Conversation) -> list[Message]:
    return (await chat.messages(conversation.id))[0]


class Watcher:
    """A page, as far as text goes: takes what is there, then follows the events."""

    def __init__(self, message: Message, reply: Reply | None) -> None:
        self.text = message.text
        self.joined_while_writing = reply is not None
        self._message = message
        if reply is not None:
            reply.changed.subscribe(self._grow)

    @classmethod
    async def join(cls, chat: ChatService, conversation_id: str) -> Watcher:
        messages, reply = await chat.messages(conversation_id)
        return cls(messages[-1], reply)

    def _grow(self) -> None:
        assert self._message.text.startswith(self.text)
        self.text = self._message.text


async def begin_story(chat: ChatService, engine: ScriptedEngine) -> tuple[Conversation, Reply]:
    """A long reply of which some words are there already."""
    engine.seconds_per_token = 0.002
    engine.enqueue(*STORY)
    conversation = chat.new_conversation()
    reply = await chat.send(conversation, "Tell me a story")
    await until(lambda: reply.n_tokens > 0)
    return conversation, reply


async def finished(reply: Reply | None) -> None:
    assert reply is not None
    assert reply.task is not None
    await asyncio.wait_for(asyncio.shield(reply.task), 10)
    assert reply.finished


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def texts(chat: ChatService, conversation: Conversation) -> list[tuple[Role, str, MessageState]]:
    messages, _ = await chat.messages(conversation.id)
    return [(message.role, message.text, message.state) for message in messages]


def turns(engine: ScriptedEngine) -> list[tuple[str, str]]:
    """What the model read last."""
    return [(turn.role.value, turn.text) for turn in engine.requests[-1].turns]


def failing(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


def failing_async(error: Exception) -> Callable[..., Awaitable[NoReturn]]:
    async def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail


def counting(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[None]:
    """Counts the calls of an asynchronous method."""
    calls: list[None] = []
    method = getattr(owner, name)

    async def call(*arguments: Any, **options: Any) -> Any:
        calls.append(None)
        return await method(*arguments, **options)

    monkeypatch.setattr(owner, name, call)
    return calls


def slow_updates(monkeypatch: pytest.MonkeyPatch, store: HistoryStore) -> asyncio.Event:
    """Lets saving a reply take a moment; the event says that it has begun."""
    saving = asyncio.Event()
    update_message = store.update_message

    async def update_slowly(message: Message) -> None:
        saving.set()
        await asyncio.sleep(0.05)
        await update_message(message)

    monkeypatch.setattr(store, "update_message", update_slowly)
    return saving


def no_download() -> NoReturn:
    raise AssertionError("nothing is downloaded here")
