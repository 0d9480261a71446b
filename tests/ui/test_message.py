"""What the browser is told of a message gives the message, however it grew."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localchat_ui.chat import Reply
from localchat_ui.conversation import GenerationStats, Message, MessageState, Role
from localchat_ui.markdown import render_markdown
from localchat_ui.ui.components import message as message_module
from localchat_ui.ui.components.message import GrowingMarkdown, Growth, MessageView, Operation
from tests.markdown.test_stream import REPLY, few, texts


class Copy:
    """What `message_log.js` keeps of a text. JavaScript counts UTF-16 units."""

    def __init__(self) -> None:
        self.final = self.open = ""

    def take(self, growth: Growth | None) -> None:
        if growth is None:
            return
        finished, kept, rest = growth
        if kept < 0:
            self.final = ""
        units = self.open.encode("utf-16-le")[: 2 * max(kept, 0)]
        self.open = units.decode("utf-16-le") + rest
        self.final += finished


@few
@given(texts, st.data())
def test_a_text_that_grew_in_any_pieces_is_shown_as_the_whole(text: str, data: st.DataObject):
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8), label="cuts")
    body, copy = GrowingMarkdown(), Copy()
    for length in sorted(cuts):
        copy.take(body.grow(text[:length]))
        assert (copy.final, copy.open) == body.parts
    copy.take(body.finish(text))
    assert copy.final + copy.open == render_markdown(text)
    assert (copy.final, copy.open) == body.parts


@few
@given(texts, texts)
def test_a_finished_text_can_go_on(text: str, more: str):
    body, copy = GrowingMarkdown(), Copy()
    copy.take(body.finish(text))
    copy.take(body.grow(text + more))
    copy.take(body.finish(text + more))
    assert copy.final + copy.open == render_markdown(text + more)


def test_a_long_paragraph_is_not_sent_again():
    body = GrowingMarkdown()
    body.grow("word " * 200)
    growth = body.grow("word " * 201)
    assert growth is not None
    finished, kept, rest = growth
    assert finished == ""
    assert kept > 990
    assert rest == " word</p>\n"


def test_what_stays_is_counted_as_javascript_does():
    body = GrowingMarkdown()
    body.grow("a🦙🦙")
    assert body.grow("a🦙🦙🐫") == ("", len("<p>a") + 4, "🐫</p>\n")


def test_the_same_text_again_changes_nothing():
    body = GrowingMarkdown()
    body.grow(REPLY)
    assert body.grow(REPLY) is None
    assert body.finish(REPLY) is None


@pytest.mark.parametrize("role", list(Role))
def test_a_message_is_put_with_all_that_is_known_of_it(role: Role):
    message = Message("c", role, "Some *words*.")
    view = MessageView(message, lambda operations: None)
    list(view.show(message, None, None, is_last=True))
    name, message_id, place, drawn = view.put(3)
    assert (name, message_id, place, drawn["role"]) == ("put", message.id, 3, role.value)
    assert (drawn["text"] or "".join(drawn["words"])) == (
        "<p>Some <em>words</em>.</p>\n" if role is Role.ASSISTANT else "Some *words*."
    )


async def test_a_reply_waits_thinks_answers_and_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(message_module, "DRAWING_SHARE", float("inf"))
    message = Message("c", Role.ASSISTANT, "", state=MessageState.WRITING)
    told: list[tuple[object, ...]] = []
    view = MessageView(message, told.extend)
    reply = Reply(message, options=None)  # type: ignore[arg-type]
    told += view.show(message, reply, None, is_last=True)
    assert told == [("waiting", message.id, True)]

    message.thinking = "Hm"
    reply.changed.emit()
    message.text = "Yes"
    reply.changed.emit()
    assert told[1:] == [
        ("waiting", message.id, False),
        ("thinking", message.id, "", 0, "<p>Hm</p>\n"),
        ("summary", message.id, "Thinking…"),
        ("words", message.id, "", 0, "<p>Yes</p>\n"),
        ("summary", message.id, "Thoughts"),
    ]

    told.clear()
    message.state, message.stats = MessageState.COMPLETE, GenerationStats(thinking_seconds=2.2)
    told += view.show(message, None, None, is_last=True)
    assert [operation[0] for operation in told] == ["summary", "footer"]
    assert told[0][2] == "Thought for 2 s"

    told.clear()
    message.text = "Yes, later"
    reply.changed.emit()
    assert told == [], "nobody follows a reply that has ended"


async def test_what_takes_long_to_draw_is_drawn_less_often_and_whole_at_the_end(monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr(message_module.time, "perf_counter", lambda: now)

    def draw(operations: Sequence[Operation]) -> None:
        nonlocal now
        now += 0.012
        told.extend(operation for operation in operations if operation[0] == "words")

    message = Message("c", Role.ASSISTANT, "", state=MessageState.WRITING)
    told: list[Operation] = []
    view = MessageView(message, draw)
    reply = Reply(message, options=None)  # type: ignore[arg-type]
    list(view.show(message, reply, None, is_last=True))
    for text in ("a", "a b", "a b c", "a b c d", "a b c d e"):
        message.text = text
        reply.changed.emit()
        now += 0.05
    assert [rest for *_, rest in told] == ["<p>a</p>\n", " b c d e</p>\n"]
    message.text += " f"
    message.state = MessageState.COMPLETE
    assert [op[-1] for op in view.show(message, None, None, is_last=True) if op[0] == "words"] == [" f</p>\n"]
