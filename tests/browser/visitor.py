"""A person in front of the page: what they do and what they see, by the names in docs and screen readers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Browser, Keyboard, Locator, Page, expect, sync_playwright

from tests.browser.server import Server, chromium

PATIENCE = 60_000
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# The starter model answers the one in a sentence, and never ends the other by itself.
SHORT = "Say hello."
LONG = "Write a long and detailed story about a lighthouse keeper. Do not stop early."

# Whether a reply is long enough, asked each time the browser draws.
HAS_GROWN = """(length) => {
  const article = [...document.querySelectorAll('[role=log] article[aria-label=Assistant]')].at(-1);
  const text = article?.querySelector('.words')?.innerText ?? '';
  if (text.length < length) return false;
  return document.querySelector('[role=log]').ariaBusy === 'true' ? 'and still grows' : 'and is finished';
}"""

WITHOUT_BYLINE = """(article) =>
  article.innerText.replace(article.querySelector('.byline')?.innerText ?? '', '')"""

# Notes the length of a reply each time the browser draws.
WATCH = """(index) => {
  window.growth = [];
  const look = () => {
    const article = document.querySelectorAll('[role=log] article[aria-label=Assistant]')[index];
    const length = article?.querySelector('.words')?.innerText.trim().length ?? 0;
    if (length && length !== growth.at(-1)?.length) {
      const busy = document.querySelector('[role=log]').ariaBusy === 'true';
      growth.push({ at: (performance.timeOrigin + performance.now()) / 1000, length, busy });
    }
    requestAnimationFrame(look);
  };
  look();
}"""


@dataclass(frozen=True)
class Step:
    """A moment, in seconds, at which a reply looked longer than before."""

    at: float
    length: int
    busy: bool


@contextmanager
def open_browser(*flags: str) -> Iterator[Browser]:
    """A real Chromium without a window."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, *flags])
        yield browser
        browser.close()


class Visitor:
    """One tab. Every locator here is a role and a name that people and programs rely on."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.box = page.get_by_role("textbox", name="Message", exact=True)
        self.send = page.get_by_role("button", name="Send", exact=True)
        self.stop = page.get_by_role("button", name="Stop", exact=True)
        self.log = page.get_by_role("log", name="Conversation", exact=True)
        self.questions = self.log.get_by_role("article", name="You", exact=True)
        self.replies = self.log.get_by_role("article", name="Assistant", exact=True)
        self.status = page.get_by_role("status", name="Status", exact=True)
        self.alert = page.get_by_role("alert")
        self.model = page.get_by_role("combobox", name="Model", exact=True)
        self.settings_button = page.get_by_role("button", name="Settings", exact=True)
        self.settings = page.get_by_role("complementary", name="Settings", exact=True)
        self.conversations = page.get_by_role("navigation", name="Conversations", exact=True)
        self.new_chat = page.get_by_role("button", name="New chat", exact=True)

    def open(self, path: str = "/") -> Visitor:
        self.page.goto(self.server.url + path)
        expect(self.box).to_be_visible()
        return self

    # Talking

    def ask(self, text: str) -> Visitor:
        """Send a message with Enter and see it in the log."""
        asked = self.questions.count()
        self.box.fill(text)
        self.box.press("Enter")
        expect(self.questions).to_have_count(asked + 1)
        return self

    def ask_long(self) -> Visitor:
        """Send a message and see that its reply is well under way."""
        self.ask(LONG)
        self.see_growing()
        return self

    def see_growing(self, at_least: int = 80) -> None:
        """Wait until the last reply has so many characters, and see that it still grows."""
        assert self.page.wait_for_function(HAS_GROWN, arg=at_least).json_value() == "and still grows"

    def reply(self) -> str:
        """Wait until the reply is finished; its text."""
        expect(self.log).to_have_attribute("aria-busy", "false")
        return self.text()

    def text(self) -> str:
        """The last reply as it stands, without who wrote it and when."""
        return str(self.replies.last.evaluate(WITHOUT_BYLINE)).strip()

    def words(self) -> str:
        """The last reply without what stands below it."""
        return self.replies.last.locator(".words").inner_text().strip()

    def watch_growth(self) -> None:
        """From now on, note each time the next reply looks longer."""
        self.page.evaluate(WATCH, self.replies.count())

    def growth(self) -> list[Step]:
        return [Step(**step) for step in self.page.evaluate("window.growth")]

    @property
    def conversation_id(self) -> str:
        """Of the conversation shown, once it has a message."""
        self.page.wait_for_url(re.compile("/c/"))
        return self.page.url.rpartition("/c/")[2]

    # Models

    def choose_model(self, name: str) -> None:
        self.model.click()
        self.page.get_by_role("option", name=name).click()

    def see_model(self, name: str) -> None:
        """Wait until this model is in use."""
        expect(self.model).to_have_value(re.compile(f"^{re.escape(name)}"))
        expect(self.status).not_to_contain_text("Loading")

    # Settings

    def open_settings(self) -> Visitor:
        if not self.settings.is_visible():
            self.settings_button.click()
        expect(self.settings).to_be_visible()
        return self

    def slider(self, name: str) -> Locator:
        return self.settings.get_by_role("slider", name=name, exact=True)

    def reach_slider(self, name: str) -> Keyboard:
        """Go to a slider as the keyboard does: from its number box."""
        self.number(name).focus()
        self.page.keyboard.press("Tab")
        return self.page.keyboard

    def number(self, name: str) -> Locator:
        """The number box of a slider, or Seed."""
        return self.settings.get_by_role("spinbutton", name=name if name == "Seed" else f"{name} value", exact=True)

    # Messages

    def choose_action(self, message: Locator, action: str) -> None:
        """Use the menu of a message."""
        message.hover()
        message.get_by_role("button", name="More actions", exact=True).click()
        self.page.get_by_role("menuitem", name=action, exact=True).click()

    # Conversations

    def listed(self) -> Locator:
        return self.conversations.get_by_role("link")

    def link(self, title: str) -> Locator:
        return self.conversations.get_by_role("link", name=title, exact=True)

    def act(self, title: str, action: str) -> None:
        """Use the menu of a conversation."""
        self.link(title).hover()
        self.conversations.get_by_role("button", name=f"Actions for {title}", exact=True).click()
        self.page.get_by_role("menu").get_by_text(action, exact=True).click()
