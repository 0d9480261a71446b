"""What axe finds on the page, in every state that people meet it in: nothing serious, light and dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from localchat_ui.conversation import Conversation, GenerationStats, Message, MessageState, Role
from localchat_ui.history.presets import Presets
from localchat_ui.history.store import HistoryStore

from .conftest import STEADY, Visit
from .server import Server
from .visitor import LONG, Visitor

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
# Half-drawn colours have no contrast: nothing may fade while axe looks.
STILL = {"reduced_motion": "reduce"}

REPLY = """# A heading

A paragraph with **bold**, `code` and a [link](https://example.com).

1. First
2. Second
   - [x] done

| Name | Value |
|---|---:|
| one | 1 |

```python
def greet(name: str) -> str:
    # say hello
    return f"Hello, {name}!"
```

> Quoted, and a formula: $a^2 + b^2 = c^2$

<details open>
<summary>More</summary>

H<sub>2</sub>O, <kbd>Ctrl</kbd>, <mark>marked</mark> and https://example.org
</details>

- مرحبا `code`
- hello

```svg
<svg viewBox="0 0 9 9">
  <circle r="4"/>
</svg>
```

```html
<p>A page</p>
```

```csv
name,value
one,1
```

```
a line of plain code that is wider than any phone, which the keyboard has to be able to scroll
```
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), *STEADY, "--max-tokens", "2000")
    server.stored(_keep_a_conversation)
    with server:
        yield server
        print(server.output())  # noqa: T201 - shown by pytest when a test fails


async def _keep_a_conversation(store: HistoryStore) -> None:
    """With everything Markdown draws, and a reply that failed."""
    conversation = Conversation(title="Everything", id="everything")
    await store.add_conversation(conversation)
    stats = GenerationStats(reply_tokens=512, context_tokens=900, tokens_per_second=123, finish_reason="length")
    question = Message(conversation.id, Role.USER, "Show me everything.")
    answer = Message(conversation.id, Role.ASSISTANT, REPLY, parent_id=question.id, stats=stats)
    notice = Message(conversation.id, Role.SYSTEM, "From now on in rhyme.", parent_id=answer.id)
    again = Message(conversation.id, Role.USER, "Again?", parent_id=notice.id)
    failed = Message(conversation.id, Role.ASSISTANT, "", parent_id=again.id, state=MessageState.FAILED)
    failed.error = "The engine fell over."
    for message in (question, answer, notice, again, failed):
        await store.add_message(message)
    await Presets(store.database).save("Pirate", "You are a pirate.")


def _empty(person: Visitor) -> None:
    person.open()
    expect(person.status).to_contain_text("Ready")


def _conversation(person: Visitor) -> None:
    person.open("/c/everything")
    expect(person.replies).to_have_count(2)
    person.replies.first.hover()


def _previews(person: Visitor) -> None:
    _conversation(person)
    for button in person.replies.first.get_by_role("button", name="Show preview").all()[::-1]:
        button.click()
    expect(person.replies.first.get_by_role("button", name="Show code")).to_have_count(3)


def _tokens(person: Visitor) -> None:
    _conversation(person)
    person.replies.first.locator(".words > p").first.click()  # shows its actions on a touch screen
    person.choose_action(person.replies.first, "About this reply")
    person.replies.first.get_by_role("button", name="Token probabilities").click()
    tokens = person.replies.first.get_by_role("group", name="Tokens").get_by_role("button")
    tokens.nth(3).click()
    expect(person.replies.first.locator(".alternatives button").first).to_be_visible()


def _streaming(person: Visitor) -> None:
    person.open().ask(LONG)
    person.see_growing()


def _settings(person: Visitor) -> None:
    person.open().open_settings()
    person.settings.get_by_role("combobox", name="Preset", exact=True).click()
    person.page.get_by_role("option", name="Pirate").click()
    person.settings.get_by_role("button", name="Make these my defaults").click()
    expect(person.settings).to_contain_text("Saved.")


def _settings_that_are_searched(person: Visitor) -> None:
    person.open().open_settings()
    person.number("Top k").fill("12")
    person.number("Temperature").fill("9")
    expect(person.settings.get_by_role("alert")).to_have_text("Must be from 0 to 2.")
    person.settings.get_by_role("searchbox").fill("sampling")
    expect(person.settings.get_by_role("radiogroup", name="Theme")).to_be_hidden()


def _menu_of_a_message(person: Visitor) -> None:
    person.open("/c/everything")
    person.replies.first.hover()
    person.replies.first.get_by_role("button", name="More actions").click()
    expect(person.page.get_by_role("menuitem", name="Delete")).to_be_visible()


def _edit(person: Visitor) -> None:
    person.open("/c/everything")
    person.questions.first.hover()
    person.questions.first.get_by_role("button", name="Edit").click()
    expect(person.page.get_by_role("textbox", name="Edit message")).to_be_focused()


def _presets(person: Visitor) -> None:
    person.open().open_settings()
    person.settings.get_by_role("combobox", name="Preset", exact=True).click()
    expect(person.page.get_by_role("option", name="Pirate")).to_be_visible()


def _preset_dialog(person: Visitor) -> None:
    person.open().open_settings()
    person.settings.get_by_role("button", name="Save as preset…").click()
    expect(person.page.get_by_role("dialog", name="Save as preset")).to_be_visible()


def _help(person: Visitor) -> None:
    person.open()
    person.page.keyboard.press("Control+/")
    expect(person.page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()


def _alert(person: Visitor) -> None:
    person.open("/c/gone")
    expect(person.alert).to_contain_text("This conversation was not found")


def _list_on_a_phone(person: Visitor) -> None:
    person.open("/c/everything")
    person.page.get_by_role("button", name="Conversation list").click()
    expect(person.link("Everything")).to_be_visible()


def _notices(person: Visitor) -> None:
    person.open("/c/everything")
    for kind in ("info", "success", "warning", "error"):
        told = {"kind": kind, "text": f"This is of the kind {kind}.", "action": "Undo"}
        person.page.evaluate("(told) => localchat.notices.show(told)", told)
    expect(person.page.get_by_text("This is of the kind error.")).to_be_visible()


def _attached_file(person: Visitor) -> None:
    person.open()
    file = {"name": "notes.md", "mimeType": "text/plain", "buffer": b"Some notes"}
    person.page.set_input_files("input[type=file][multiple]", files=[file])
    person.page.get_by_role("list", name="Attached files").get_by_role("button", name="notes.md 1 kB").click()
    expect(person.page.get_by_role("dialog", name="notes.md")).to_be_visible()


def _trash(person: Visitor) -> None:
    person.open("/c/everything")
    person.page.get_by_role("button", name="Trash", exact=True).click()
    expect(person.page.get_by_role("dialog", name="Trash")).to_be_visible()


WIDE = [_empty, _conversation, _previews, _tokens, _streaming, _settings, _presets, _preset_dialog, _help, _alert]
WIDE += [_settings_that_are_searched, _menu_of_a_message, _edit]
NARROW = [_empty, _conversation, _previews, _tokens, _settings, _list_on_a_phone]
WIDE += [_notices, _attached_file, _trash]
NARROW += [_notices]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", WIDE, ids=lambda state: state.__name__.strip("_"))
def test_nothing_serious_on_a_desk(visit: Visit, state: Callable[[Visitor], None], scheme: str) -> None:
    anna = visit(color_scheme=scheme, **STILL)
    state(anna)

    assert findings(anna) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", NARROW, ids=lambda state: state.__name__.strip("_"))
def test_nothing_serious_on_a_phone(visit: Visit, state: Callable[[Visitor], None], scheme: str) -> None:
    anna = visit(color_scheme=scheme, **PHONE, **STILL)
    state(anna)

    assert findings(anna) == []


def test_pages_have_one_main_part_and_all_is_in_a_landmark(visit: Visit) -> None:
    anna = visit(**STILL)
    for path in ("/", "/models", "/system", "/compare", "/compare/results"):
        anna.page.goto(anna.server.url + path)
        anna.page.get_by_role("main").wait_for()
        assert Axe().run(anna.page).response["violations"] == []

    anna.open().page.get_by_role("button", name="How the model is loaded").click()
    expect(anna.page.get_by_role("dialog").get_by_role("button", name="Reload with these")).to_be_visible()
    assert findings(anna) == []


def test_the_check_finds_what_is_wrong(visit: Visit) -> None:
    anna = visit(**STILL).open()
    anna.page.evaluate("document.querySelector('.header button').removeAttribute('aria-label')")
    anna.page.evaluate("document.querySelector('.header button').removeAttribute('title')")

    assert [finding.split(":")[0] for finding in findings(anna)] == ["critical button-name"]


def findings(person: Visitor) -> list[str]:
    """What axe calls serious or critical: the rule, where, and what is the matter."""
    violations = Axe().run(person.page).response["violations"]
    return [
        f"{rule['impact']} {rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in violations
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
