"""Asks before something that cannot be undone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from localchat_ui.i18n import _
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import one_press, text_button


class Confirm:
    """Stands where it is made; one dialog at a time."""

    def __init__(self) -> None:
        self._place = ui.element("div")

    def ask(self, title: str, text: str, yes: str, then: Callable[[], Awaitable[None]]) -> None:
        """`yes` is the button that goes on; it names what happens."""

        async def go_on() -> None:
            dialog.close()
            with self._place:
                await then()

        self._place.clear()
        with self._place:
            dialog = Dialog(title, close=_("Close"))
            with dialog.body:
                ui.label(text).classes("dialog-text")
                with ui.element("div").classes("dialog-actions"):
                    text_button(_("Cancel"), dialog.close)
                    text_button(yes, one_press(go_on)).classes("danger")
        dialog.open()
