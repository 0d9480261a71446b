"""The keyboard shortcuts, to be read; the keys themselves are obeyed in `browser/keys.js`."""

from __future__ import annotations

from nicegui import ui

from localchat_ui.ui import icons, shortcuts
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import icon_button
from localchat_ui.ui.shortcuts import Shortcut

TITLE = "Keyboard shortcuts"
REMARK = "The arrows act on the message in which the focus is. Esc first closes what lies open."
# What stands on a key, and on that of a Mac when it differs.
CAPS = {"Escape": ("Esc", "esc"), "Enter": ("Enter", "↵"), "ArrowLeft": ("←", "←"), "ArrowRight": ("→", "→")}
CTRL, SHIFT = ("Ctrl", "⌘"), ("Shift", "⇧")


class HelpDialog:
    """Draws the button that opens it where it is made."""

    def __init__(self) -> None:
        ui.add_head_html(shortcuts.script())
        button = icon_button(icons.KEYBOARD, TITLE).classes("only-keyboard")
        dialog = Dialog(TITLE, close="Close keyboard shortcuts", html_id="shortcuts")
        dialog.open_with(button)
        with dialog.body, ui.element("dl").classes("shortcuts"):
            for shortcut in shortcuts.SHORTCUTS:
                with ui.element("div"):
                    ui.html(shortcut.text, sanitize=False, tag="dt")
                    with ui.element("dd"):
                        _keys(shortcut)
        with dialog.body:
            ui.label(REMARK).classes("hint")


def _keys(shortcut: Shortcut) -> None:
    held = [CTRL] * shortcut.mod + [SHIFT] * shortcut.shift
    for cap, mac_cap in [*held, CAPS.get(shortcut.key, (shortcut.key, shortcut.key))]:
        if cap == mac_cap:
            ui.html(cap, sanitize=False, tag="kbd")
        else:
            ui.html(cap, sanitize=False, tag="kbd").classes("not-mac")
            ui.html(mac_cap, sanitize=False, tag="kbd").classes("mac")
