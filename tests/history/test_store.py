"""Stories of conversations that are kept, branched, deleted and found again."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from localchat_ui.conversation import (
    ChatOptions,
    Conversation,
    GenerationStats,
    Message,
    MessageState,
    Preset,
    Role,
    SamplingOptions,
)
from localchat_ui.history.errors import HistoryError, PresetRefusedError, UnknownConversationError, UnknownMessageError
from localchat_ui.history.preferences import Preferences
from localchat_ui.history.presets import Presets
from localchat_ui.history.store import HistoryStore

from .conftest import OpenStore, start_conversation


async def test_everything_said_survives_a_restart(store: HistoryStore, open_store: OpenStore) -> None:
    conversation = Conversation(
        title="Größe 🙂", options=ChatOptions(temperature=0.1, seed=7, system_prompt="Be brief.")
    )
    question = Message(conversation.id, Role.USER, "How high is Mont Blanc?")
    answer = Message(
        conversation.id,
        Role.ASSISTANT,
        "4806 m",
        parent_id=question.id,
        state=MessageState.FAILED,
        model="tiny.gguf",
        error="The model fell asleep.",
        stats=GenerationStats(
            prompt_tokens=12,
            reply_tokens=4,
            tokens_per_second=31.5,
            finish_reason="stop",
            thinking_seconds=1.5,
            sampling=SamplingOptions(temperature=0.1, seed=7),
        ),
        thinking="Which one is that? The one in the Alps.",
    )
    await store.add_conversation(conversation)
    await store.add_message(question)
    await store.add_message(answer)
    await store.database.close()

    again = await open_store()

    [found] = await again.conversations()
    assert (found.title, found.options, found.created_at) == (
        conversation.title,
        conversation.options,
        conversation.created_at,
    )
    assert await again.conversation(conversation.id) == found
    assert await again.branch(conversation.id) == [question, answer]
    assert await again.message(answer.id) == answer


async def test_times_come_back_in_utc(store: HistoryStore) -> None:
    tokyo = timezone(timedelta(hours=9))
    conversation = Conversation(created_at=datetime(2024, 2, 29, 8, 30, 0, 123456, tzinfo=tokyo))
    await store.add_conversation(conversation)

    found = await store.conversation(conversation.id)

    assert found
    assert found.created_at == conversation.created_at
    assert found.created_at.tzinfo is timezone.utc


async def test_a_time_without_a_zone_is_refused(store: HistoryStore) -> None:
    with pytest.raises(HistoryError, match="no time zone"):
        await store.add_conversation(Conversation(created_at=datetime(2024, 2, 29)))  # noqa: DTZ001


async def test_the_list_shows_the_newest_first_and_nothing_empty(store: HistoryStore) -> None:
    await store.add_conversation(Conversation(title="empty"))
    made = [(await start_conversation(store, "Hello", title=title))[0] for title in ("a", "b", "c")]
    await store.add_message(Message(made[0].id, Role.USER, "One more thing"))

    assert [found.title for found in await store.conversations()] == ["a", "c", "b"]
    assert [found.title for found in await store.conversations(limit=1, offset=1)] == ["c"]


async def test_renaming_and_new_options_stay_in_place(store: HistoryStore) -> None:
    old, _ = await start_conversation(store, "Hello", title="old")
    await start_conversation(store, "Hello", title="new")

    await store.rename(old.id, "renamed")
    await store.set_options(old.id, ChatOptions(top_k=3))

    found = (await store.conversations())[1]
    assert (found.id, found.title, found.options) == (old.id, "renamed", ChatOptions(top_k=3))


async def test_an_edit_makes_a_second_branch_and_the_first_can_be_shown_again(store: HistoryStore) -> None:
    conversation, first = await start_conversation(store, "Hi", "Hello!", "Tell me a joke", "No.")
    edited = Message(conversation.id, Role.USER, "Tell me a story", parent_id=first[1].id)
    story = Message(conversation.id, Role.ASSISTANT, "Once upon a time", parent_id=edited.id)
    await store.add_message(edited)
    await store.add_message(story)
    assert await store.branch(conversation.id) == [*first[:2], edited, story]

    await store.select_version(conversation.id, first[2].id)

    assert await store.branch(conversation.id) == first
    assert await store.messages(conversation.id) == [*first, edited, story]


async def test_a_message_cannot_hang_on_another_conversation(store: HistoryStore) -> None:
    secret, [secret_message] = await start_conversation(store, "My secret")
    mine, [my_message] = await start_conversation(store, "Hello")
    curious = Message(mine.id, Role.USER, "And before?", parent_id=secret_message.id)
    own_parent = Message(mine.id, Role.USER, "Round and round", parent_id="me", id="me")

    for message in (curious, own_parent):
        with pytest.raises(UnknownMessageError):
            await store.add_message(message)
    with pytest.raises(UnknownMessageError):
        await store.select_version(mine.id, secret_message.id)

    assert await store.branch(mine.id) == [my_message]
    assert await store.branch(secret.id) == [secret_message]


async def test_a_thousand_messages_are_one_quick_branch(store: HistoryStore, database: Path) -> None:
    conversation, [first] = await start_conversation(store, "0")
    with sqlite3.connect(database) as connection:
        connection.executemany(
            "INSERT INTO messages (id, conversation_id, parent_id, role, state, created_at, text)"
            " SELECT ?, conversation_id, ?, role, state, created_at, ? FROM messages WHERE id = ?",
            [(f"m{n}", f"m{n - 1}" if n > 1 else first.id, str(n), first.id) for n in range(1, 3000)],
        )
        connection.execute("UPDATE conversations SET head_id = 'm2999'")
    connection.close()

    branch = await asyncio.wait_for(store.branch(conversation.id), timeout=5)

    assert [message.text for message in branch] == [str(n) for n in range(3000)]
    await store.delete(conversation.id)
    assert await asyncio.wait_for(store.purge(timedelta(0)), timeout=5) == 1


async def test_a_growing_reply_is_saved_without_moving_its_conversation(store: HistoryStore) -> None:
    conversation, messages = await start_conversation(store, "Hi", "")
    before = await store.conversation(conversation.id)
    reply = messages[-1]
    reply.text, reply.state, reply.model = "Hel", MessageState.WRITING, "tiny.gguf"
    reply.stats = GenerationStats(reply_tokens=1)

    await store.update_message(reply)

    assert await store.message(reply.id) == reply
    assert await store.conversation(conversation.id) == before

    reply.text, reply.state, reply.error, reply.stats = "Hello", MessageState.FAILED, "No memory left.", None
    await store.update_message(reply)

    assert await store.message(reply.id) == reply
    assert await store.conversation(conversation.id) == before


async def test_a_deleted_conversation_is_gone_until_it_is_restored(store: HistoryStore) -> None:
    conversation, messages = await start_conversation(store, "Hi", "Hello!")

    await store.delete(conversation.id)

    assert await store.conversations() == []
    assert await store.conversation(conversation.id) is None
    assert await store.branch(conversation.id) == await store.messages(conversation.id) == []
    assert await store.message(messages[0].id) is None
    with pytest.raises(UnknownConversationError):
        await store.add_message(Message(conversation.id, Role.USER, "Still there?"))

    messages[-1].text = "Hello, and goodbye."  # the reply was still being written
    await store.update_message(messages[-1])
    await store.restore(conversation.id)

    assert await store.branch(conversation.id) == messages
    assert [found.id for found in await store.conversations()] == [conversation.id]


async def test_purge_erases_only_what_was_deleted_long_ago(store: HistoryStore, database: Path) -> None:
    gone, _ = await start_conversation(store, "Old", "Older", title="gone")
    recent, _ = await start_conversation(store, "Recent", title="recent")
    kept, _ = await start_conversation(store, "Kept", title="kept")
    await store.delete(gone.id)
    await store.delete(recent.id)
    run_sql(database, "UPDATE conversations SET deleted_at = datetime(deleted_at, '-8 days') WHERE title = 'gone'")
    await store.delete(gone.id)  # a second click does not put it off

    assert await store.purge(timedelta(days=7)) == 1

    with pytest.raises(UnknownConversationError):
        await store.restore(gone.id)
    assert run_sql(database, "SELECT text FROM messages ORDER BY text") == [("Kept",), ("Recent",)]
    await store.restore(recent.id)
    assert {found.id for found in await store.conversations()} == {recent.id, kept.id}


async def test_writing_to_what_is_not_there_says_so(store: HistoryStore) -> None:
    orphan = Message("nobody", Role.USER, "Hello?")
    writes = [
        lambda: store.rename("nobody", "x"),
        lambda: store.set_options("nobody", ChatOptions()),
        lambda: store.select_version("nobody", "x"),
        lambda: store.delete("nobody"),
        lambda: store.restore("nobody"),
        lambda: store.add_message(orphan),
    ]
    for write in writes:
        with pytest.raises(UnknownConversationError, match="no conversation nobody") as caught:
            await write()
        assert isinstance(caught.value, LookupError)
    with pytest.raises(UnknownMessageError, match=orphan.id):
        await store.update_message(orphan)
    assert await store.branch("nobody") == []
    assert await store.message(orphan.id) is None


async def test_mangled_options_never_hide_a_conversation(store: HistoryStore, database: Path) -> None:
    mangled = {
        '{"temperature": 99, "top_k": 7, "gone": true, "seed": "x"}': ChatOptions(top_k=7),
        '{"temperature": NaN, "system_prompt": "Sing."}': ChatOptions(system_prompt="Sing."),
        "[1, 2]": ChatOptions(),
        "null": ChatOptions(),
        "{not json": ChatOptions(),
        "": ChatOptions(),
    }
    expected = {}
    for text, options in mangled.items():
        conversation, _ = await start_conversation(store, "Hi")
        run_sql(database, "UPDATE conversations SET options = ? WHERE id = ?", text, conversation.id)
        run_sql(database, "UPDATE messages SET stats = ? WHERE conversation_id = ?", text, conversation.id)
        expected[conversation.id] = options

    assert {found.id: found.options for found in await store.conversations()} == expected
    for conversation_id in expected:
        assert len(await store.branch(conversation_id)) == 1


async def test_a_role_of_a_later_version_is_explained(store: HistoryStore, database: Path) -> None:
    conversation, _ = await start_conversation(store, "Hi")
    run_sql(database, "UPDATE messages SET role = 'wizard'")

    with pytest.raises(HistoryError, match="newer version"):
        await store.branch(conversation.id)
    assert len(await store.conversations()) == 1


async def test_text_no_database_likes_is_kept_as_far_as_possible(store: HistoryStore) -> None:
    conversation, _ = await start_conversation(store, "half \ud83d, nul \0, whole 🙂, mark \ufeff.", title="\ud83d")

    [message] = await store.branch(conversation.id)

    assert message.text == "half \N{REPLACEMENT CHARACTER}, nul \N{REPLACEMENT CHARACTER}, whole 🙂, mark \ufeff."


async def test_the_pinned_are_listed_first_and_pages_never_overlap(store: HistoryStore) -> None:
    made = [(await start_conversation(store, "Hello", title=str(n)))[0] for n in range(5)]
    for place in (1, 3):
        await store.set_pinned(made[place].id, True)

    assert [(found.title, found.pinned) for found in await store.conversations()] == [
        *[("3", True), ("1", True)],
        *[("4", False), ("2", False), ("0", False)],
    ]
    pages = [await store.conversations(limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [found.title for page in pages for found in page] == ["3", "1", "4", "2", "0"]
    await store.set_pinned(made[3].id, False)
    assert [found.title for found in await store.conversations()] == ["1", "4", "3", "2", "0"]
    with pytest.raises(UnknownConversationError):
        await store.set_pinned("nobody", True)


async def test_stats_that_are_half_right_are_half_read(store: HistoryStore, database: Path) -> None:
    conversation, _ = await start_conversation(store, "Hi")
    stats = '{"reply_tokens": 4, "sampling": {"temperature": 99}, "later": 1}'
    run_sql(database, "UPDATE messages SET stats = ?", stats)

    [message] = await store.branch(conversation.id)

    assert message.stats == GenerationStats(reply_tokens=4)


async def test_presets_have_names(store: HistoryStore, open_store: OpenStore) -> None:
    presets = Presets(store.database)
    await presets.save("  Pirate ", "Talk like a pirate.")
    await presets.save("editor", "Correct what I write.")
    await presets.save("Pirate", "Arr.\n")
    await presets.save("Nobody", "")

    found = await Presets((await open_store()).database).all()
    assert found == [
        Preset(name="editor", text="Correct what I write."),
        Preset(name="Nobody", text=""),
        Preset(name="Pirate", text="Arr.\n"),
    ]
    await presets.delete("Pirate")
    await presets.delete("Pirate")
    assert [preset.name for preset in await presets.all()] == ["editor", "Nobody"]
    for name, text in (("", "x"), (" \n", "x"), ("x" * 81, "x"), ("x", "x" * 100_001)):
        with pytest.raises(PresetRefusedError, match="1 to 80"):
            await presets.save(name, text)


async def test_preferences_are_any_json(store: HistoryStore, open_store: OpenStore) -> None:
    preferences = Preferences(store.database)
    assert await preferences.get("model", "none yet") == "none yet"

    for value in ("tiny.gguf", {"width": 320, "open": [True, 0.5]}, 0, False):
        await preferences.set("model", value)
        assert await preferences.get("model", "none yet") == value

    await preferences.set("model", None)
    assert await Preferences((await open_store()).database).get("model", "none yet") == "none yet"


def run_sql(database: Path, statement: str, *values: str) -> list[tuple[object, ...]]:
    """What another program does to the file."""
    connection = sqlite3.connect(database)
    try:
        with connection:
            return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


async def test_closing_lets_what_is_under_way_end_and_refuses_what_comes_later(store: HistoryStore) -> None:
    conversation, _ = await start_conversation(store, "Hi")
    reading = [asyncio.create_task(store.branch(conversation.id)) for _ in range(20)]
    await asyncio.sleep(0)
    await store.database.close()
    assert all([len(await each) == 1 for each in reading])
    with pytest.raises(HistoryError, match="shutting down"):
        await store.branch(conversation.id)
