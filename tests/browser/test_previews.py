"""Code shown as what it describes, and what it cannot do there; and text that runs from right to left."""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from localchat_ui.conversation import Conversation, Message, Role
from localchat_ui.history.store import HistoryStore

from .conftest import STEADY, Visit
from .payloads import CODE, CSS, SVG_AND_MATHML
from .server import Server
from .visitor import Visitor

CASES = Path(__file__).parents[1] / "markdown" / "cases"
MERMAID = """flowchart LR
  A[Start] --> B{Is it?}
  B -->|yes| C[Done]
  B -->|no| A"""
SVG = '<svg viewBox="0 0 100 50"><rect width="100" height="50" fill="teal"/></svg>'
PAGE = "<h1>Hello</h1><button onclick=\"this.textContent = 'Pressed'\">Press</button>"
CSV = "name,price\nTea,2.50\nCoffee,3\n"
JSON = '[{"name": "Tea", "price": 2.5}, {"name": "<img src=x>"}]'
BLOCKS = {"mermaid": MERMAID, "svg": SVG, "html": PAGE, "csv": CSV, "json": JSON}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("previews"), *STEADY) as server:
        server.stored(_fill)
        yield server


async def _fill(store: HistoryStore) -> None:
    for identity, text in {
        "blocks": "\n\n".join(f"```{language}\n{code}\n```" for language, code in BLOCKS.items()),
        "bad": "```mermaid\nflowchart nowhere\n  A --\n```\n\n```svg\n<svg><g></svg>\n```\n\n"
        "```json\n{\n```\n\n```csv\n1,2\n```",
        "long": "```csv\nn,square\n" + "".join(f"{n},{n * n}\n" for n in range(1, 901)) + "```\n\nAfter.",
        **{name: (CASES / f"{name}.md").read_text(encoding="utf-8") for name in ("rtl", "cjk-bold")},
        "lists": "- سلام\n- كتاب\n\n> اقتباس\n\n"
        "| العمود | Value |\n|---|---|\n| أ | 1 |\n\n- one\n\nافتح /etc/hosts الآن.",
    }.items():
        await _add(store, identity, text)


async def _add(store: HistoryStore, identity: str, reply: str) -> None:
    await store.add_conversation(Conversation(identity, id=identity))
    question = Message(identity, Role.USER, "مرحبا كيف الحال اليوم\nhello")
    await store.add_message(question)
    await store.add_message(Message(identity, Role.ASSISTANT, reply, parent_id=question.id))


def show(anna: Visitor, index: int) -> Locator:
    """Press Preview of one code block; what is shown."""
    figure = anna.replies.first.locator("figure").nth(index)
    figure.get_by_role("button", name="Show preview").click()
    return figure.get_by_role("group")


def test_code_is_shown_as_what_it_describes_and_as_code_again(visit: Visit) -> None:
    anna = visit().open("/c/blocks")
    for index in (0, 1):
        image = show(anna, index).get_by_role("img", name="Picture")
        expect(image).to_be_visible()
        assert image.evaluate("(image) => image.naturalWidth") > 50
    page = show(anna, 2)
    inside = page.locator("iframe").content_frame
    expect(inside.get_by_role("heading")).to_have_text("Hello")
    inside.get_by_role("button", name="Press").click()
    expect(inside.get_by_role("button")).to_have_text("Press")
    expect(page).to_contain_text("Scripts do not run here.")
    expect(show(anna, 3).get_by_role("row")).to_have_text(["nameprice", "Tea2.50", "Coffee3"])
    expect(show(anna, 4).get_by_role("row")).to_have_text(["nameprice", "Tea2.5", "<img src=x>"])
    figure = anna.replies.first.locator("figure").first
    expect(figure.locator("pre")).to_be_hidden()
    anna.page.keyboard.press("Shift+Tab")
    figure.get_by_role("button", name="Show code").focus()
    anna.page.keyboard.press("Enter")
    expect(figure.locator("pre")).to_be_visible()
    expect(figure.get_by_role("img")).to_have_count(0)
    expect(figure.get_by_role("button", name="Show preview")).to_be_focused()


def test_what_is_shown_stays_in_sight(visit: Visit) -> None:
    anna = visit().open("/c/blocks")
    figure = anna.replies.first.locator("figure").nth(2)
    figure.get_by_role("button", name="Show preview").click()
    expect(figure.locator("iframe")).to_be_visible()
    anna.page.wait_for_timeout(300)
    expect(figure.get_by_role("button", name="Show code")).to_be_in_viewport()


def test_what_cannot_be_shown_says_why_and_stays_code(visit: Visit) -> None:
    anna = visit().open("/c/bad")
    for index, reason in enumerate(["mermaid code", "not well-formed", "no JSON", "no rows"]):
        figure = anna.replies.first.locator("figure").nth(index)
        figure.get_by_role("button", name="Show preview").click()
        expect(anna.alert.filter(has_text=reason)).to_be_visible()
        expect(figure.locator("pre")).to_be_visible()
    expect(anna.page.locator("body > [id^=ddiagram], body > svg")).to_have_count(0)


def test_long_data_in_several_pieces_is_one_table(visit: Visit) -> None:
    anna = visit().open("/c/long")
    assert anna.replies.first.locator("figure").count() > 1
    preview = show(anna, 0)
    expect(preview.get_by_role("row")).to_have_count(501)
    expect(preview).to_contain_text("The first of 900 rows.")
    expect(anna.replies.first.locator("figure pre:visible")).to_have_count(0)
    anna.replies.first.get_by_role("button", name="Show code").click()
    expect(anna.replies.first.locator("figure pre:visible")).not_to_have_count(0)


@pytest.fixture
def stranger() -> Iterator[tuple[int, list[str]]]:
    """A host that somebody's code may try to call: its port, and who has called it."""
    calls: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))

        def listen() -> None:
            while True:
                for ready in select.select([tcp, udp], [], [])[0]:
                    if ready is tcp:
                        calls.append("connected")
                        ready.accept()[0].close()
                    elif (message := udp.recv(500)) == b"goodbye":
                        return
                    else:
                        calls.append(str(message))

        thread = threading.Thread(target=listen)
        thread.start()
        yield port, calls
        udp.sendto(b"goodbye", ("127.0.0.1", port))
        thread.join()


@pytest.mark.parametrize("kind", ["svg", "html", "mermaid"])
def test_nothing_that_is_shown_gets_out_of_its_place(
    browser: Browser, server: Server, stranger: tuple[int, list[str]], kind: str
) -> None:
    """No call to anybody, no script in this page, no other page, and nothing of this page within reach."""
    port, calls = stranger
    blocks = [f"```{kind}\n{text}\n```" for text in (SVG_AND_MATHML if kind == "svg" else [*CODE, *CSS])]
    text = re.sub(r"(https?:|wss:)?//evil[-\w.]*", f"http://127.0.0.1:{port}", "\n\n".join(blocks))
    text = text.replace("stun:evil.test", f"stun:127.0.0.1:{port}")
    identity = f"attack-{kind}"
    server.stored(lambda store: _add(store, identity, text))
    seen: list[str] = []
    with browser.new_context() as context:
        context.expose_binding("accuse", lambda _, what: seen.append(what))
        context.add_init_script("for (const name of ['alert', 'print', 'open']) window[name] = () => accuse(origin)")
        anna = Visitor(context.new_page(), server).open(f"/c/{identity}")
        context.on("page", lambda page: seen.append(f"opened {page.url}"))
        before = anna.page.url, anna.page.title()
        figures = anna.replies.first.locator("figure")
        for index in range(figures.count()):
            figures.nth(index).get_by_role("button", name="Show preview").click()
            anna.page.wait_for_timeout(100)
        anna.page.wait_for_timeout(1_000)
        assert (anna.page.url, anna.page.title()) == before
        assert anna.page.evaluate("localStorage.getItem('stolen') ?? ({}).polluted ?? null") is None
        expect(anna.box).to_be_visible()
    assert not seen, "no script runs anywhere"
    assert not calls


def test_blocks_run_the_way_their_words_do(visit: Visit) -> None:
    anna = visit().open("/c/rtl")
    words = anna.replies.first.locator(".words")
    side = "(element) => getComputedStyle(element).direction"
    assert [words.locator("> *").nth(n).evaluate(side) for n in range(4)] == ["rtl", "ltr", "rtl", "ltr"]
    assert {code.evaluate(side) for code in words.locator("code").all()} == {"ltr"}
    anna.open("/c/lists")
    item = anna.replies.first.get_by_role("listitem").first.bounding_box()
    quote = anna.replies.first.locator("blockquote")
    assert item
    assert anna.replies.first.locator("ul").first.evaluate("(ul) => getComputedStyle(ul).paddingRight") != "0px"
    assert quote.evaluate("(quote) => getComputedStyle(quote).borderRightWidth") == "3px"
    cells = [cell.bounding_box() for cell in anna.replies.first.get_by_role("columnheader").all()]
    assert cells[0]
    assert cells[1]
    assert cells[0]["x"] > cells[1]["x"], "the first column stands on the right"


def test_each_line_of_a_question_runs_its_own_way_and_the_box_follows(visit: Visit) -> None:
    anna = visit().open("/c/rtl")
    places = anna.questions.first.locator(".words").evaluate(
        """(words) => [[0, 20], [22, 27]].map(([from, to]) => {
          const range = new Range();
          range.setStart(words.firstChild, from);
          range.setEnd(words.firstChild, to);
          const line = range.getBoundingClientRect(), box = words.getBoundingClientRect();
          return line.left - box.left < box.right - line.right ? "left" : "right";
        })"""
    )
    assert places[1] == "left"
    for text, direction in (("مرحبا", "rtl"), ("hello", "ltr"), ("שלום", "rtl"), ("123", "ltr")):
        anna.box.fill(text)
        assert anna.box.evaluate("(box) => getComputedStyle(box).direction") == direction


def test_the_language_is_told_to_the_browser(visit: Visit) -> None:
    anna = visit().open("/c/cjk-bold")
    expect(anna.replies.first.locator(".words")).to_have_attribute("lang", "ja")
    expect(anna.questions.first.locator(".words")).not_to_have_attribute("lang", "ja")
