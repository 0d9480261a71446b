"""The page in other languages: every text of it, its direction, and the way to choose one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.server import Server

# Texts and names that a person gets to know, but for what people and models wrote, names of models and of languages.
READ = """() => {
  const found = new Set();
  const note = (text) => /[A-Za-z]{2}/.test(text ?? "") && !/⟦.*⟧/s.test(text) && found.add(text.trim());
  const written = [".words, .thinking, .byline, .conversation, .conversation-title, option, kbd, script, style",
    ".model-name, .model-picker, .model-option, td.name > :first-child, .offer-row .strong, pre, dd"].join();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) if (!texts.currentNode.parentElement.closest(written)) note(texts.currentNode.data);
  for (const element of document.querySelectorAll("[aria-label], [title], [placeholder], [alt]"))
    if (!element.closest(written))
      for (const name of ["aria-label", "title", "placeholder", "alt"]) note(element.getAttribute(name));
  return [...found];
}"""
NAMES = {"LocalChat", "JSON", "Markdown", "qwen3 4b", "SmolLM2-135M-Instruct"}
NAMES |= {"localchat_ui", "llama-cpp-python", "NiceGUI"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with Server(folder, "--max-tokens", "8", "--temperature", "0", program="tests.browser.brackets") as server:
        yield server


def test_an_arabic_browser_gets_a_page_without_english_that_runs_from_right_to_left(visit: Visit) -> None:
    visitor = visit(locale="ar-EG")
    page = visitor.page
    page.goto(visitor.server.url)
    expect(page.locator("html[lang=ar][dir=rtl]")).to_be_visible()
    page.locator("#message").fill("Say hello.")
    page.locator("#message").press("Enter")
    expect(page.locator("article")).to_have_count(2)
    expect(page.get_by_role("log")).to_have_attribute("aria-busy", "false")
    page.locator(".header [aria-controls=settings]").click()
    expect(page.locator("#settings .setting").first).to_be_visible()
    _see_no_english(page)

    box = page.locator("#message").bounding_box()
    send = page.locator(".composer .send:not(.stop, .queue)").bounding_box()
    panel = page.locator("#settings").bounding_box()
    assert box
    assert send
    assert panel
    assert panel["x"] < send["x"] < box["x"], "the settings are on the left, and Send is left of the box"

    # The words of a choice are those of its speakers, and the draft outlives it.
    page.locator("#message").fill("half a thought")
    page.locator("select[name=localchat_language]").select_option(label="English")
    expect(page.locator("html[lang=en-US]:not([dir=rtl])")).to_be_visible()
    expect(page.get_by_role("textbox", name="Message", exact=True)).to_have_value("half a thought")

    page.goto(f"{visitor.server.url}/models")
    expect(page.get_by_role("heading", name="On this machine")).to_be_visible()
    page.context.clear_cookies()
    for path in ("/models", "/system", "/compare", "/compare/results"):
        page.goto(visitor.server.url + path)
        expect(page.locator("html[lang=ar]")).to_be_visible()
        expect(page.locator("h1")).to_be_visible()
        _see_no_english(page)


def _see_no_english(page: Page) -> None:
    found = [text for text in page.evaluate(READ) if text not in NAMES]
    assert not found, found
