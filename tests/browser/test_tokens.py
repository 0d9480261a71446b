"""Somebody looks at the tokens of a reply, and lets it go on from another one."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from .conftest import Visit
from .visitor import SHORT


def test_the_tokens_of_a_reply_and_another_one_in_their_place(visit: Visit) -> None:
    anna = visit().open()
    anna.ask(SHORT).reply()
    words = anna.words()
    reply = anna.replies.last
    anna.choose_action(reply, "About this reply")
    reply.get_by_role("button", name="Token probabilities").click()
    tokens = reply.get_by_role("group", name="Tokens").get_by_role("button")
    expect(tokens.nth(2)).to_be_visible()
    expect(reply.locator(".words")).to_be_hidden()
    expect(tokens.first).to_have_attribute("title", re.compile("%$"))
    assert tokens.first.inner_text() in words

    tokens.first.focus()
    anna.page.keyboard.press("ArrowRight")
    expect(tokens.nth(1)).to_be_focused()
    anna.page.keyboard.press("Enter")
    others = reply.get_by_role("status").get_by_role("button")
    expect(others.nth(3)).to_be_visible()
    first_token = tokens.first.inner_text()
    others.locator("visible=true").and_(reply.locator("button:enabled")).nth(1).click()

    expect(reply.get_by_text("2 / 2")).to_be_visible()
    anna.reply()
    expect(reply.locator(".words")).to_be_visible()
    assert anna.words() != words
    assert anna.words().startswith(first_token)
    reply.get_by_role("button", name="Previous version").click()
    expect(reply.locator(".words")).to_have_text(words, use_inner_text=True)


def test_the_words_come_back(visit: Visit) -> None:
    anna = visit().open()
    anna.ask(SHORT).reply()
    reply = anna.replies.last
    anna.choose_action(reply, "About this reply")
    switch = reply.get_by_role("button", name="Token probabilities")
    switch.click()
    expect(reply.get_by_role("group", name="Tokens")).to_be_visible()
    switch.click()
    expect(reply.get_by_role("group", name="Tokens")).to_have_count(0)
    expect(reply.locator(".words")).to_be_visible()
