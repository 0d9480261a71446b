"""The keys of the page, once: `browser/keys.js` obeys this table and the help dialog shows it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from localchat_ui.text import N_


@dataclass(frozen=True)
class Shortcut:
    """`key` is the browser's name of it. `mod` is Ctrl, and ⌘ on a Mac. `action` is what `browser/keys.js` calls it;
    keys without one belong to the boxes to write in."""

    text: str
    key: str
    action: str = ""
    mod: bool = False
    shift: bool = False


SHORTCUTS = (
    Shortcut(N_("Send the message"), "Enter"),
    Shortcut(N_("New line in the message"), "Enter", shift=True),
    Shortcut(N_("Edit the last message, in an empty box"), "ArrowUp"),
    Shortcut(N_("Save or send an edited message"), "Enter", mod=True),
    Shortcut(N_("Close a menu or panel, or stop the reply"), "Escape", "escape"),
    Shortcut(N_("New chat"), "O", "newChat", mod=True, shift=True),
    Shortcut(N_("Search conversations"), "K", "search", mod=True),
    Shortcut(N_("Show or hide conversations"), "B", "toggleList", mod=True),
    Shortcut(N_("Previous version of a message"), "ArrowLeft", "previousVersion"),
    Shortcut(N_("Next version of a message"), "ArrowRight", "nextVersion"),
    Shortcut(N_("Show these shortcuts"), "/", "help", mod=True),
)


def script() -> str:
    """Hands the table to `browser/keys.js`."""
    table = [asdict(shortcut) for shortcut in SHORTCUTS if shortcut.action]
    return f"<script>localchat.shortcuts = {json.dumps(table)}</script>"
