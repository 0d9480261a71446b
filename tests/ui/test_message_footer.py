from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from localchat_ui.conversation import GenerationStats, Message, MessageState, Role, SamplingOptions, Version
from localchat_ui.ui.components.message_footer import MENU, render

HOSTILE = '"><img src=x onerror=alert(1)> & </dd>'


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


def reply(text: str = "Hello", **values: object) -> Message:
    return Message("c", Role.ASSISTANT, text, **values)  # type: ignore[arg-type]


def test_a_reply_being_written_has_nothing_below_it():
    assert render(reply(), None, is_last=True, is_writing=True) == ""


def test_what_people_and_models_wrote_is_text_in_every_place():
    stats = GenerationStats(reply_tokens=5, finish_reason="stop", sampling=SamplingOptions(), seed=3)
    message = reply(error=HOSTILE, stats=stats, model=HOSTILE)
    html = render(message, Version(2, 3, HOSTILE, "next"), is_last=True, is_writing=False, with_receipt=True)
    tags = Tags()
    tags.feed(html)
    assert tags.seen <= {"div", "button", "span", "time", "dl", "dt", "dd"}
    assert not [name for name in tags.attributes if name.startswith("on")]
    assert html.count("&lt;img") == 4


@pytest.mark.parametrize(
    ("message", "offers", "says"),
    [
        (reply(), {"Copy", "Edit", "Regenerate", "More actions", "Copy as plain text", "Fork from here", "Delete"}, ""),
        (reply(state=MessageState.STOPPED), {"Continue"}, "Stopped."),
        (reply(state=MessageState.INTERRUPTED), {"Continue", "Try again"}, "Interrupted"),
        (reply(state=MessageState.FAILED, error="It broke."), {"Retry"}, "It broke."),
        (
            reply(stats=GenerationStats(reply_tokens=1, finish_reason="length")),
            {"Continue", "About this reply"},
            "Ended at the limit of 1 token.",
        ),
        (Message("c", Role.USER, "Hi"), {"Copy", "Edit", "More actions", "Fork from here", "Delete"}, ""),
        (Message("c", Role.USER, "Hi", state=MessageState.QUEUED), {"Take back", "Copy"}, "Waits for"),
    ],
)
def test_each_ending_says_what_it_is_and_offers_what_helps(message: Message, offers: set[str], says: str):
    html = render(message, None, is_last=True, is_writing=False)
    assert says in html
    menu = [MENU[action] for offers in re.findall('data-offers="(.*?)"', html) for action in offers.split()]
    for name in offers:
        assert f'aria-label="{name}"' in html or f">{name}</button>" in html or name in menu


def test_going_on_and_trying_again_are_for_the_last_message_alone():
    for state in (MessageState.STOPPED, MessageState.INTERRUPTED):
        html = render(reply(state=state), None, is_last=False, is_writing=False)
        assert "Continue" not in html
        assert "Try again" not in html


def test_a_reply_without_a_word_cannot_go_on():
    assert "Continue" not in render(reply("", state=MessageState.STOPPED), None, is_last=True, is_writing=False)


def test_the_first_and_the_last_version_have_one_way_to_go():
    first = render(reply(), Version(1, 2, None, "b"), is_last=True, is_writing=False)
    assert "1 / 2" in first
    assert 'aria-label="Previous version" title="Previous version" disabled' in first
    assert 'data-target="b"' in first
    assert "version" not in render(reply(), Version(1, 1, None, None), is_last=True, is_writing=False)
