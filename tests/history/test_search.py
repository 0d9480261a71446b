"""What is found, in which order, and that the index never drifts from the texts."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from localchat_ui.conversation import Attachment, Conversation, Message, MessageState, Role
from localchat_ui.history import search
from localchat_ui.history.database import Database
from localchat_ui.history.highlight import Part, Term, highlighted, matches, snippet, terms_of
from localchat_ui.history.store import HistoryStore

from .conftest import start_conversation


@pytest.fixture(params=["with the index", "by reading"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases without the index answer the same; SQLite can play one of them."""
    if request.param == "by reading":
        monkeypatch.setattr(search, "_by_index", search._by_reading)


async def titles(store: HistoryStore, query: str) -> list[str]:
    return [hit.conversation.title for hit in await store.search(query)]


def text_of(parts: list[Part]) -> str:
    return "".join(text for text, _ in parts)


def matched(parts: list[Part]) -> list[str]:
    return [text for text, is_match in parts if is_match]


@pytest.mark.usefixtures("_both_ways")
async def test_titles_come_first_and_then_the_newest(store: HistoryStore) -> None:
    for title, text in [("a", "the Alps"), ("Alpine huts", "Nothing"), ("b", "more of the alps"), ("c", "the sea")]:
        await start_conversation(store, text, "", title=title)

    hits = await store.search("alp")

    assert [hit.conversation.title for hit in hits] == ["Alpine huts", "b", "a"]
    assert (hits[0].title, hits[0].message_id, hits[0].snippet) == ([("Alp", True), ("ine huts", False)], None, [])
    assert hits[1].title == [("b", False)]
    assert hits[1].snippet == [("more of the ", False), ("alp", True), ("s", False)]
    assert [hit.conversation.title for hit in await store.search("alp", limit=1, offset=1)] == ["b"]
    assert await store.search("alp", limit=5, offset=3) == []


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("query", ["glacier", "Müll", "冰川", "C++", "notes.txt", "see 冰"])
async def test_the_text_of_attached_files_is_found(store: HistoryStore, query: str) -> None:
    text = 'The "glacier" of Müll\n冰川 and C++'
    conversation, _ = await start_conversation(store, title="Mountains")
    files = (Attachment(name="other.txt", size=1, text="nothing"), Attachment(name="notes.txt", size=9, text=text))
    message = Message(conversation.id, Role.USER, "Please see", attachments=files)
    await store.add_message(message)

    [hit] = await store.search(query)

    assert hit.message_id == message.id
    assert matched(hit.snippet)
    await store.delete_message(message.id)
    assert not await store.search(query)


@pytest.mark.usefixtures("_both_ways")
async def test_all_words_have_to_be_there_and_the_newest_message_is_told(store: HistoryStore) -> None:
    _, messages = await start_conversation(store, "red wine", "white wine", "red and white WINE", "wine", title="t")

    [hit] = await store.search("wine red whi")

    assert hit.message_id == messages[2].id
    assert matched(hit.snippet) == ["red", "whi", "WINE"]
    assert await store.search("wine blue") == []


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize(
    ("text", "query", "found"),
    [
        ("使用Python编程很有趣", "编程", ["编程"]),
        ("使用Python编程很有趣", "python 有", ["Python", "有"]),
        ("東京タワーに行きました。", "タワー", ["タワー"]),
        ("학교에서 공부했다", "공부", ["공부"]),
        ("สวัสดีชาวโลก", "ชาว", ["ชาว"]),
        ("मुझे हिन्दी पसंद है", "हिन्दी", ["हिन्दी"]),
        ("How fast is C++ here", "c++", ["C++"]),
        ("see issue #5 of it", "#5", ["#5"]),
        ("well done 🎉 indeed", "🎉", ["🎉"]),
        ("family 👩‍👩‍👧 picture", "family 👩‍👩‍👧", ["family", "👩‍👩‍👧"]),
        ("100% sure_thing \\ here", "sure thing", ["sure", "thing"]),
        ("I don't know", "don't", ["don", "t"]),
        ("a b c", "a", ["a"]),
        ("Привет, мир", "ПРИВЕТ", ["Привет"]),
    ],
)
async def test_any_script_and_any_symbol_is_found(
    store: HistoryStore, request: pytest.FixtureRequest, text: str, query: str, found: list[str]
) -> None:
    if query == "ПРИВЕТ" and "by reading" in request.node.name:
        pytest.skip("SQLite's lower() knows ASCII alone; the databases that are read this way know more")
    await start_conversation(store, text)
    await start_conversation(store, "something else entirely")

    [hit] = await store.search(query)

    assert text_of(hit.snippet) == text
    assert matched(hit.snippet) == found


async def test_diacritics_do_not_count(store: HistoryStore) -> None:
    await start_conversation(store, "Ein Café in Zürich", title="decomposed Cafe\u0301")

    [hit] = await store.search("zurich cafe")
    assert matched(hit.snippet) == ["Café", "Zürich"]
    [hit] = await store.search("CAFÉ")
    assert hit.title == [("decomposed ", False), ("Cafe\u0301", True)]


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize(
    "query",
    [
        *[
            "",
            " ",
            "\t\n",
            '"',
            "'",
            '""',
            "*",
            "a*",
            "a OR",
            "NOT",
            "AND a",
            "(",
            "NEAR(a b)",
            "text:a",
            "^a",
            "-a",
            "{a}",
        ],
        *[
            "a\0b",
            "\0",
            "\ud83d",
            "%",
            "_",
            "\\",
            "a" * 100_000,
            "a " * 5000,
            "🙂" * 400,
            "中",
            "\u0301",
            "\u200b",
            ";--",
        ],
        *["=", "+", "a+b", "$1 {x}", "\U0010ffff", "\ue000", "ʼn", "İ", "ß", "²"],
    ],
)
async def test_any_query_is_safe(store: HistoryStore, query: str) -> None:
    await start_conversation(store, "Only this", title="and that")
    hits = await store.search(query)
    assert all(text_of(hit.title) == "and that" for hit in hits)
    if not query.strip():
        assert hits == []


def test_any_text_at_all_is_a_query() -> None:
    loop = asyncio.new_event_loop()
    store = HistoryStore(loop.run_until_complete(Database("sqlite://").open()))

    @settings(max_examples=150, deadline=None, database=None)
    @given(st.text(min_size=1, max_size=60))
    @example("0\x1b|")
    def find_itself(text: str) -> None:
        conversation = Conversation()
        message = Message(conversation.id, Role.USER, text)
        conversation.head_id = message.id
        loop.run_until_complete(store.add_tree(conversation, [message]))
        query = " ".join(text.split()[:3])[:100]
        hits = loop.run_until_complete(store.search(query, limit=10_000))
        assert not terms_of(query) or conversation.id in {hit.conversation.id for hit in hits} or not query.isascii()

    try:
        find_itself()
    finally:
        loop.run_until_complete(store.database.close())
        loop.close()


@pytest.mark.usefixtures("_both_ways")
async def test_only_what_can_be_seen_is_found(store: HistoryStore) -> None:
    conversation, messages = await start_conversation(store, "apple", "pear", "plum", title="fruit")
    hidden_branch = Message(conversation.id, Role.ASSISTANT, "quince", parent_id=messages[0].id)
    await store.add_message(hidden_branch)
    await store.select_version(conversation.id, messages[2].id)
    assert [hit.message_id for hit in await store.search("quince")] == [hidden_branch.id]

    await store.delete_message(messages[1].id)
    assert await store.search("pear") == await store.search("plum") == []
    await store.restore_message(messages[1].id)
    assert [hit.message_id for hit in await store.search("plum")] == [messages[2].id]

    await store.delete(conversation.id)
    assert await store.search("plum") == await store.search("fruit") == []
    await store.restore(conversation.id)
    assert await titles(store, "plum") == await titles(store, "fruit") == ["fruit"]

    await store.rename(conversation.id, "vegetables")
    assert await titles(store, "fruit") == []
    assert await titles(store, "vegetables") == ["vegetables"]


@pytest.mark.usefixtures("_both_ways")
async def test_a_reply_is_found_once_it_is_written(store: HistoryStore) -> None:
    conversation, [question] = await start_conversation(store, "Hi")
    reply = Message(conversation.id, Role.ASSISTANT, "", parent_id=question.id, state=MessageState.WRITING)
    await store.add_message(reply)
    for text in ("walnut", "walnut hazelnut"):
        reply.text = text
        await store.update_message(reply)
        assert await store.search("walnut") == []

    reply.state = MessageState.COMPLETE
    await store.update_message(reply)
    assert [hit.message_id for hit in await store.search("hazelnut")] == [reply.id]
    reply.text = "almond"
    await store.update_message(reply)
    assert await store.search("hazelnut") == []
    assert [hit.message_id for hit in await store.search("almond")] == [reply.id]


async def test_the_index_keeps_nothing_of_what_was_erased(store: HistoryStore, database: Path) -> None:
    conversation, messages = await start_conversation(store, "apple", "pear", "日本語", title="fruit")
    await store.delete_message(messages[2].id)
    await store.restore_message(messages[2].id)
    await start_conversation(store, "kept", title="other")
    await store.delete(conversation.id)
    await store.purge(timedelta(0))

    connection = sqlite3.connect(database)
    with connection:
        assert connection.execute("SELECT count(*) FROM search_entries").fetchall() == [(2,)]
        connection.execute("INSERT INTO search_index (search_index) VALUES ('integrity-check')")
        connection.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, search_index, row)")
        assert connection.execute("SELECT term FROM temp.words").fetchall() == [("kept",), ("other",)]
        connection.execute("DROP TABLE temp.words")
    connection.execute("VACUUM")
    connection.close()
    assert await titles(store, "kept") == ["other"]


@pytest.mark.parametrize("write", [highlighted, snippet])
@pytest.mark.parametrize("text", ["", "x", "İstanbul ſtraße", "e\u0301" * 50, "word " * 100, "w" * 500, "🙂" * 300])
def test_parts_put_together_are_the_text(write: Callable[[str, list[Term]], list[Part]], text: str) -> None:
    for query in ("wor", "e", "istanbul", "strasse", "🙂", "zzz"):
        parts = write(text, terms_of(query))
        whole = text_of(parts)
        assert whole == text if write is highlighted else whole.strip("…") in text
        assert all(part for part, _ in parts)


def test_a_snippet_is_cut_at_words_around_the_first_match() -> None:
    text = "one two three four\n" * 10 + "the needle is here\n" + "five six seven eight\n" * 20

    parts = snippet(text, terms_of("needle"))

    assert matched(parts) == ["needle"]
    assert text_of(parts).startswith("…two three four one two three four the needle is here five")
    assert text_of(parts).endswith(" eight…") or parts[-1] == ("…", False)
    assert len(text_of(parts)) < 170


def test_matches_begin_where_words_do() -> None:
    text = "category, cat and concat"
    assert matches(text, [Term("cat")]) == [(10, 13)]
    assert matches(text, [Term("cat", is_prefix=True)]) == [(0, 3), (10, 13)]
    assert matches(text, terms_of("cat catego")) == [(0, 6), (10, 13)]


def test_postgresql_can_be_asked_the_same() -> None:
    statement = search._by_reading(terms_of("50% of C++"), search._said(is_sqlite=False))
    written = str(statement.compile(dialect=postgresql.dialect()))
    assert written.count("ILIKE") >= 6
    assert "search_" not in written
