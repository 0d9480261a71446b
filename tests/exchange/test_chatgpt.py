"""ChatGPT's exports: every readable message arrives, and what is left out is counted by what it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localchat_ui.exchange import import_file, read_file
from localchat_ui.exchange.trees import Reading
from localchat_ui.history.store import HistoryStore


def node(role: str | None, content: Any = None, parent: str | None = None, **message: Any) -> dict[str, Any]:
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    said = {"author": {"role": role}, "content": content, "create_time": None, **message} if role else None
    return {"id": "?", "message": said, "parent": parent, "children": []}


CHATGPT = {
    "title": "Mountains",
    "create_time": 1709195400.5,
    "update_time": 1709195460.0,
    "current_node": "tool-result",
    "mapping": {
        "root": node(None),
        "system": node("system", "", "root", metadata={"is_visually_hidden_from_conversation": True}),
        "about": node("user", {"content_type": "user_editable_context", "user_profile": "x"}, "system"),
        "hidden": node("user", "secret", "about", metadata={"is_visually_hidden_from_conversation": True}),
        "question": node("user", "How high?", "hidden", create_time=1709195400.75),
        "thoughts": node("assistant", {"content_type": "thoughts", "thoughts": [{"content": "Hm."}]}, "question"),
        "recap": node("assistant", {"content_type": "reasoning_recap", "content": "Thought 2 s"}, "thoughts"),
        "first": node("assistant", "4806 m", "recap", metadata={"model_slug": "gpt-x"}),
        "second": node("assistant", "High \ud83d", "question"),
        "picture": node(
            "user",
            {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}, "See?"]},
            "first",
        ),
        "code": node("assistant", {"content_type": "code", "language": "python", "text": "1 + 1"}, "picture"),
        "tool-result": node("tool", {"content_type": "execution_output", "text": "2"}, "code"),
    },
}


async def test_a_tree_of_chatgpt_becomes_one_of_ours(store: HistoryStore) -> None:
    report = await import_file(store, json.dumps([CHATGPT]).encode())

    [conversation] = report.imported
    branch = await store.branch(conversation.id)
    assert (conversation.title, conversation.created_at.timestamp()) == ("Mountains", 1709195400.5)
    assert conversation.updated_at.timestamp() == 1709195460.0
    assert [(message.role.value, message.text, message.thinking) for message in branch] == [
        ("user", "How high?", ""),
        ("assistant", "4806 m", "Hm."),
        ("user", "[picture]\n\nSee?", ""),
        ("assistant", "```python\n1 + 1\n```", ""),
    ]
    assert branch[0].created_at.timestamp() == 1709195400.75
    assert branch[1].model == "gpt-x"
    version = (await store.versions(branch))[branch[1].id]
    assert version.count == 2
    assert [m.text for m in await store.messages(conversation.id) if m not in branch] == [
        "High \N{REPLACEMENT CHARACTER}"
    ]
    assert str(report) == (
        "1 of 1 conversation imported. Left out of them: 2 hidden instructions, 1 pictures, 1 messages of tools."
    )
    assert [hit.conversation.title for hit in await store.search("4806")] == ["Mountains"]


QUESTION = node("user", "2 + 2?", "root", create_time=1_700_000_001.5)
ANSWER = node("assistant", "4", "question", create_time=1_700_000_002.5)


def reading_of(*extra: dict[str, Any], answer: dict[str, Any] | None = None, **changes: Any) -> Reading:
    """Of a question, what is put after it one below the other, and the answer below that."""
    mapping: dict[str, Any] = {"root": node(None), "question": QUESTION}
    for n, each in enumerate(extra):
        mapping[f"extra {n}"] = each | {"parent": list(mapping)[-1]}
    mapping["answer"] = ANSWER | {"parent": list(mapping)[-1]} | (answer or {})
    item = {"title": "T", "create_time": 1_700_000_000.1, "mapping": mapping, "current_node": "answer"} | changes
    reading = read_file(json.dumps([item]).encode())
    assert reading.skipped == []
    return reading


def texts(reading: Reading) -> list[str]:
    [tree] = reading.trees
    return [message.text for message in tree.branch]


def said(role: Any, text: str = "odd", **message: Any) -> dict[str, Any]:
    return {"message": {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}, **message}}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"message": said("assistant", "4", create_time=-62_135_596_800)["message"]}, "4"),
        ({"message": said("assistant", "4", create_time="2023-11-14T22:13:20Z")["message"]}, "4"),
        ({"message": said("assistant", "4", create_time="noon")["message"]}, "4"),
        ({"message": said("assistant", "4", create_time=1e300)["message"]}, "4"),
        ({"message": said("assistant", "4", create_time=10**400)["message"]}, "4"),
        ({"message": said("assistant", "4", create_time=[])["message"]}, "4"),
        ({"message": said("assistant", "4", metadata=None)["message"]}, "4"),
        ({"message": said("assistant", "4", metadata=[1])["message"]}, "4"),
        ({"message": said("assistant", "4", metadata={"model_slug": 5})["message"]}, "4"),
        ({"message": said("assistant", "4", metadata={"content_references": {"a": 1}})["message"]}, "4"),
        ({"message": said("assistant", "4", metadata={"content_references": [1, {"alt": 2}]})["message"]}, "4"),
        ({"message": said("assistant", "4", weight="heavy", recipient=7)["message"]}, "4"),
        ({"message": said("assistant", "4", content="4")["message"]}, "4"),
        ({"message": said("assistant", "4", content={"parts": "4"})["message"]}, "4"),
        ({"message": said("assistant", "4", content={"parts": ["4"], "text": {"x": 1}})["message"]}, "4"),
        (
            {"message": said("assistant", "4", content={"parts": [None, "4", {"text": None}]})["message"]},
            "4\n\n[attachment]",
        ),
        ({"message": said("assistant", "4", content={"content_type": 3, "parts": ["4"]})["message"]}, "4"),
        ({"children": "none"}, "4"),
        ({"id": 7, "children": [None, {}, "nobody"]}, "4"),
    ],
)
def test_a_field_that_cannot_be_read_costs_nothing_else(answer: dict[str, Any], expected: str) -> None:
    reading = reading_of(answer=answer)
    assert texts(reading) == ["2 + 2?", expected]


@pytest.mark.parametrize(
    "changes",
    [
        {"title": None},
        {"title": 12},
        {"create_time": None, "update_time": None},
        {"create_time": "2023-11-14T22:13:20Z"},
        {"create_time": float("nan"), "update_time": {}},
        {"create_time": 1_700_000_000_123},
        {"current_node": None},
        {"current_node": 4},
        {"current_node": "nobody"},
        {"default_model_slug": ["gpt"]},
    ],
)
def test_what_is_said_of_the_conversation_may_be_anything(changes: dict[str, Any]) -> None:
    reading = reading_of(**changes)
    assert texts(reading) == ["2 + 2?", "4"]
    [tree] = reading.trees
    assert tree.conversation.title in {"T", "2 + 2?"}
    assert tree.conversation.created_at.year == tree.conversation.updated_at.year == 2023


@pytest.mark.parametrize(
    ("extra", "kind"),
    [
        ({"message": {"author": None, "content": {"parts": ["odd"]}}}, "messages without an author"),
        ({"message": {"author": {"role": None}, "content": {"parts": ["odd"]}}}, "messages without an author"),
        ({"message": {"content": {"parts": ["odd"]}}}, "messages without an author"),
        ({"message": "odd"}, "messages that cannot be read"),
        ({"message": {"author": {"role": "assistant"}, "content": None}}, "messages that cannot be read"),
        ({"message": {"author": {"role": "assistant"}, "content": {"parts": None}}}, "messages that cannot be read"),
        (
            {"message": {"author": {"role": "user"}, "content": {"content_type": "hologram"}}},
            "messages that cannot be read",
        ),
        (said("assistant", weight=0.0), "hidden messages"),
        (said("user", metadata={"is_visually_hidden_from_conversation": True}), "hidden instructions"),
        (
            {"message": {"author": {"role": "user"}, "content": {"content_type": "user_editable_context"}}},
            "hidden instructions",
        ),
        (said("assistant", '{"search_query": []}', recipient="web.run"), "calls of tools"),
        (said("tool", "4"), "messages of tools"),
        (said("tool", content={"content_type": "tether_browsing_display", "result": "x"}), "messages of tools"),
        (said("assistant", content={"content_type": "thoughts", "thoughts": [{"content": "Hm."}]}), ""),
        (said("assistant", content={"content_type": "reasoning_recap", "content": "Thought for 3 s"}), ""),
        (said("assistant", ""), ""),
        (said("system", ""), ""),
        ({"message": None}, ""),
    ],
)
def test_what_is_no_turn_is_counted_and_its_answer_hangs_on_the_turn_above(extra: dict[str, Any], kind: str) -> None:
    reading = reading_of(extra)
    assert texts(reading) == ["2 + 2?", "4"]
    assert dict(reading.left_out) == ({kind: 1} if kind else {})


def test_thoughts_that_nothing_was_said_after_are_counted() -> None:
    thoughts = said("assistant", content={"content_type": "thoughts", "thoughts": [{"content": "Hm."}]})
    reading = reading_of(thoughts, said("user", "Never mind."))
    assert texts(reading) == ["2 + 2?", "Never mind.", "4"]
    assert reading.left_out == {"thoughts without an answer": 1}


def test_instructions_before_the_first_turn_are_the_system_prompt_and_later_ones_stay_where_they_are() -> None:
    mapping = {
        "one": node("system", "Be kind."),
        "two": node("system", "Be brief.", "one"),
        "question": node("user", "Hi", "two"),
        "late": node("system", "Now in French.", "question"),
        "answer": node("assistant", "Salut", "late"),
    }
    reading = reading_of(mapping=mapping)
    [tree] = reading.trees
    assert tree.conversation.options.system_prompt == "Be kind.\n\nBe brief."
    assert [(m.role.value, m.text) for m in tree.branch] == [
        ("user", "Hi"),
        ("system", "Now in French."),
        ("assistant", "Salut"),
    ]
    mapping["one"] = node("system", "x" * 200_000)
    assert reading_of(mapping=mapping).left_out == {"ends of system prompts": 1}


def test_a_node_says_where_it_hangs_in_one_of_two_ways_or_not_at_all() -> None:
    nodes = {
        "root": {"message": None, "children": ["question"]},
        "question": {"message": QUESTION["message"], "children": ["answer", "stray"]},
        "answer": {"message": ANSWER["message"]},
    }
    assert texts(reading_of(mapping=nodes)) == ["2 + 2?", "4"]
    as_list = [each | {"id": name} for name, each in nodes.items()]
    assert texts(reading_of(mapping=as_list)) == ["2 + 2?", "4"]
    # Below a node that is not in the file, or that is none: a beginning of its own.
    nodes |= {"stray": node("assistant", "Stray", "nobody") | {"message": said("assistant", "Stray")["message"]}}
    nodes |= {"zz": None, "orphan": node("user", "Orphan", "missing"), "odd": [1]}
    [tree] = reading_of(mapping=nodes).trees
    assert sorted(message.text for message in tree.messages) == ["2 + 2?", "4", "Orphan", "Stray"]
    assert [message.text for message in tree.branch] == ["2 + 2?", "4"]


def test_the_model_of_the_conversation_is_that_of_answers_that_name_none() -> None:
    [tree] = reading_of(default_model_slug="gpt-5").trees
    assert [message.model for message in tree.branch] == [None, "gpt-5"]


def test_what_chatgpt_shows_as_chips_becomes_text() -> None:
    cite = "\ue200cite\ue202turn0search3\ue202turn0search8\ue201"
    text = (
        f'Iron is old.{cite} By \ue200entity\ue202["people", "A. Writer", 0]\ue201. \ue203Marked\ue204 end.【4†source】'
    )
    text += "\ue200cite\ue202turn9\ue201\ue200entity\ue202[\ue201"
    links = [{"matched_text": cite, "alt": "([Site](https://example.org/a))"}, {"matched_text": " ", "alt": "no"}]
    reading = reading_of(answer=said("assistant", text, metadata={"content_references": links}))
    assert texts(reading)[1] == "Iron is old.([Site](https://example.org/a)) By A. Writer. Marked end."
    assert reading.left_out == {"citations": 3}
    # What a person writes is nobody's mark-up.
    assert texts(reading_of(said("user", "See 【4†source】")))[1] == "See 【4†source】"


def test_pictures_recordings_and_quoted_files_leave_a_trace() -> None:
    parts = [
        {"content_type": "audio_transcription", "text": "Hello"},
        {"content_type": "real_time_user_audio_video_asset_pointer"},
        {"content_type": "image_asset_pointer"},
        7,
    ]
    quote = {"content_type": "tether_quote", "title": "a.pdf", "text": "Page one"}
    reading = reading_of(said("user", content={"parts": parts}), said("user", content=quote))
    assert texts(reading)[1:3] == ["Hello\n\n[recording]\n\n[picture]\n\n[attachment]", "a.pdf\n\nPage one"]
    assert reading.left_out == {"recordings": 1, "pictures": 1, "attachments": 1}


def test_the_list_may_be_in_an_object_or_be_one_conversation_in_any_encoding_of_json() -> None:
    item = {"title": "T", "mapping": {"question": QUESTION, "answer": ANSWER}}
    for content in ({"conversations": [item]}, [item], item, [item, None, "text", {"title": "No mapping"}]):
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
            reading = read_file(json.dumps(content, ensure_ascii=False).encode(encoding))
            assert texts(reading) == ["2 + 2?", "4"]
    refused = read_file(json.dumps([item, None, {"title": "No mapping"}]).encode()).skipped
    assert refused == ["one without a title: it is no conversation", "“No mapping”: mapping: field required"]


async def test_half_a_character_and_a_circle_of_thoughts_do_no_harm(store: HistoryStore) -> None:
    mapping = {"question": node("user", "bad \ud83d half"), "self": node("user", "me", "self")}
    item = {"title": "Half \ud83d", "mapping": {"question": mapping["question"]}}
    report = await import_file(store, json.dumps([item, {"title": "Self", "mapping": mapping}]).encode())
    assert [each.title for each in report.imported] == ["Half \N{REPLACEMENT CHARACTER}"]
    assert report.skipped == ["“Self”: its messages answer each other in a circle"]
