"""Conversations out to files, and in from files."""

from __future__ import annotations

from functools import partial

from nicegui import ui

from localchat_ui.chat import ChatService
from localchat_ui.exchange import EXPORTS
from localchat_ui.history.errors import HistoryError
from localchat_ui.i18n import _, translated
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.notices import Notices

IMPORT = "({ target }) => { localchat.upload.conversations(target.files[0]); target.value = ''; }"


class ExchangeMenu:
    """A button with a menu."""

    def __init__(self, chat: ChatService, notices: Notices) -> None:
        self._chat = chat
        self._notices = notices
        # Outside of the menu, which is not there while it is closed.
        chooser = ui.element("input").props('type=file hidden accept=".json,application/json"')
        chooser.on("change", js_handler=IMPORT)
        self._button = text_button(_("Export and import")).classes("quiet").props(f'icon="{icons.EXCHANGE}"')
        with self._button, ui.menu().props("auto-close anchor='top left' self='bottom left'").classes("exchange"):
            for extension, kind in EXPORTS.items():
                ui.menu_item(_("Export all as {format}").format(format=kind.label), partial(self.export, extension))
            ui.separator()
            # The browser only opens its dialog within the press itself.
            choose = f"() => getHtmlElement({chooser.id}).click()"
            with ui.menu_item().on("click", js_handler=choose), ui.item_section():
                ui.item_label(_("Import…"))
                ui.item_label(_("JSON of this program or of ChatGPT")).props("caption")

    async def export(self, extension: str, conversation_id: str | None = None) -> None:
        """Hand the browser a file with one conversation, or all."""
        with self._button:
            try:
                name, text = await self._chat.export(extension, conversation_id)
            except HistoryError as error:
                self._notices.show(translated(error))
                return
            ui.download.content(text, name, EXPORTS[extension].media_type)
