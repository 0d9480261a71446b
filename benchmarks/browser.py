"""Pages to chat in, in a real Chromium: when one can write, how a reply grows, what that costs the browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Browser, CDPSession, Page

from benchmarks.relay import Relay

# How long a text has to stand still to be finished: no page says so in a way that all share.
STILL_SECONDS = 2.0
# What a page does behind its first sight (a service worker's cache, lists) is over by then.
SETTLE_SECONDS = 3.0


@dataclass(frozen=True)
class ChatPage:
    """`box` and `replies` are CSS selectors: where to write, and the words of each reply."""

    name: str
    url: str
    box: str
    replies: str
    # The name of a button that stands in the way of a first visit.
    welcome: str = ""


@dataclass(frozen=True)
class Visit:
    """Seconds until one can write, characters a second in the document, and the main thread's seconds for the reply."""

    opening: float
    speed: float
    thread: float


def visit(browser: Browser, chat: ChatPage, question: str) -> Visit:
    """A first visit with an empty cache, and one question."""
    with _open(browser, chat, chat.url) as (page, opening):
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = _thread_seconds(session)
        seen = _ask(page, chat, question)
        thread = _thread_seconds(session) - before
    (start, first), (end, last) = seen[0], seen[-1]
    return Visit(opening, (last - first) / (end - start) * 1000, thread)


def traffic(browser: Browser, chat: ChatPage, question: str) -> tuple[int, float]:
    """Bytes from the server for a first visit, and for each character of a reply; counted apart from what is timed."""
    with Relay(chat.url) as relay, _open(browser, chat, relay.url) as (page, _):
        opening = relay.received
        seen = _ask(page, chat, question)
        reply = relay.received - opening
    return opening, reply / seen[-1][1]


def seconds_to_see(browser: Browser, url: str, selector: str) -> float:
    """Seconds of a first visit until something that matches stands on the page."""
    context = browser.new_context()
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(selector)
    taken = time.perf_counter() - begun
    context.close()
    return taken


@contextmanager
def _open(browser: Browser, chat: ChatPage, url: str) -> Iterator[tuple[Page, float]]:
    """A first visit, and the seconds until its box could be written in."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(chat.box)
    opening = time.perf_counter() - begun
    page.wait_for_timeout(1000 * SETTLE_SECONDS)
    if chat.welcome and (button := page.get_by_role("button", name=chat.welcome)).count():
        button.click()
        page.wait_for_timeout(1000 * SETTLE_SECONDS)
    try:
        yield page, opening
    finally:
        context.close()


def _ask(page: Page, chat: ChatPage, question: str) -> list[list[float]]:
    """How the reply grew: milliseconds, and how many characters stood there then.

    The page is watched where it changes its document, which costs a page that changes it seldom little.
    """
    page.evaluate(
        """(replies) => {
          window.seen = [];
          const before = document.querySelectorAll(replies).length;
          new MutationObserver(() => {
            const found = document.querySelectorAll(replies);
            const n = found.length > before ? found[found.length - 1].textContent.length : 0;
            if (n && n !== seen.at(-1)?.[1]) seen.push([performance.now(), n]);
          }).observe(document.body, { childList: true, characterData: true, subtree: true });
        }""",
        chat.replies,
    )
    page.click(chat.box)
    page.keyboard.insert_text(question)
    page.keyboard.press("Enter")
    still = f"window.seen.length > 1 && performance.now() - seen.at(-1)[0] > {1000 * STILL_SECONDS}"
    page.wait_for_function(still, polling=250, timeout=120_000)
    seen: list[list[float]] = page.evaluate("window.seen")
    return seen


def _thread_seconds(session: CDPSession) -> float:
    """Processor time of the page's main thread so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))
