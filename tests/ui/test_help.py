"""The help dialog shows every key that the page obeys, and the suggestions say what they put into the box."""

from __future__ import annotations

import json
import re

from localchat_ui.ui import design, shortcuts
from localchat_ui.ui.components.starters import STARTERS
from localchat_ui.ui.shortcuts import SHORTCUTS
from tests.ui.conftest import Program

BROWSER = (design.ROOM / "browser" / "keys.js").read_text(encoding="utf-8")


async def test_the_dialog_lists_every_shortcut_with_its_keys(running: Program) -> None:
    me = running.visitor()
    await me.open()

    [listed] = [element for element in me.user.current_layout.descendants() if "shortcuts" in element.classes]
    rows = re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", listed.content)
    assert [name for name, _ in rows] == [shortcut.text for shortcut in SHORTCUTS]
    caps = {name: re.findall('<kbd(?: class="not-mac")?>(.*?)</kbd>', keys) for name, keys in rows}
    mac_caps = {name: re.findall('<kbd(?: class="mac")?>(.*?)</kbd>', keys) for name, keys in rows}
    assert caps["New chat"] == ["Ctrl", "Shift", "O"]
    assert mac_caps["New chat"] == ["⌘", "⇧", "O"]
    assert caps["Previous version of a message"] == mac_caps["Previous version of a message"] == ["←"]


async def test_the_button_says_that_it_opens_a_dialog(running: Program) -> None:
    me = running.visitor()
    await me.open()

    assert me.find("Keyboard shortcuts").props["aria-haspopup"] == "dialog"


def test_the_browser_knows_what_to_do_for_each_key() -> None:
    body = re.search(r"const actions = \{(.*?)\n  \};", BROWSER, re.DOTALL)
    assert body
    known = re.findall(r"^    (\w+)(?:\(|:)", body[1], re.MULTILINE)

    assert sorted(known) == sorted(shortcut.action for shortcut in SHORTCUTS if shortcut.action)


def test_the_page_hands_the_table_to_the_browser() -> None:
    table = json.loads(shortcuts.script().removeprefix("<script>localchat.shortcuts = ").removesuffix("</script>"))

    assert {"key": "K", "action": "search", "mod": True, "shift": False}.items() <= table[2].items()
    assert all(entry["action"] for entry in table)


def test_a_suggestion_that_waits_for_words_ends_where_they_go() -> None:
    assert 3 <= len(STARTERS) <= 4
    assert [starter.whole for starter in STARTERS].count(True) >= 2
    assert all(starter.text.endswith(("\n", " ")) for starter in STARTERS if not starter.whole)
