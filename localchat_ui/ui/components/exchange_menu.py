"""Conversations out to files, and in from files."""

from __future__ import annotations

from functools import partial

from nicegui import ui
from nicegui.events import UploadEventArguments

from localchat_ui.chat import ChatService
from localchat_ui.exchange import EXPORTS, MAX_BYTES, ImportRefusedError
from localchat_ui.history.errors import HistoryError
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import icon_button

TOO_LARGE = f"The file is larger than {MAX_BYTES // 2**20} MB, or not a JSON file. Nothing was imported."


class Notes:
    """Room for one line of news in the list, and for one of trouble."""

    def __init__(self) -> None:
        self._news, self._trouble = _Note("status"), _Note("alert")

    def say(self, text: str) -> None:
        self._news.show(text)
        self._trouble.show("")

    def complain(self, text: str) -> None:
        self._news.show("")
        self._trouble.show(text)


class _Note:
    def __init__(self, role: str) -> None:
        with ui.element("div").classes(f"note {role}").props(f"role={role}") as self._note:
            self._text = ui.label().props("dir=auto")
            icon_button(icons.CLOSE, "Dismiss", lambda: self.show(""))
        self._note.set_visibility(False)

    def show(self, text: str) -> None:
        self._text.set_text(text)
        self._note.set_visibility(bool(text))


class ExchangeMenu:
    """A button with a menu. `notes` is set once there is a place for them."""

    def __init__(self, chat: ChatService) -> None:
        self._chat = chat
        self.notes: Notes
        # Outside of the menu, which is not there while it is closed.
        self._upload = ui.upload(
            on_upload=self._import, on_rejected=self._refuse, max_file_size=MAX_BYTES, auto_upload=True
        )
        self._upload.props("accept=.json").classes("file-chooser")
        ui.context.client.on_delete(self._let_go)
        self._button = icon_button(icons.EXCHANGE, "Export and import")
        with self._button, ui.menu().props("auto-close anchor='bottom end' self='top end'").classes("exchange"):
            for extension, kind in EXPORTS.items():
                ui.menu_item(f"Export all as {kind.label}", partial(self.export, extension))
            ui.separator()
            # The browser only opens its dialog within the press itself.
            choose = f"() => getElement({self._upload.id}).$refs.qRef.pickFiles()"
            with ui.menu_item().on("click", js_handler=choose), ui.item_section():
                ui.item_label("Import…")
                ui.item_label(f"JSON of this program or of ChatGPT, up to {MAX_BYTES // 2**20} MB").props("caption")

    async def export(self, extension: str, conversation_id: str | None = None) -> None:
        """Hand the browser a file with one conversation, or all."""
        with self._button:
            try:
                name, text = await self._chat.export(extension, conversation_id)
            except HistoryError as error:
                self.notes.complain(str(error))
                return
            ui.download.content(text, name, EXPORTS[extension].media_type)

    def _let_go(self) -> None:
        """FastAPI remembers the last few thousand functions that answered anything, so NiceGUI's route of the upload is
        kept when its page has gone, and with it whatever handles its events."""
        self._upload._upload_handlers.clear()
        self._upload._event_listeners.clear()

    async def _import(self, event: UploadEventArguments) -> None:
        self._upload.reset()
        if event.file.size() > MAX_BYTES:
            self._refuse()
            return
        self.notes.say(f"Importing {event.file.name} …")
        try:
            report = await self._chat.import_file(await event.file.read())
        except (ImportRefusedError, HistoryError) as error:
            self.notes.complain(str(error))
            return
        self.notes.say(str(report))

    def _refuse(self) -> None:
        self.notes.complain(TOO_LARGE)
