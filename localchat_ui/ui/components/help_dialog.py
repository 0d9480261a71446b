"""The keyboard shortcuts, to be read; the keys themselves are obeyed in `browser/keys.js`."""

from __future__ import annotations

from html import escape

from nicegui import ui

from localchat_ui.i18n import _
from localchat_ui.text import N_
from localchat_ui.ui import icons, shortcuts
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import icon_button
from localchat_ui.ui.shortcuts import Shortcut

TITLE = N_("Keyboard shortcuts")
REMARK = N_("The arrow keys act on the focused message. Esc closes what is open first.")
# What stands on a key, and on that of a Mac when it differs.
CAPS = {
    "Escape": (N_("Esc"), "esc"),
    "Enter": (N_("Enter"), "↵"),
    **{f"Arrow{name}": (arrow, arrow) for name, arrow in (("Left", "←"), ("Right", "→"), ("Up", "↑"))},
}
CTRL, SHIFT = (N_("Ctrl"), "⌘"), (N_("Shift"), "⇧")


class HelpDialog:
    """Draws the button that opens it where it is made."""

    def __init__(self) -> None:
        ui.add_head_html(shortcuts.script())
        button = icon_button(icons.KEYBOARD, _(TITLE)).classes("only-keyboard")
        dialog = Dialog(_(TITLE), close=_("Close keyboard shortcuts"), html_id="shortcuts")
        dialog.open_with(button)
        with dialog.body:
            # One element of the page instead of fifty: every page is made with them.
            rows = "".join(
                f"<div><dt>{escape(_(each.text))}</dt><dd>{_keys(each)}</dd></div>" for each in shortcuts.SHORTCUTS
            )
            ui.html(rows, sanitize=False, tag="dl").classes("shortcuts")
            ui.label(_(REMARK)).classes("hint")


def _keys(shortcut: Shortcut) -> str:
    held = [CTRL] * shortcut.mod + [SHIFT] * shortcut.shift
    return "".join(_cap(*caps) for caps in [*held, CAPS.get(shortcut.key, (shortcut.key, shortcut.key))])


def _cap(cap: str, mac_cap: str) -> str:
    if cap == mac_cap:
        return f"<kbd>{cap}</kbd>"
    return f'<kbd class="not-mac">{escape(_(cap))}</kbd><kbd class="mac">{mac_cap}</kbd>'
