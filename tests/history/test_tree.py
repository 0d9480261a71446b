"""Branches, versions, deleting with undo, forks: what can be done to the tree, and what always holds."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localchat_ui.conversation import ChatOptions, Conversation, Message, MessageState, Role, Version
from localchat_ui.history import tree
from localchat_ui.history.database import Database
from localchat_ui.history.errors import UnknownConversationError, UnknownMessageError
from localchat_ui.history.store import HistoryStore

from .conftest import start_conversation


async def answer(store: HistoryStore, to: Message, text: str) -> Message:
    role = Role.USER if to.role is Role.ASSISTANT else Role.ASSISTANT
    message = Message(to.conversation_id, role, text, parent_id=to.id)
    await store.add_message(message)
    return message


async def shown(store: HistoryStore, conversation: Conversation) -> list[str]:
    return [message.text for message in await store.branch(conversation.id)]


async def test_a_long_branch_is_read_from_its_end(store: HistoryStore) -> None:
    conversation, messages = await start_conversation(store, *(str(n) for n in range(10)))

    assert await store.branch(conversation.id, limit=4) == messages[6:]
    assert await store.branch(conversation.id, limit=4, before=messages[6].id) == messages[2:6]
    assert await store.branch(conversation.id, limit=4, before=messages[2].id) == messages[:2]
    assert await store.branch(conversation.id, before=messages[0].id) == []
    assert await store.branch(conversation.id, before="nobody") == []
    assert await store.branch(conversation.id, limit=0) == []
    assert await store.branch(conversation.id, limit=99) == messages
    other, _ = await start_conversation(store, "Hi")
    assert await store.branch(other.id, before=messages[6].id) == []


async def test_every_message_knows_which_of_its_versions_it_is(
    store: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation, [question, first] = await start_conversation(store, "Joke?", "No.")
    second = await answer(store, question, "Well,")
    third = await answer(store, question, "Knock knock")
    start_again = Message(conversation.id, Role.USER, "Hello")
    await store.add_message(start_again)
    await store.select_version(conversation.id, second.id)
    await start_conversation(store, "of somebody else")

    expected = {
        question.id: Version(1, 2, None, start_again.id),
        second.id: Version(2, 3, first.id, third.id),
    }
    branch = await store.branch(conversation.id)
    assert await store.versions(branch) == expected
    assert await store.versions(branch[1:]) == {second.id: expected[second.id]}
    assert await store.versions([]) == {}
    monkeypatch.setattr(tree, "MAX_PARAMETERS", 1)
    assert await store.versions(branch) == expected


async def test_another_version_is_shown_down_to_where_it_was_left(store: HistoryStore) -> None:
    conversation, [question, first] = await start_conversation(store, "Joke?", "No.")
    please = await answer(store, first, "Please")
    await answer(store, please, "Fine")
    await answer(store, please, "Never")
    second = await answer(store, question, "Knock knock")
    assert await shown(store, conversation) == ["Joke?", "Knock knock"]

    await store.select_version(conversation.id, first.id)
    assert await shown(store, conversation) == ["Joke?", "No.", "Please", "Never"]
    never = (await store.branch(conversation.id))[-1]
    fine = (await store.versions([never]))[never.id].previous_id
    assert fine
    await store.select_version(conversation.id, fine)
    await store.select_version(conversation.id, second.id)
    await store.select_version(conversation.id, first.id)

    assert await shown(store, conversation) == ["Joke?", "No.", "Please", "Fine"]
    await store.select_version(conversation.id, question.id)
    assert await shown(store, conversation) == ["Joke?", "No.", "Please", "Fine"]


async def test_a_deleted_message_takes_what_hangs_on_it_along_and_comes_back_with_it(store: HistoryStore) -> None:
    conversation, messages = await start_conversation(store, "Hi", "Hello!", "Joke?", "No.", "Please")

    assert await store.delete_message(messages[2].id) == 3

    assert await shown(store, conversation) == ["Hi", "Hello!"]
    assert await store.message(messages[4].id) is None
    assert await store.messages(conversation.id) == messages[:2]
    for gone in messages[2:]:
        with pytest.raises(UnknownMessageError):
            await store.select_version(conversation.id, gone.id)
        with pytest.raises(UnknownMessageError):
            await answer(store, gone, "?")
        with pytest.raises(UnknownMessageError):
            await store.delete_message(gone.id)
    with pytest.raises(UnknownMessageError):
        await store.restore_message(messages[3].id)
    messages[4].text = "Pretty please"  # was still being written
    await store.update_message(messages[4])

    assert await store.restore_message(messages[2].id) == 3
    assert await store.restore_message(messages[2].id) == 0, "a second click"
    assert await store.branch(conversation.id) == messages


async def test_deleting_shows_the_version_beside_it(store: HistoryStore) -> None:
    conversation, [question, first, more] = await start_conversation(store, "Joke?", "No.", "Please")
    second = await answer(store, question, "Knock knock")

    await store.delete_message(second.id)
    assert await store.branch(conversation.id) == [question, first, more]
    await store.restore_message(second.id)
    assert await store.branch(conversation.id) == [question, second]
    await store.delete_message(first.id)
    assert await store.branch(conversation.id) == [question, second], "what is not shown goes without a change"
    assert (await store.versions([second]))[second.id] == Version(1, 1, None, None)


async def test_a_conversation_without_messages_is_not_listed_but_goes_on(store: HistoryStore) -> None:
    conversation, [question, _] = await start_conversation(store, "Hi", "Hello!")
    await store.delete_message(question.id)

    found = await store.conversation(conversation.id)
    assert found
    assert found.head_id is None
    assert await store.conversations() == []
    assert await store.branch(conversation.id) == []
    await store.restore_message(question.id)
    assert await shown(store, conversation) == ["Hi", "Hello!"]


async def test_what_was_deleted_twice_comes_back_with_the_later_one(store: HistoryStore) -> None:
    conversation, messages = await start_conversation(store, "Hi", "Hello!", "Joke?", "No.")
    await store.delete_message(messages[2].id)
    await store.delete_message(messages[0].id)

    assert await store.restore_message(messages[2].id) == 0
    assert await store.branch(conversation.id) == []
    assert await store.restore_message(messages[0].id) == 4
    assert await store.branch(conversation.id) == messages


async def test_purge_erases_deleted_messages_for_good(store: HistoryStore, database: Path) -> None:
    conversation, messages = await start_conversation(store, "Hi", "Hello!", "Joke?", "No.", "Please")
    await store.delete_message(messages[4].id)
    await store.delete_message(messages[2].id)
    await store.purge(timedelta(hours=1))
    assert await store.restore_message(messages[2].id) == 2

    await store.delete_message(messages[2].id)
    await store.purge(timedelta(0))

    with pytest.raises(UnknownMessageError):
        await store.restore_message(messages[2].id)
    assert await store.messages(conversation.id) == messages[:2]
    connection = sqlite3.connect(database)
    assert connection.execute("SELECT count(*) FROM messages").fetchall() == [(2,)]
    assert connection.execute("SELECT count(*) FROM search_entries").fetchall() == [(3,)]
    connection.close()


async def test_a_fork_goes_its_own_way(store: HistoryStore) -> None:
    options = ChatOptions(top_k=3, system_prompt="Sing.")
    conversation, messages = await start_conversation(store, "Hi", "Hello!", "Joke?", "No.", title="Talk")
    await store.set_options(conversation.id, options)
    await answer(store, messages[0], "another version")
    messages[3].state, messages[3].thinking = MessageState.WRITING, "hm"
    await store.update_message(messages[3])

    fork = await store.fork(conversation.id, messages[3].id)

    copies = await store.branch(fork.id)
    assert await store.conversation(fork.id) == fork
    assert (fork.title, fork.options, fork.head_id) == ("Talk (2)", options, copies[-1].id)
    assert [message.text for message in copies] == ["Hi", "Hello!", "Joke?", "No."]
    assert (copies[3].state, copies[3].thinking) == (MessageState.INTERRUPTED, "hm")
    assert await store.messages(fork.id) == copies
    assert not {message.id for message in copies} & {message.id for message in messages}
    assert (await store.fork(fork.id, copies[0].id)).title == "Talk (3)"
    assert await shown(store, conversation) == ["Hi", "another version"]


async def test_a_tree_is_kept_whole_or_not_at_all(store: HistoryStore) -> None:
    conversation = Conversation("From elsewhere", pinned=True)
    first = Message(conversation.id, Role.USER, "1")
    second = Message(conversation.id, Role.USER, "2", parent_id=first.id)
    for head, messages in ((None, [second, first]), ("nobody", [first]), (None, [first, Message("x", Role.USER, "!")])):
        conversation.head_id = head
        with pytest.raises(UnknownMessageError):
            await store.add_tree(conversation, messages)
    assert await store.conversation(conversation.id) is None

    conversation.head_id = first.id
    await store.add_tree(conversation, [first, second])

    assert await store.conversations() == [conversation]
    assert await store.branch(conversation.id) == [first]
    assert await store.messages(conversation.id) == [first, second]


async def test_changes_to_what_is_not_there_say_so(store: HistoryStore) -> None:
    conversation, [message] = await start_conversation(store, "Hi")
    other, [elsewhere] = await start_conversation(store, "Hi")
    for change in (store.fork, store.select_version):
        with pytest.raises(UnknownMessageError):
            await change(conversation.id, elsewhere.id)
        with pytest.raises(UnknownConversationError):
            await change("nobody", message.id)
    await store.delete(other.id)
    for undo in (store.delete_message, store.restore_message):
        with pytest.raises(UnknownMessageError):
            await undo("nobody")
        with pytest.raises(UnknownMessageError):
            await undo(elsewhere.id)


class Twins:
    """A conversation in the store and a simple model of its tree, to which the same is done."""

    def __init__(self, store: HistoryStore) -> None:
        self.store = store
        self.conversation = Conversation()
        self.parents: dict[str, str | None] = {}
        self.hidden: dict[str, str] = {}
        self.shown: list[str] = []  # the last is the latest
        self.head: str | None = None

    async def add(self, parent: str | None) -> None:
        message = Message(self.conversation.id, Role.USER, "?", parent)
        await self.store.add_message(message)
        self.parents[message.id] = parent
        self.show(message.id)

    async def delete(self, node: str) -> None:
        gone = [other for other in self.below(node) if other not in self.hidden]
        assert await self.store.delete_message(node) == len(gone)
        self.hidden.update(dict.fromkeys(gone, node))
        if self.head in gone:
            self.show(self.leaf(self.parents[node]))

    async def restore(self, node: str) -> None:
        back = [other for other, by in self.hidden.items() if by == node]
        above = self.hidden.get(str(self.parents[node]))
        assert await self.store.restore_message(node) == (0 if above else len(back))
        for other in back:
            del self.hidden[other]
            if above:
                self.hidden[other] = above
        if back and not above:
            self.show(self.leaf(node))

    async def select(self, node: str) -> None:
        await self.store.select_version(self.conversation.id, node)
        self.show(self.leaf(node))

    def may(self, operation: str, node: str) -> bool:
        return node not in self.hidden or (operation == "restore" and self.hidden[node] == node)

    def below(self, top: str | None) -> list[str]:
        children = [node for node, parent in self.parents.items() if parent == top]
        return ([] if top is None else [top]) + [node for child in children for node in self.below(child)]

    def leaf(self, top: str | None) -> str | None:
        visible = [node for node in self.below(top) if node not in self.hidden]
        inner = {self.parents[node] for node in visible}
        return max((node for node in visible if node not in inner), key=self.last_shown, default=None)

    def last_shown(self, node: str) -> int:
        return max(place for place, shown in enumerate(self.shown) if shown == node)

    def show(self, node: str | None) -> None:
        self.head = node
        self.shown += [node] if node else []

    def branch(self) -> list[str]:
        path, at = [], self.head
        while at is not None:
            path.append(at)
            at = self.parents[at]
        return path[::-1]

    async def check(self) -> None:
        assert [message.id for message in await self.store.branch(self.conversation.id)] == self.branch()
        messages = await self.store.messages(self.conversation.id)
        assert {message.id for message in messages} == self.parents.keys() - self.hidden.keys()
        for message_id, version in (await self.store.versions(messages)).items():
            family = [other.id for other in messages if other.parent_id == self.parents[message_id]]
            assert (version.number, version.count) == (family.index(message_id) + 1, len(family))


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "root", "delete", "restore", "select"]), st.integers(0, 30)),
    max_size=20,
)


def test_the_tree_does_what_a_simple_model_of_it_does() -> None:
    see_that_the_tree_does_what_a_simple_model_of_it_does("sqlite://")


def see_that_the_tree_does_what_a_simple_model_of_it_does(database_url: str) -> None:
    loop = asyncio.new_event_loop()
    store = HistoryStore(loop.run_until_complete(Database(database_url).open()))

    @settings(max_examples=60, deadline=None, database=None)
    @given(OPERATIONS)
    def compare(operations: list[tuple[str, int]]) -> None:
        loop.run_until_complete(do_to_both(Twins(store), operations))

    try:
        compare()
    finally:
        loop.run_until_complete(store.database.close())
        loop.close()


async def do_to_both(twins: Twins, operations: list[tuple[str, int]]) -> None:
    await twins.store.add_conversation(twins.conversation)
    await twins.add(None)
    for operation, number in operations:
        node = list(twins.parents)[number % len(twins.parents)]
        if operation == "root":
            await twins.add(None)
        elif twins.may(operation, node):
            await getattr(twins, operation)(node)
        else:
            with pytest.raises(UnknownMessageError):
                await getattr(twins, operation)(node)
        await twins.check()
