"""The list of conversations, as far as the server knows it: what is sent to it, and what comes of what it says."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from nicegui import ui
from nicegui.testing import UserInteraction

from localchat_ui.chat import ChatService
from localchat_ui.conversation import Conversation
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.search import SearchHit
from localchat_ui.ui.components import conversation_list
from localchat_ui.ui.components.conversation_rows import Row, changes
from localchat_ui.ui.dates import age_of
from tests.ui.conftest import Program, Visitor, text_of, until

HOSTILE = '"><img src=x onerror=alert(1)>/../\u202e ${1} {{ 1 }}'
CHATGPT = [
    {
        "title": "From elsewhere",
        "create_time": 1_700_000_000.0,
        "mapping": {
            "root": {"id": "root", "parent": None, "message": None},
            "one": {
                "id": "one",
                "parent": "root",
                "message": {
                    "author": {"role": "user"},
                    "create_time": 1_700_000_000.0,
                    "content": {"content_type": "text", "parts": ["How tall is a giraffe?"]},
                },
            },
        },
        "current_node": "one",
    }
]


# What is sent


def test_a_list_becomes_the_other_whatever_changed_and_however_often_it_is_told() -> None:
    chance = random.Random(7)
    before = [_row(str(number)) for number in range(12)]
    for _ in range(300):
        after = [dict(row) for row in before]
        for _ in range(chance.randrange(4)):
            _change(after, chance)
        puts, drops = changes(before, after)  # type: ignore[arg-type]
        assert _applied(before, puts, drops) == after
        assert _applied(after, puts, drops) == after
        before = after  # type: ignore[assignment]


def test_what_stayed_where_it_was_is_not_sent() -> None:
    rows = [_row(str(number)) for number in range(100)]
    assert changes(rows, rows) == ([], [])
    risen = [rows[70], *rows[:70], *rows[71:]]
    assert changes(rows, risen) == ([(0, rows[70])], [])
    assert changes(rows, rows[:40] + rows[41:]) == ([], ["40"])
    assert changes(rows[:50], rows[:52]) == ([(50, rows[50]), (51, rows[51])], [])
    renamed: Row = {**rows[3], "title": "Another"}
    assert changes(rows, [*rows[:3], renamed, *rows[4:]]) == ([(3, renamed)], [])


@pytest.mark.parametrize(
    ("day", "age"),
    [
        ((2026, 3, 10), "Today"),
        ((2026, 3, 11), "Today"),  # a clock that was wrong
        ((2026, 3, 9), "Yesterday"),
        ((2026, 3, 8), "Previous 7 days"),
        ((2026, 3, 3), "Previous 7 days"),
        ((2026, 3, 2), "Previous 30 days"),
        ((2026, 2, 8), "Previous 30 days"),
        ((2026, 2, 7), "February 2026"),
        ((2025, 12, 31), "December 2025"),
    ],
)
def test_headings_go_by_the_day(day: tuple[int, int, int], age: str) -> None:
    midnight = datetime(*day).astimezone()
    for moment in (midnight, midnight.replace(hour=23, minute=59)):
        assert age_of(moment.astimezone(timezone.utc), date(2026, 3, 10)) == age


async def test_a_message_sends_the_row_it_moved_and_no_other(running: Program) -> None:
    me, friend = await visit(running), await visit(running)
    await say_in_new_chats(me, "One", "Two", "Three")
    await until(lambda: friend.titles == ["Three", "Two", "One"] and not friend.being_written)
    friend.scripts.clear()
    me.open_link("One")
    await until(lambda: me.articles[:1] == [("You", "One")])
    me.say("Go on")
    await until(lambda: friend.titles == ["One", "Three", "Two"] and not friend.being_written)
    applied = [script for script in friend.scripts if '"apply"' in script]
    assert applied
    assert all("Two" not in script and "Three" not in script for script in applied)


async def test_many_changes_at_once_are_read_together(running: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    me = await visit(running)
    await say_in_new_chats(me, "One")
    readings = 0
    read = ChatService.conversations

    async def count(self: ChatService, limit: int = 50, offset: int = 0) -> list[Conversation]:
        nonlocal readings
        readings += 1
        await asyncio.sleep(0.05)
        return await read(self, limit, offset)

    monkeypatch.setattr(ChatService, "conversations", count)
    for number in range(20):
        me.rename("One", f"Number {number}")
    await until(lambda: me.titles != ["One"])
    await asyncio.sleep(1)
    assert me.titles == [conversation.title for conversation in await read(service_of(me))]
    assert readings < 20


# Pins


async def test_what_is_pinned_stands_first_under_a_heading_of_its_own(running: Program) -> None:
    me, friend = await visit(running), await visit(running)
    await say_in_new_chats(me, "One", "Two", "Three")
    me.choose_from_menu("One", "Pin")
    await until(lambda: me.titles == friend.titles == ["One", "Three", "Two"])
    assert [row["group"] for row in friend.rows.rows] == ["Pinned", "Today", "Today"]
    me.choose_from_menu("One", "Unpin")
    await until(lambda: me.titles == friend.titles == ["Three", "Two", "One"])
    assert {row["group"] for row in friend.rows.rows} == {"Today"}


# Search


async def test_search_finds_titles_and_texts_and_marks_what_matched(running: Program) -> None:
    me = await visit(running)
    running.engine.enqueue("Bake it at 230 degrees.")
    await say_in_new_chats(me, "Bread")
    await say_in_new_chats(me, "Tea")
    search(me, "bake degr")
    await until(lambda: answers(me))
    [(ticket, [hit], outcome)] = answers(me)
    assert (ticket, outcome) == (1, "1 conversation found")
    assert hit["title"] == [["Bread", False]]
    assert hit["text"] == [["Bake", True], [" it at 230 ", False], ["degr", True], ["ees.", False]]
    open_hit(me, hit)
    await until(lambda: [text for _, text in me.articles] == ["Bread", "Bake it at 230 degrees."])
    await until(lambda: me.scripts[-1] == f'localchat.scrolling.reach({json.dumps(hit["message"])}, ["walrus"])')


async def test_an_answer_that_is_late_is_not_sent(running: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    find = ChatService.search

    async def dawdle(self: ChatService, query: str, limit: int = 20, offset: int = 0) -> list[SearchHit]:
        hits = await find(self, query, limit, offset)
        await asyncio.sleep(0.3 if query == "One" else 0)
        return hits

    monkeypatch.setattr(ChatService, "search", dawdle)
    me = await visit(running)
    await say_in_new_chats(me, "One", "Two")
    search(me, "One", ticket=1)
    search(me, "Two", ticket=2)
    await until(lambda: answers(me))
    await asyncio.sleep(0.5)
    assert [ticket for ticket, _, _ in answers(me)] == [2]


async def test_a_search_that_fails_says_why(running: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise HistoryError("The disk is gone.")

    monkeypatch.setattr(ChatService, "search", fail)
    me = await visit(running)
    search(me, "One")
    await until(lambda: any('"fail", [1,"The disk is gone."]' in script for script in me.scripts))


async def test_a_message_found_on_another_branch_is_shown_on_it(running: Program) -> None:
    me = await visit(running)
    running.engine.enqueue("A walrus.")
    running.engine.enqueue(error="Out of order.")
    running.engine.enqueue("A seal.")
    me.say("Name an animal")
    await me.sees_reply("A walrus.")
    await reply_once_more(me)
    search(me, "walrus")
    await until(lambda: answers(me))
    [(_, [hit], _)] = answers(me)
    open_hit(me, hit)
    await until(lambda: me.articles[-1][1] == "A walrus.")


# Files


async def test_one_conversation_or_all_are_downloaded_under_a_harmless_name(
    running: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = await visit(running)
    await say_in_new_chats(me, "One", "Two")
    me.rename("One", HOSTILE)
    await until(lambda: HOSTILE in me.titles)
    files: list[tuple[str, bytes]] = []
    monkeypatch.setattr(ui.download, "content", lambda text, name, _: files.append((name, text)))

    me.choose_from_menu(HOSTILE, "Markdown")
    await until(lambda: len(files) == 1)
    me.choose_from_menu("Two", "Json")
    await until(lambda: len(files) == 2)
    assert not set('<>"/\\{}$') & set(files[0][0])
    assert files[0][0].endswith(".md")
    assert f"# {HOSTILE}" in files[0][1]
    assert files[1][0] == "Two.json"
    assert [each["title"] for each in json.loads(files[1][1])["conversations"]] == ["Two"]

    files.clear()
    press_in_menu(me, "Export all as JSON")
    press_in_menu(me, "Export all as Markdown")
    await until(lambda: len(files) == 2)
    assert {name for name, _ in files} == {"conversations.json", "conversations.md"}
    exported = next(text for name, text in files if name.endswith("json"))
    assert {each["title"] for each in json.loads(exported)["conversations"]} == {HOSTILE, "Two"}


async def test_what_was_exported_comes_in_again_with_a_report(running: Program, tmp_path: Path) -> None:
    me, friend = await visit(running), await visit(running)
    assert await import_(me, json.dumps(CHATGPT)) == "1 of 1 conversation imported."
    await until(lambda: me.titles == friend.titles == ["From elsewhere"])
    assert me.rows.rows[0]["group"] == "November 2023"

    broken = [*CHATGPT, {"title": HOSTILE, "mapping": {"one": {"parent": "two", "message": None}}}]
    report = await import_(me, json.dumps(broken))
    assert report.startswith("1 of 2 conversations imported. 1 of 2 conversations was skipped: ")
    assert HOSTILE[:20] in report
    await until(lambda: me.titles == friend.titles == ["From elsewhere", "From elsewhere"])


@pytest.mark.parametrize("content", ["", "[", "{}", "[]", "PK\x03\x04", "[" * 100_000])
async def test_a_file_that_cannot_be_read_is_refused_with_the_reason(running: Program, content: str) -> None:
    me = await visit(running)
    answer = await upload(me, content)
    assert answer["refusal"].endswith(".")
    assert me.titles == []


async def test_what_goes_wrong_in_the_list_is_said_there(running: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    me = await visit(running)
    await say_in_new_chats(me, "One")

    async def fail(*_: object, **__: object) -> None:
        raise HistoryError("The disk is full.")

    for method, action in (("set_pinned", "Pin"), ("rename", "Rename"), ("export", "Json"), ("delete", "Delete")):
        monkeypatch.setattr(ChatService, method, fail)
        me.choose_from_menu("One", action, title="Two")
        await until(lambda: me.alerts == ["The disk is full."])
        me.press("Dismiss")
        await until(lambda: not me.alerts)
    assert me.titles == ["One"]


async def test_the_end_of_the_list_coming_near_loads_the_next_page_once(
    running: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation_list, "PAGE_SIZE", 2)
    me = await visit(running)
    await say_in_new_chats(me, "One", "Two", "Three", "Four", "Five")
    friend = await visit(running)
    assert friend.titles == ["Five", "Four"]
    UserInteraction(friend.user, {friend.rows}, None).trigger("more")
    await until(lambda: friend.titles == ["Five", "Four", "Three", "Two"])
    assert friend.sees("Show more")
    UserInteraction(friend.user, {friend.rows}, None).trigger("more")
    await until(lambda: friend.titles == ["Five", "Four", "Three", "Two", "One"])
    assert not friend.sees("Show more")


async def visit(program: Program) -> Visitor:
    visitor = program.visitor()
    await visitor.open("/")
    return visitor


async def say_in_new_chats(visitor: Visitor, *texts: str) -> None:
    for text in texts:
        visitor.press("New chat")
        await until(lambda: visitor.articles == [])
        visitor.say(text)
        await until(lambda: len(visitor.articles) == 2 and not visitor.is_busy)
        await until(lambda: visitor.titles[:1] == [text])  # noqa: B023


async def reply_once_more(visitor: Visitor) -> None:
    """Another branch: the question is answered again, at first in vain."""
    [chat] = {row["id"] for row in visitor.rows.rows}
    service = service_of(visitor)
    conversation = await service.open(chat)
    await service.retry(conversation)
    await until(lambda: not visitor.is_busy and visitor.alerts)
    await service.retry(conversation)
    await visitor.sees_reply("A seal.")


def service_of(visitor: Visitor) -> ChatService:
    return visitor.rows._is_writing.__self__  # type: ignore[attr-defined, no-any-return]


def elements(visitor: Visitor, kind: type[ui.element]) -> list[Any]:
    return [each for each in visitor.user.current_layout.descendants() if type(each).__name__ == kind.__name__]


def search(visitor: Visitor, query: str, *, ticket: int = 1) -> None:
    [box] = elements(visitor, conversation_list.SearchBox)
    UserInteraction(visitor.user, {box}, None).trigger("search", {"query": query, "ticket": ticket})


def open_hit(visitor: Visitor, hit: dict[str, Any]) -> None:
    [box] = elements(visitor, conversation_list.SearchBox)
    told = {"id": hit["id"], "message": hit["message"], "query": "walrus"}
    UserInteraction(visitor.user, {box}, None).trigger("open", told)


def answers(visitor: Visitor) -> list[Any]:
    """What the search box was told to show: ticket, hits, whether there are more."""
    [box] = elements(visitor, conversation_list.SearchBox)
    call = f'runMethod({box.id}, "show", '
    return [json.loads(script.partition(call)[2][:-1]) for script in visitor.scripts if call in script]


def press_in_menu(visitor: Visitor, text: str) -> None:
    entries = {each for each in elements(visitor, ui.menu_item) if text_of(each) == text}
    UserInteraction(visitor.user, entries, None).click()


async def upload(visitor: Visitor, content: str) -> dict[str, Any]:
    """What the page is told of a file that it sends."""
    headers = {"Content-Type": "application/octet-stream"}
    response = await visitor.user.http_client.post("/upload/conversations", content=content.encode(), headers=headers)
    assert response.status_code == 200
    return dict(response.json())


async def import_(visitor: Visitor, content: str) -> str:
    return str((await upload(visitor, content))["text"])


def _row(name: str) -> Row:
    return {"id": name, "title": f"Title {name}", "group": "Today", "pinned": False, "writing": False}


def _change(rows: list[Any], chance: random.Random) -> None:
    index = chance.randrange(len(rows)) if rows else 0
    match chance.randrange(4):
        case 0:
            rows.insert(index, _row(f"new {chance.random()}"))
        case 1 if len(rows) > 5:
            del rows[index]
        case 2 if rows:
            rows.insert(chance.randrange(len(rows)), rows.pop(index))
        case 3 if rows:
            rows[index]["title"] += "!"


def _applied(rows: Any, puts: Any, drops: list[str]) -> list[Any]:
    """As conversation_rows.js does it."""
    taken = {*drops, *(row["id"] for _, row in puts)}
    result = [row for row in rows if row["id"] not in taken]
    for index, row in puts:
        result.insert(index, row)
    return result
