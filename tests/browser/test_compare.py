"""Stories of comparing: the same model with two temperatures, by keyboard; and a blind duel on a phone."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from .conftest import Visit
from .test_accessibility import PHONE, STILL, findings
from .visitor import LONG, SHORT


def replies(page: Page, letter: str) -> Locator:
    log = page.get_by_role("log", name=re.compile(f"^Replies of {letter}"))
    return log.get_by_role("article", name="Assistant", exact=True)


def press(page: Page, name: str, key: str = "Enter") -> None:
    button = page.get_by_role("button", name=name, exact=True)
    button.focus()
    page.keyboard.press(key)


def test_two_temperatures_stand_side_by_side_through_a_reload_and_become_versions(visit: Visit) -> None:
    anna = visit(**STILL).open("/compare")
    page = anna.page
    press(page, "Same model, other settings")
    expect(page.get_by_role("button", name="Settings of B")).to_be_focused()
    expect(page.get_by_role("region", name="Column B")).to_contain_text("Temperature 1.2")
    anna.box.focus()
    page.keyboard.type(LONG)
    page.keyboard.press("Enter")
    for letter in "AB":
        expect(replies(page, letter).locator(".words")).to_contain_text(re.compile(r"\w+ \w+ \w+"))

    page.reload()

    for letter in "AB":
        expect(replies(page, letter).locator(".words")).to_contain_text(re.compile(r"\w+ \w+ \w+"))
    left, right = (
        replies(page, letter).evaluate("(reply) => reply.getBoundingClientRect().toJSON()") for letter in "AB"
    )
    assert left["top"] == right["top"]
    assert left["right"] < right["left"]
    expect(page.get_by_role("article", name="You", exact=True)).to_have_text([re.compile(LONG)])
    anna.box.focus()
    page.keyboard.press("Escape")
    expect(anna.stop).to_be_hidden()
    anna.choose_action(replies(page, "B"), "About this reply")
    expect(replies(page, "B")).to_contain_text("Temperature1.2")
    expect(replies(page, "A")).not_to_contain_text("Temperature")
    assert findings(anna) == []

    press(page, "Keep as conversation")

    page.wait_for_url(re.compile("/c/"))
    expect(anna.replies.last).to_contain_text("1 / 2")


def test_a_blind_duel_hides_its_models_until_the_vote_and_counts_it(visit: Visit) -> None:
    anna = visit(**PHONE, **STILL).open("/compare")
    page = anna.page
    page.get_by_role("button", name="Same model, other settings").tap()
    page.get_by_role("checkbox", name="Blind duel").tap()
    expect(page.get_by_role("checkbox", name="Blind duel")).to_be_checked()
    anna.box.fill(SHORT)
    anna.send.tap()
    vote = page.get_by_role("group", name="Vote")
    expect(vote).to_be_visible()
    page.reload()  # what it was set up with is gone then
    expect(vote).to_be_visible()
    assert "SmolLM2" not in page.content()
    assert "tokens/s" not in page.content()
    assert findings(anna) == []

    vote.get_by_role("button", name="A is better").tap()
    expect(page.get_by_role("region", name="Column A")).to_contain_text("Better")
    expect(page.get_by_role("region", name="Column B")).to_contain_text("SmolLM2")
    page.get_by_role("button", name="Results", exact=True).first.tap()

    expect(page.get_by_role("row")).to_have_count(3)
    expect(page.get_by_role("img", name=re.compile("^100%, between 21% and 100%$"))).to_be_visible()
    assert findings(anna) == []
