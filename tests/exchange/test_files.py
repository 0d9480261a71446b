"""Files go out and come back the same; hostile ones are refused in one sentence, and change nothing."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localchat_ui.conversation import Conversation, GenerationStats, Message, MessageState, Role, utc_now
from localchat_ui.exchange import (
    EXPORTS,
    FORMATS,
    ImportRefusedError,
    export_file,
    files,
    import_file,
    read_file,
    trees,
)
from localchat_ui.exchange.formats import localchat
from localchat_ui.history.errors import HistoryError, UnknownConversationError
from localchat_ui.history.store import HistoryStore

from .conftest import START, a_tree, exported
from .test_chatgpt import CHATGPT, node


def without_ids(conversation: Conversation, messages: list[Message]) -> tuple[object, ...]:
    places: dict[str | None, int | None] = {message.id: place for place, message in enumerate(messages)}
    places[None] = None
    return (
        replace(conversation, id="", head_id=None),
        places[conversation.head_id],
        [(replace(m, id="", conversation_id="", parent_id=None), places[m.parent_id]) for m in messages],
    )


async def test_json_brings_back_everything_under_new_ids(store: HistoryStore) -> None:
    conversation, messages = a_tree()
    await store.add_tree(conversation, messages)

    report = await import_file(store, (await exported(store, conversation.id)).encode())

    [copy_of_it] = report.imported
    assert str(report) == "1 of 1 conversation imported."
    copies = await store.messages(copy_of_it.id)
    assert without_ids(copy_of_it, copies) == without_ids(conversation, messages)
    assert await store.conversation(copy_of_it.id) == copy_of_it
    assert copy_of_it.id != conversation.id
    assert not {message.id for message in copies} & {message.id for message in messages}
    assert await store.messages(conversation.id) == messages
    assert len((await import_file(store, (await exported(store)).encode())).imported) == 2


TEXTS = st.text(max_size=20)
MESSAGES = st.lists(
    st.tuples(
        TEXTS,
        TEXTS,
        st.sampled_from([Role.SYSTEM, Role.USER, Role.ASSISTANT]),
        st.sampled_from([MessageState.COMPLETE, MessageState.STOPPED]),
        st.floats(0, 9),
    ),
    max_size=8,
)


@settings(max_examples=50, deadline=None, database=None)
@given(TEXTS, MESSAGES, st.randoms(use_true_random=False))
def test_any_tree_goes_through_json(title: str, parts: list[tuple[Any, ...]], random: Any) -> None:
    conversation = Conversation(title)
    messages: list[Message] = []
    for text, thinking, role, state, seconds in parts:
        parent = random.choice([None, *messages])
        stats = GenerationStats(seconds_to_first_token=seconds)
        made = START + timedelta(seconds=len(messages))
        message = Message(conversation.id, role, text, parent and parent.id, state, text, thinking, stats, thinking)
        messages.append(replace(message, created_at=made))
    conversation.head_id = random.choice(messages).id if messages else None

    written = localchat.write([trees.Tree(conversation, messages)])
    [tree] = read_file(written.encode()).trees

    back = sorted(tree.messages, key=lambda message: message.created_at)
    assert without_ids(tree.conversation, back) == without_ids(conversation, messages)


async def test_a_reply_still_being_written_comes_back_interrupted(store: HistoryStore) -> None:
    conversation, messages = a_tree()
    messages[1].state = MessageState.WRITING
    await store.add_tree(conversation, messages)
    await import_file(store, (await exported(store)).encode())
    [imported] = [found for found in await store.conversations() if found.id != conversation.id]
    assert (await store.branch(imported.id))[-1].state is MessageState.INTERRUPTED


@pytest.mark.parametrize(
    ("title", "name"),
    [("Trip: Rome/Paris?", "Trip Rome Paris"), ("../../etc", "etc"), ("", "conversation"), ("日本 🙂", "日本")],
)
async def test_files_get_names_that_any_system_takes(store: HistoryStore, title: str, name: str) -> None:
    conversation = Conversation(title)
    await store.add_conversation(conversation)
    assert (await export_file(store, "md", conversation.id))[0] == f"{name}.md"
    assert (await export_file(store, "json"))[0] == "conversations.json"


async def test_what_is_not_there_cannot_be_exported(store: HistoryStore) -> None:
    for extension in EXPORTS:
        with pytest.raises(UnknownConversationError):
            await export_file(store, extension, "nobody")
    assert json.loads(await exported(store))["conversations"] == []
    assert await exported(store, extension="md") == ""


async def test_bad_conversations_are_skipped_and_told_and_the_good_ones_kept(
    store: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "MAX_MESSAGES", 100)

    def broken(title: str, **changes: Any) -> dict[str, Any]:
        item = copy.deepcopy(CHATGPT)
        item.update(title=title, **changes)
        return item

    circle = {"a": node("user", "1", "b"), "b": node("user", "2", "a")}
    items = [
        CHATGPT,
        broken("Circle", mapping=circle),
        broken("Silent", mapping={"a": node(None)}),
        broken("Full", mapping={str(n): {} for n in range(101)}),
        broken("Odd", mapping=7),
        {"title": None},
        "text",
    ]

    report = await import_file(store, json.dumps(items).encode())

    assert [found.title for found in await store.conversations()] == ["Mountains"]
    assert str(report).startswith("1 of 7 conversations imported. 6 of 7 conversations were skipped: “Circle”: its ")
    told = "\n".join(report.skipped)
    for reason in (
        "answer each other in a circle",
        "no text in it",
        "more than 100 messages",
        "valid dictionary",
        "no conversation",
    ):
        assert reason in told
    assert told.count("one without a title") == 2


async def test_a_format_is_added_by_adding_it_to_the_list(store: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(content: Any) -> trees.Reading | None:
        if "lines" not in content:
            return None
        conversation = Conversation("Poem")
        message = Message(conversation.id, Role.USER, "\n".join(content["lines"]))
        conversation.head_id = message.id
        return trees.Reading([trees.Tree(conversation, [message])])

    poems = trees.Format("a poem", read, "Poem", "poem", "text/plain", lambda found: found[0].branch[0].text)
    monkeypatch.setattr(files, "FORMATS", (*FORMATS, poems))
    monkeypatch.setitem(EXPORTS, "poem", poems)
    await import_file(store, b'{"lines": ["Roses", "are red"]}')
    assert await export_file(store, "poem") == ("conversations.poem", "Roses\nare red")
    with pytest.raises(ImportRefusedError, match=r"neither an export of localchat_ui nor .* of ChatGPT nor a poem"):
        await import_file(store, b"{}")


def ours(**changes: Any) -> dict[str, Any]:
    conversation, messages = a_tree()
    archive: dict[str, Any] = json.loads(localchat.write([trees.Tree(conversation, messages)]))
    [first] = archive["conversations"]
    first["messages"][0].update(changes.pop("message", {}))
    first.update(changes.pop("conversation", {}))
    archive.update(changes)
    return archive


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe\xfa", "not JSON"),
        (b"[{", "not JSON"),
        (b"PK\x03\x04...", "Unpack it"),
        (b"[" * 100_000, "nested too deeply|not JSON"),
        (b"9" * 5000, "not JSON|neither"),
        (b"[]", "no conversation"),
        (b"{}", "neither"),
        (b"null", "neither"),
        (b"[1, 2]", "neither"),
        (b'{"format": "localchat_ui"}', "newer version"),
        (b'{"format": "localchat_ui", "version": 1}', "neither"),
        (ours(version=3), "newer version"),
        (ours(conversations=[]), "no conversation"),
        (ours(conversations=[1, None]), "2 of 2 conversations were skipped: one without a title"),
        (ours(conversation={"head": "nobody"}), "“Größe 🙂”: the message it ends with is not in the file"),
        (ours(conversation={"messages": 7}), "messages: input should be a valid list"),
        (ours(conversation={"options": {"temperature": 99}}), "temperature"),
        (ours(conversation={"surprise": 1}), "surprise"),
        (ours(conversation={"title": "x" * 5000}), "title"),
        (ours(conversation={"created_at": "2024-02-29T08:30:00"}), "timezone"),
        (ours(conversation={"created_at": float("nan")}), "created_at"),
        (ours(conversation={"updated_at": "0001-01-01T00:00:00Z"}), "no plausible time"),
        (ours(message={"role": "tool"}), "role"),
        (ours(message={"text": None}), "text"),
        (ours(message={"parent": "nobody"}), "not in the file"),
        (ours(message={"id": "x" * 500}), "id"),
        (ours(message={"created_at": "9999-12-31T23:59:59-12:00"}), "no plausible time"),
    ],
)
async def test_a_hostile_file_is_refused_in_a_sentence(store: HistoryStore, data: Any, reason: str) -> None:
    with pytest.raises(ImportRefusedError, match=reason) as caught:
        await import_file(store, data if isinstance(data, bytes) else json.dumps(data).encode())
    assert len(str(caught.value)) < 300
    assert await store.conversations() == []


def test_trees_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    chain: dict[str, str | None] = {str(n): str(n - 1) if n else None for n in range(3000)}
    assert trees.parents_first(dict(reversed(chain.items()))) == list(chain)
    monkeypatch.setattr(trees, "MAX_DEPTH", 100)
    with pytest.raises(trees.SkippedError, match="more than 100 messages hang below"):
        trees.parents_first(chain)
    monkeypatch.setattr(trees, "MAX_MESSAGES", 100)
    with pytest.raises(trees.SkippedError, match="more than 100 messages"):
        trees.parents_first(chain)


async def test_a_time_in_the_future_becomes_now(store: HistoryStore) -> None:
    archive = ours(conversation={"updated_at": "2999-01-01T00:00:00Z"})
    [conversation] = (await import_file(store, json.dumps(archive).encode())).imported
    assert conversation.updated_at <= utc_now()


async def test_what_cannot_be_saved_is_told(store: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise HistoryError("The disk is full.")

    archive = ours()
    archive["conversations"] *= 3
    keep = store.add_tree
    monkeypatch.setattr(store, "add_tree", full)
    with pytest.raises(ImportRefusedError, match="3 of 3 conversations were skipped: The disk is full"):
        await import_file(store, json.dumps(archive).encode())

    async def full_soon(*tree: Any) -> None:
        monkeypatch.setattr(store, "add_tree", full)
        await keep(*tree)

    monkeypatch.setattr(store, "add_tree", full_soon)
    report = await import_file(store, json.dumps(archive).encode())
    assert (len(report.imported), len(report.skipped)) == (1, 2)
    assert len(await store.conversations()) == 1


@settings(max_examples=200, deadline=None, database=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["mapping", "message", "parent", "a", "author", "role", "content", "parts", "title"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=25,
    )
)
def test_any_json_is_read_or_refused(content: Any) -> None:
    for shape in (
        content,
        [{"mapping": content}],
        [{"mapping": {"a": {"message": content}}}],
        ours(conversations=[content]),
    ):
        try:
            read_file(json.dumps(shape).encode())
        except ImportRefusedError as error:
            assert str(error)  # noqa: PT017
