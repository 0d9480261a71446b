"""What was deleted can be looked at, restored, and erased at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from localchat_ui.conversation import Attachment, Message, MessageState, Role
from localchat_ui.history.database import Database
from localchat_ui.history.store import HistoryStore

from .conftest import start_conversation, url_of


async def test_what_was_deleted_is_listed_with_what_comes_back(store: HistoryStore) -> None:
    gone, _ = await start_conversation(store, "Hi", "Hello!", title="Gone")
    kept, messages = await start_conversation(store, "Joke?", "No.", "Please", title="Kept")
    await store.delete_message(messages[1].id)
    await store.delete(gone.id)

    first, second = await store.deleted()
    assert (first.conversation_id, first.title, first.message_id, first.n_messages) == (gone.id, "Gone", None, 2)
    assert (second.conversation_id, second.title, second.n_messages) == (kept.id, "Kept", 2)
    assert (second.message_id, second.excerpt) == (messages[1].id, "No.")

    await store.restore(gone.id)
    await store.restore_message(messages[1].id)
    assert await store.deleted() == []


async def test_a_message_that_was_taken_back_is_not_in_the_trash(store: HistoryStore) -> None:
    conversation, [question] = await start_conversation(store, "Hi")
    waiting = Message(conversation.id, Role.USER, "And?", question.id, MessageState.QUEUED)
    await store.add_message(waiting)
    await store.remove_message(waiting.id)
    assert await store.deleted() == []


async def test_the_trash_of_one_person_is_nobody_elses(database: Path) -> None:
    owner = "anna"
    store = HistoryStore(await Database(url_of(database), current_owner=lambda: owner).open())
    try:
        hers, messages = await start_conversation(store, "Hi", "Hello!")
        await store.delete_message(messages[1].id)
        owner = "ben"
        his, _ = await start_conversation(store, "Hello", "Hi!")
        await store.delete(his.id)
        assert [each.conversation_id for each in await store.deleted()] == [his.id]
        await store.empty_trash()
        assert await store.deleted() == []
        owner = "anna"
        assert [each.conversation_id for each in await store.deleted()] == [hers.id]
        await store.empty_trash()
        assert await store.branch(hers.id) == messages[:1]
        assert await store.purge(timedelta(0)) == 0
    finally:
        await store.database.close()


async def test_files_stay_with_their_message(store: HistoryStore) -> None:
    conversation, [first] = await start_conversation(store, "Hi")
    files = (Attachment(name="a`b.py", size=6, text="x = 1\n", n_tokens=4), Attachment(name="größe", size=0, text="ü"))
    question = Message(conversation.id, Role.USER, "", first.id, attachments=files)
    await store.add_message(question)
    assert (await store.branch(conversation.id))[-1].attachments == files
    fork = await store.fork(conversation.id, question.id)
    assert (await store.branch(fork.id))[-1].attachments == files
