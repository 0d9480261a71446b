"""Code that can be shown as what it describes. The browser does it, but for tables, which are made here."""

from __future__ import annotations

import json

from nicegui import ui
from nicegui.elements import mermaid  # noqa: F401 - the browser can import its library by name from now on
from nicegui.events import GenericEventArguments

from localchat_ui.i18n import translated
from localchat_ui.markdown.data_table import DataError, data_table


def answer_previews() -> None:
    """Make the tables that the current page asks for."""

    def show(event: GenericEventArguments) -> None:
        ticket, language, text = (str(event.args[key]) for key in ("ticket", "language", "text"))
        try:
            html, refusal = data_table(text, language), ""
        except DataError as error:
            html, refusal = "", translated(error)
        told = json.dumps([ticket, html, refusal])[1:-1]
        # JSON is a JavaScript literal that nothing in the text can break out of.
        ui.run_javascript(f"localchat.previews.answer({told})")

    ui.on("table", show)
