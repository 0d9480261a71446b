"""The page under a finger: enough to hit everywhere, and no more buttons than one needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from .conftest import STEADY, Visit
from .server import Server
from .test_accessibility import _keep_a_conversation
from .visitor import Visitor

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

# What can be pressed and is less than 44 pixels high or wide. Links in a text are as high as its lines.
SMALL = """() => [...document.querySelectorAll("button, a, summary, input, select, textarea, [role=combobox]")]
  .filter((element) => element.checkVisibility({ opacityProperty: true }))
  .filter((element) => !element.closest(".words p, .words li, .skip"))
  .map((element) => {
    const target = element.closest("label, .q-field__control, .search-box") ?? element;
    const { width, height } = target.getBoundingClientRect();
    return [element.ariaLabel ?? (element.textContent || element.className), Math.round(width), Math.round(height)];
  })
  .filter(([, width, height]) => width > 1 && (width < 44 || height < 44))"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), *STEADY)
    server.stored(_keep_a_conversation)
    with server:
        yield server


@pytest.fixture
def anna(visit: Visit) -> Visitor:
    anna = visit(**PHONE).open("/c/everything")
    expect(anna.replies).to_have_count(2)
    return anna


def test_everything_can_be_hit_with_a_finger(anna: Visitor) -> None:
    assert anna.page.evaluate(SMALL) == []
    anna.replies.first.locator(".words > p").first.tap()
    anna.replies.first.get_by_role("button", name="More actions").tap()
    expect(anna.page.get_by_role("menuitem", name="Fork from here")).to_be_visible()
    assert anna.page.evaluate(SMALL) == []
    anna.page.keyboard.press("Escape")
    anna.page.get_by_role("button", name="Conversation list").tap()
    expect(anna.link("Everything")).to_be_visible()
    assert anna.page.evaluate(SMALL) == []
    anna.page.get_by_role("button", name="Close conversations").tap()
    anna.open_settings()
    anna.number("Top k").fill("12")
    expect(anna.settings.get_by_role("button", name="Reset Top k")).to_be_visible()
    assert anna.page.evaluate(SMALL) == []


def test_the_last_message_shows_its_actions_and_others_when_they_are_tapped(anna: Visitor) -> None:
    expect(anna.replies.last.get_by_role("button", name="Edit")).to_be_visible()
    expect(anna.replies.first.get_by_role("button", name="Edit")).to_be_hidden()

    anna.replies.first.locator(".words > p").first.tap()
    expect(anna.replies.first.get_by_role("button", name="Edit")).to_be_visible()
    expect(anna.replies.last.get_by_role("button", name="Edit")).to_be_visible()

    anna.questions.first.locator(".words").tap()
    expect(anna.replies.first.get_by_role("button", name="Edit")).to_be_hidden()
    expect(anna.questions.first.get_by_role("button", name="Edit")).to_be_visible()


def test_nothing_is_wider_than_the_page(anna: Visitor) -> None:
    anna.replies.first.locator(".words > p").first.tap()
    anna.replies.first.get_by_role("button", name="More actions").tap()
    menu = anna.page.get_by_role("menu").bounding_box()
    assert menu
    assert menu["x"] >= 0
    assert menu["x"] + menu["width"] <= 390
    assert anna.page.evaluate("document.scrollingElement.scrollWidth") <= 390
