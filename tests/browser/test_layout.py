"""Stories of looking and reaching: Markdown, narrow and wide pages, light and dark, touch, and the keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from localchat_ui.conversation import Conversation, GenerationStats, Message, MessageState, Role
from localchat_ui.history.store import HistoryStore

from .conftest import STEADY, Visit
from .server import Server
from .visitor import LONG, SHORT, Visitor

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}

QUESTION = "Show me everything: " + "Donaudampfschifffahrtsgesellschaft" * 5
REPLY = f"""# Everything

A paragraph with **bold**, *leaning*, ~~struck~~ and `code`, and a word without end: {"abcdefghij" * 30}.

1. First
2. Second
   - inside
- [x] done
- [ ] to do

| Name | Value | {"Column | " * 12}
|---|---:|{"---|" * 12}
| one | 1 | {"cell | " * 12}

```python
def long_line():
    return "{"very long " * 40}"
```

> Quoted, and a link: <https://example.com/{"path/" * 60}>

<script>document.title = "owned"</script><img src="http://example.com/spy.png">
![spy](http://example.com/spy.png)

`{"inline" * 60}`
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), *STEADY, "--max-tokens", "100")
    server.stored(_keep_everything)
    with server:
        yield server
        print(server.output())  # noqa: T201 - shown by pytest when a test fails


async def _keep_everything(store: HistoryStore) -> None:
    """One conversation that shows all there is to show."""
    conversation = Conversation(title=QUESTION, id="everything")
    await store.add_conversation(conversation)
    parent = None
    stats = GenerationStats(reply_tokens=512, context_tokens=900, tokens_per_second=123, finish_reason="length")
    for role, text, state, error in (
        (Role.USER, QUESTION, MessageState.COMPLETE, None),
        (Role.ASSISTANT, REPLY, MessageState.COMPLETE, None),
        (Role.USER, "first line\n\n    indented <b>line</b>", MessageState.COMPLETE, None),
        (Role.ASSISTANT, "Half a sen", MessageState.STOPPED, None),
        (Role.USER, "Why?", MessageState.COMPLETE, None),
        (Role.ASSISTANT, "", MessageState.FAILED, f"The engine fell over {'at/a/very/long/path' * 10}."),
    ):
        done = stats if state is MessageState.COMPLETE and role is Role.ASSISTANT else None
        message = Message(conversation.id, role, text, parent_id=parent, state=state, error=error, stats=done)
        await store.add_message(message)
        parent = message.id


def test_markdown_is_drawn_and_html_is_not_obeyed(visit: Visit) -> None:
    anna = visit().open("/c/everything")
    reply = anna.replies.first

    expect(reply.get_by_role("heading", name="Everything")).to_be_visible()
    expect(reply.get_by_role("listitem")).to_have_text(["First", re.compile("Second"), "inside", "done", "to do"])
    expect(reply.get_by_role("checkbox")).to_have_count(2)
    expect(reply.get_by_role("table").get_by_role("cell")).to_contain_text(["one", "1"])
    expect(reply.locator("strong")).to_have_text("bold")
    code = reply.get_by_role("figure")
    expect(code).to_contain_text("python")
    expect(code.locator("pre")).to_contain_text("def long_line():\n    return", use_inner_text=True)
    assert code.locator("pre span").count() > 3  # highlighted
    expect(reply).to_contain_text('<script>document.title = "owned"</script>')
    expect(reply.locator("img")).to_have_count(0)
    expect(anna.page).not_to_have_title("owned")
    expect(anna.questions.nth(1).locator(".words")).to_have_text(
        "first line\n\n    indented <b>line</b>", use_inner_text=True
    )
    expect(anna.replies.nth(1)).to_contain_text("Stopped.")
    expect(anna.replies.nth(2).get_by_role("alert")).to_contain_text("The engine fell over")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_page(visit: Visit, scheme: str, width: int) -> None:
    anna = visit(viewport={"width": width, "height": 844}, color_scheme=scheme).open("/c/everything")
    expect(anna.replies).to_have_count(3)

    assert (_brightness(anna) > 200) is (scheme == "light")
    _see_nothing_wider_than_the_page(anna)
    pre = anna.replies.first.locator("pre")
    assert pre.evaluate("pre => pre.scrollWidth > pre.clientWidth"), "a long line of code is scrolled in its own box"
    name = anna.replies.first.locator("th").nth(2)
    lines = name.evaluate(
        "th => { const r = new Range(); r.selectNodeContents(th); return r.getClientRects().length; }"
    )
    assert lines == 1, "a word in a table is not broken into pieces; the table is scrolled instead"


def test_the_page_follows_when_the_system_turns_dark(visit: Visit) -> None:
    anna = visit(color_scheme="light").open()
    assert _brightness(anna) > 200

    anna.page.emulate_media(color_scheme="dark")

    anna.page.wait_for_function("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 60")


def test_the_whole_story_on_a_phone(visit: Visit) -> None:
    anna = visit(**PHONE).open()
    expect(anna.conversations).to_be_hidden()
    expect(anna.settings).to_be_hidden()

    anna.box.tap()
    anna.page.keyboard.type("Say\nhello.")
    expect(anna.box).to_have_value("Say\nhello.")
    anna.send.tap()
    expect(anna.questions.locator(".words")).to_have_text(["Say\nhello."], use_inner_text=True)
    assert anna.reply()
    _see_nothing_wider_than_the_page(anna)

    anna.settings_button.tap()
    expect(anna.settings).to_be_visible()
    _see_nothing_wider_than_the_page(anna)
    anna.number("Max tokens").fill("16")
    anna.settings.get_by_role("button", name="Close settings").tap()
    expect(anna.settings).to_be_hidden()
    anna.box.fill(LONG)
    anna.send.tap()
    expect(anna.questions).to_have_count(2)
    assert "Ended at the limit of 16 tokens" in anna.reply()

    _open_drawer(anna)
    _see_nothing_wider_than_the_page(anna)
    anna.new_chat.tap()
    expect(anna.conversations).to_be_hidden()
    expect(anna.questions).to_have_count(0)
    _open_drawer(anna)
    anna.link("Say").tap()
    expect(anna.conversations).to_be_hidden()
    expect(anna.questions).to_have_count(2)

    _open_drawer(anna)
    anna.act("Say", "Delete")
    anna.page.get_by_role("button", name="Undo").tap()
    expect(anna.questions).to_have_count(2)
    anna.choose_model("SmolLM2")
    _see_nothing_wider_than_the_page(anna)


@pytest.mark.parametrize("panel", ["conversations", "settings"])
def test_escape_and_a_tap_beside_it_close_a_panel_on_a_phone(visit: Visit, panel: str) -> None:
    anna = visit(**PHONE).open()
    expect(anna.status).to_contain_text("Ready")
    button, shown, x = (
        (anna.page.get_by_role("button", name="Conversation list"), anna.conversations, 380)
        if panel == "conversations"
        else (anna.settings_button, anna.settings, 8)
    )

    button.tap()
    expect(shown).to_be_visible()
    expect(button).to_have_attribute("aria-expanded", "true")
    anna.page.keyboard.press("Escape")
    expect(shown).to_be_hidden()
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(button).to_be_focused()

    button.tap()
    expect(shown).to_be_visible()
    anna.page.touchscreen.tap(x, 500)
    expect(shown).to_be_hidden()


def test_a_wide_page_remembers_which_panels_stand_open(visit: Visit) -> None:
    anna = visit().open()
    expect(anna.conversations).to_be_visible()
    anna.page.get_by_role("button", name="Conversation list").click()
    anna.open_settings()

    anna.page.reload()

    expect(anna.settings).to_be_visible()
    expect(anna.conversations).to_be_hidden()


def test_everything_can_be_reached_with_the_tab_key_and_shows_it(visit: Visit) -> None:
    anna = visit().open("/c/everything").open_settings()
    expect(anna.listed()).not_to_have_count(0)
    anna.box.fill("A draft")
    wanted = {
        "New chat": anna.new_chat,
        "the conversation": anna.link(QUESTION),
        "Model": anna.model,
        "Settings": anna.settings_button,
        "the code that scrolls": anna.replies.first.locator("pre"),
        "Retry": anna.replies.last.get_by_role("button", name="Retry"),
        "Message": anna.box,
        "Send": anna.send,
        "System prompt": anna.settings.get_by_role("textbox", name="System prompt"),
        "Temperature value": anna.number("Temperature"),
        "Seed": anna.number("Seed"),
        "Reset to defaults": anna.settings.get_by_role("button", name="Reset to defaults"),
    }

    anna.page.evaluate("document.activeElement.blur()")
    reached, unseen = [], []
    for _ in range(120):
        anna.page.keyboard.press("Tab")
        for name, element in wanted.items():
            if name not in reached and element.evaluate("element => element === document.activeElement"):
                reached.append(name)
                if not _shows_focus(anna):
                    unseen.append(name)
        if len(reached) == len(wanted):
            break

    assert set(reached) == set(wanted)
    assert not unseen
    from_the_top = reached.index("New chat")
    order = reached[from_the_top:] + reached[:from_the_top]
    assert order.index("Model") < order.index("Message") < order.index("Send")


def test_a_conversation_with_the_keyboard_alone(visit: Visit) -> None:
    anna = visit().open()
    expect(anna.box).to_be_focused()

    anna.page.keyboard.type(LONG)
    anna.page.keyboard.press("Tab")
    expect(anna.send).to_be_focused()
    anna.page.keyboard.press("Space")
    expect(anna.questions.locator(".words")).to_have_text([LONG])
    expect(anna.box).to_be_focused()
    expect(anna.stop).to_be_visible()
    anna.page.keyboard.press("Tab")
    expect(anna.stop).to_be_focused()
    anna.page.keyboard.press("Enter")
    anna.reply()
    expect(anna.replies.last).to_contain_text("Stopped.")

    anna.settings_button.focus()
    anna.page.keyboard.press("Enter")
    expect(anna.settings).to_be_visible()
    assert anna.settings.evaluate("panel => panel.contains(document.activeElement)")


def test_focus_is_not_lost_when_stop_goes_away(visit: Visit) -> None:
    anna = visit().open()
    anna.ask(LONG)
    anna.stop.focus()

    anna.page.keyboard.press("Enter")

    anna.reply()
    expect(anna.send).to_be_visible()
    assert anna.page.evaluate("document.activeElement !== document.body")
    anna.page.keyboard.type(SHORT)
    expect(anna.box).to_have_value(SHORT)


def _open_drawer(person: Visitor) -> None:
    person.page.get_by_role("button", name="Conversation list").tap()
    expect(person.conversations).to_be_visible()


def _brightness(person: Visitor) -> int:
    """Of the page's background, from 0 to 255."""
    return int(person.page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"))


def _see_nothing_wider_than_the_page(person: Visitor) -> None:
    """Neither the page nor anything around the messages can be scrolled sideways."""
    wide = person.log.evaluate(
        """log => {
          const wide = [];
          if (document.scrollingElement.scrollWidth > innerWidth) wide.push('the page');
          for (let box = log; box; box = box.parentElement)
            if (box.scrollWidth > box.clientWidth + 1) wide.push(`${box.tagName} ${box.className}`);
          for (const article of log.querySelectorAll('article'))
            if (article.scrollWidth > article.clientWidth + 1) wide.push(article.innerText.slice(0, 40));
          return wide;
        }"""
    )
    assert not wide


def _shows_focus(person: Visitor) -> bool:
    """Whether what has the focus looks different from how it looks when the focus is nowhere."""
    place = person.page.evaluate("(window.left = document.activeElement).getBoundingClientRect().toJSON()")
    x, y = max(place["x"] - 10, 0), max(place["y"] - 10, 0)
    around = {"x": x, "y": y, "width": min(place["width"], 300) + 20, "height": min(place["height"], 100) + 20}
    focused = person.page.screenshot(clip=around, animations="disabled")
    person.page.evaluate("left.blur()")
    blurred = person.page.screenshot(clip=around, animations="disabled")
    person.page.evaluate("left.focus({ preventScroll: true })")
    return focused != blurred
