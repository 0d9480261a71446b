"""The keys of the page, once: `browser/keys.js` obeys this table and the help dialog shows it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


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
    Shortcut("Send the message", "Enter"),
    Shortcut("New line in the message", "Enter", shift=True),
    Shortcut("Edit the last message, in an empty box", "ArrowUp"),
    Shortcut("Save or send an edited message", "Enter", mod=True),
    Shortcut("Close a menu or panel, or stop the reply", "Escape", "escape"),
    Shortcut("New chat", "O", "newChat", mod=True, shift=True),
    Shortcut("Search conversations", "K", "search", mod=True),
    Shortcut("Show or hide conversations", "B", "toggleList", mod=True),
    Shortcut("Previous version of a message", "ArrowLeft", "previousVersion"),
    Shortcut("Next version of a message", "ArrowRight", "nextVersion"),
    Shortcut("Show these shortcuts", "/", "help", mod=True),
)


def script() -> str:
    """Hands the table to `browser/keys.js`."""
    table = [asdict(shortcut) for shortcut in SHORTCUTS if shortcut.action]
    return f"<script>localchat.shortcuts = {json.dumps(table)}</script>"
