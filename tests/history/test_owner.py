"""Each owner's conversations are theirs alone, whatever is asked of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from localchat_ui.conversation import ChatOptions, Conversation, Message, Role
from localchat_ui.history.database import Database
from localchat_ui.history.errors import HistoryError, UnknownConversationError, UnknownMessageError
from localchat_ui.history.presets import Presets
from localchat_ui.history.store import HistoryStore


class Door:
    """Says who is there."""

    owner: str | None = "anna"

    def __call__(self) -> str | None:
        return self.owner


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
async def store(database_url: str, door: Door) -> AsyncIterator[HistoryStore]:
    store = HistoryStore(await Database(database_url, current_owner=door).open())
    yield store
    await store.database.close()


@pytest.fixture
async def annas(store: HistoryStore, door: Door) -> tuple[Conversation, Message]:
    """Anna's conversation; afterwards somebody else is there."""
    conversation = Conversation(title="Secret plans")
    await store.add_conversation(conversation)
    message = Message(conversation.id, Role.USER, "A secret word")
    await store.add_message(message)
    await store.add_message(Message(conversation.id, Role.ASSISTANT, "Noted.", parent_id=message.id))
    return conversation, message


OTHERS = pytest.mark.parametrize("other", ["ben", None, ""])


@OTHERS
async def test_nothing_of_it_is_read_by_anybody_else(
    store: HistoryStore, door: Door, annas: tuple[Conversation, Message], other: str | None
) -> None:
    conversation, message = annas
    door.owner = other
    assert await store.conversations() == []
    assert await store.conversation(conversation.id) is None
    assert await store.branch(conversation.id) == []
    assert await store.branch(conversation.id, 5, message.id) == []
    assert await store.messages(conversation.id) == []
    assert await store.message(message.id) is None
    assert await store.search("secret") == []
    assert await store.search("plans") == []
    door.owner = "anna"
    assert len(await store.conversations()) == len(await store.search("secret")) == 1
    assert len(await store.branch(conversation.id)) == 2


Attack = Callable[[HistoryStore, Conversation, Message], object]


@OTHERS
@pytest.mark.parametrize(
    "attack",
    [
        lambda store, conversation, message: store.rename(conversation.id, "Mine"),
        lambda store, conversation, message: store.set_options(conversation.id, ChatOptions()),
        lambda store, conversation, message: store.set_pinned(conversation.id, True),
        lambda store, conversation, message: store.delete(conversation.id),
        lambda store, conversation, message: store.restore(conversation.id),
        lambda store, conversation, message: store.fork(conversation.id, message.id),
        lambda store, conversation, message: store.remove_message(message.id),
        lambda store, conversation, message: store.select_version(conversation.id, message.id),
        lambda store, conversation, message: store.delete_message(message.id),
        lambda store, conversation, message: store.restore_message(message.id),
        lambda store, conversation, message: store.add_message(Message(conversation.id, Role.USER, "Hi")),
        lambda store, conversation, message: store.add_conversation(conversation),
        lambda store, conversation, message: store.add_tree(conversation, []),
    ],
)
async def test_nothing_of_it_is_changed_by_anybody_else(
    store: HistoryStore, door: Door, annas: tuple[Conversation, Message], attack: Attack, other: str | None
) -> None:
    conversation, message = annas
    before = await store.conversation(conversation.id), await store.messages(conversation.id)
    door.owner = other
    with pytest.raises((UnknownConversationError, UnknownMessageError, HistoryError)):
        await attack(store, conversation, message)  # type: ignore[misc]
    door.owner = "anna"
    assert (await store.conversation(conversation.id), await store.messages(conversation.id)) == before


async def test_a_fork_and_a_tree_belong_to_who_makes_them(
    store: HistoryStore, door: Door, annas: tuple[Conversation, Message]
) -> None:
    conversation, message = annas
    forked = await store.fork(conversation.id, message.id)
    tree = Conversation(title="Tree")
    await store.add_tree(tree, [])
    door.owner = "ben"
    assert await store.conversation(forked.id) is None
    assert await store.conversation(tree.id) is None


async def test_presets_are_each_ones_own(store: HistoryStore, door: Door) -> None:
    presets = Presets(store.database)
    await presets.save("Poet", "You are a poet.")
    door.owner = "ben"
    assert await presets.all() == []
    await presets.save("Poet", "You rhyme.")
    await presets.delete("Poet")
    door.owner = "anna"
    assert [preset.text for preset in await presets.all()] == ["You are a poet."]


async def test_old_deleted_conversations_of_everybody_are_purged(
    store: HistoryStore, door: Door, annas: tuple[Conversation, Message]
) -> None:
    await store.delete(annas[0].id)
    door.owner = None
    assert await store.purge(timedelta(0)) == 1
