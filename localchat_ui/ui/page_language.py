"""The language of a page: what its `<html>` says, and the texts that its JavaScript shows."""

from __future__ import annotations

import copy
import json
from typing import cast

from nicegui import ui
from nicegui.language import Language
from nicegui.translations import translations

from localchat_ui.i18n import ENGLISH, _, catalogue, current_language, direction_of
from localchat_ui.text import N_

# What NiceGUI says, for the languages that it does not know itself.
NICEGUI = {
    "connection_lost": N_("Connection lost."),
    "trying_to_reconnect": N_("Trying to reconnect..."),
    "message_too_long": N_("Message too long"),
    "message_too_long_body": N_("The message is too large for WebSocket transmission."),
}


def apply() -> None:
    """Let the current page speak the visitor's language. It comes before the scripts, which look their texts up."""
    language = current_language()
    if language == ENGLISH:
        return
    # One page object serves all visitors.
    client = ui.context.client
    client.page = copy.copy(client.page)
    client.page.language = code = cast(Language, language)
    translations.setdefault(code, {name: _(text) for name, text in NICEGUI.items()})
    texts = json.dumps(catalogue(language).browser, ensure_ascii=False).replace("<", "\\u003c")
    # Quasar says the direction, too, but only when it is drawn.
    ui.add_head_html(
        f"<script>window.localchatTexts = {texts}; document.documentElement.dir = '{direction_of(language)}'</script>"
    )
