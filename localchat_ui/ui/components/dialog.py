"""A modal dialog that the browser runs alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from nicegui import ui

from localchat_ui.ui import icons
from localchat_ui.ui.components.element import icon_button

# Pressed, not clicked: a selection dragged out of a field ends with a click beside the dialog. The press does nothing
# else, or it would take the focus that the dialog gives back.
PRESS = """(event) => {
  if (event.target.tagName !== "DIALOG") return;
  event.preventDefault();
  event.target.close();
}"""


class Dialog:
    """The browser's own `<dialog>`: it holds the focus, closes with Escape, and gives the focus back to where it was.

    Fill it `with dialog.body`.
    """

    def __init__(self, title: str, *, close: str, html_id: str | None = None) -> None:
        """`close` is what the button is called that closes it."""
        with ui.element("dialog").classes("dialog") as self._dialog:
            if html_id:
                self._dialog.props["id"] = html_id
            self.body = ui.element("div").classes("dialog-body")
        with self.body, ui.element("div").classes("dialog-title"):
            with ui.element("h2") as heading:
                ui.label(title)
            self._dialog.props["aria-labelledby"] = heading.html_id
            icon_button(icons.CLOSE, close).on("click", js_handler=f"() => {self._element}.close()")
        # An Escape is spent here; what lies below stays as it is.
        self._dialog.on("keydown", js_handler="(event) => { if (event.key === 'Escape') event.stopPropagation(); }")
        self._dialog.on("mousedown", js_handler=PRESS)

    def on_close(self, handler: Callable[[], Any]) -> None:
        """However it is closed."""
        self._dialog.on("close", handler, args=[])

    def open_with(self, button: ui.button) -> None:
        """Let this button open the dialog."""
        button.props["aria-haspopup"] = "dialog"
        button.on("click", js_handler=f"() => localchat.focus.showDialog({self._element})")

    def open(self) -> None:
        ui.run_javascript(f"localchat.focus.showDialog({self._element})")

    def close(self) -> None:
        ui.run_javascript(f"{self._element}?.close()")

    @property
    def _element(self) -> str:
        return f"document.getElementById({json.dumps(self._dialog.props.get('id', self._dialog.html_id))})"
