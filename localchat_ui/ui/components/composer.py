"""The box to write in, with Send and, while a reply is written, Stop in the same place."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui
from nicegui.events import GenericEventArguments

from localchat_ui.conversation import Attachment
from localchat_ui.i18n import _
from localchat_ui.ui import icons
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import icon_button
from localchat_ui.ui.words import note_of


class Composer:
    """Reads, clears and grows its text in the browser; the server only ever gets what was sent.

    Files that are attached are read by the server as soon as they are chosen, and wait in the browser, too.
    """

    def __init__(
        self,
        *,
        on_send: Callable[[str, Sequence[Attachment]], Awaitable[None]],
        on_stop: Callable[[], None],
    ) -> None:
        async def send(event: GenericEventArguments) -> None:
            files = [Attachment.model_validate(file) for file in event.args["files"]]
            await on_send(str(event.args["text"]), files)
            ui.run_javascript(f"localchat.sent.confirm({json.dumps(str(event.args['ticket']))})")

        ui.element("div").classes("sending").props("role=status").props["aria-label"] = _("Sending")
        with ui.element("div").classes("composer"):
            ui.element("ul").classes("attachments").props["aria-label"] = _("Attached files")
            with ui.element("div").classes("composer-row"):
                picker = ui.element("input").props("type=file multiple hidden")
                picker.on(
                    "change",
                    js_handler="({ target }) => { localchat.attachments.add(target.files); target.value = ''; }",
                )
                attach = icon_button(icons.ATTACH, _("Attach files")).classes("attach")
                attach.on("click", js_handler=f"() => getHtmlElement({picker.id}).click()")
                self.box = ui.element("textarea").props("id=message rows=1 autofocus dir=auto enterkeyhint=enter")
                self.box.props["aria-label"] = self.box.props["placeholder"] = _("Message")
                self.box.on("keydown", send, js_handler="(event) => localchat.composer.keydown(event, emit)")
                dictate = icon_button(icons.MICROPHONE, _("Dictate")).classes("dictate")
                dictate.on("click", js_handler="({ currentTarget }) => localchat.speech.dictate(currentTarget)")
                self.queue_button = icon_button(icons.SEND, _("Send when finished")).classes("queue")
                self.queue_button.on("click", send, js_handler="() => localchat.composer.send(emit)")
                self.send_button = icon_button(icons.SEND, _("Send")).classes("send")
                self.send_button.on("click", send, js_handler="() => localchat.composer.send(emit)")
                self.stop_button = icon_button(icons.STOP, _("Stop")).classes("send stop")
                self.stop_button.on("click", on_stop, js_handler="(event) => localchat.composer.stop(event, emit)")
        with Dialog(_("Attached file"), close=_("Close"), html_id="file-sheet").body:
            ui.element("p").classes("file-note")
            ui.element("pre").props("tabindex=0 dir=auto")
        ui.run_javascript("localchat.attachments.listen()")
        self.show_writing(False)

    def show_writing(self, writing: bool) -> None:
        self.send_button.set_visibility(not writing)
        self.stop_button.set_visibility(writing)
        ui.run_javascript(f"document.body.dataset.writing = {'true' if writing else 'false'}")

    def restore(self, text: str, attachments: Sequence[Attachment] = ()) -> None:
        """Give back a message that could not be sent."""
        # JSON is a JavaScript literal that nothing in the text can break out of.
        told = json.dumps([text, [file.model_dump(mode="json") | {"note": note_of(file)} for file in attachments]])
        ui.run_javascript(f"localchat.composer.restore(...{told})")

    def open_file(self, file: Attachment) -> None:
        """Show the text of a file beside the page."""
        told = json.dumps({"name": file.name, "note": note_of(file), "text": file.text})
        ui.run_javascript(f"localchat.attachments.open({told})")
