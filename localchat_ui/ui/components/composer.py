"""The box to write in, with Send and, while a reply is written, Stop in the same place."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.events import GenericEventArguments

from localchat_ui.engine.base import EngineError
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import icon_button
from localchat_ui.ui.words import counted


class Composer:
    """Reads, clears and grows its text in the browser; the server only ever gets what was sent.

    Text files are read in the browser, too, and join the message; the server only counts their tokens.
    """

    def __init__(
        self,
        *,
        on_send: Callable[[str], Awaitable[None]],
        on_stop: Callable[[], None],
        count_tokens: Callable[[str], Awaitable[int]],
    ) -> None:
        async def send(event: GenericEventArguments) -> None:
            await on_send(str(event.args["text"]))
            ui.run_javascript(f"localchat.sent.confirm({json.dumps(str(event.args['ticket']))})")

        async def count(event: GenericEventArguments) -> None:
            try:
                note, refusal = counted(await count_tokens(str(event.args["text"])), "token"), ""
            except EngineError as error:
                note, refusal = "", str(error)
            ui.run_javascript(f"localchat.attachments.counted({json.dumps([event.args['id'], note, refusal])[1:-1]})")

        ui.element("div").classes("refusal").props("role=alert")
        ui.element("div").classes("sending").props("role=status aria-label=Sending")
        with ui.element("div").classes("composer"):
            ui.element("ul").classes("attachments").props('aria-label="Attached files"')
            with ui.element("div").classes("composer-row"):
                picker = ui.element("input").props("type=file multiple hidden")
                picker.on(
                    "change",
                    count,
                    js_handler="({ target }) => { localchat.attachments.add(target.files, emit); target.value = ''; }",
                )
                attach = icon_button(icons.ATTACH, "Attach text files").classes("attach")
                attach.on("click", js_handler=f"() => getHtmlElement({picker.id}).click()")
                self.box = ui.element("textarea").props("id=message rows=1 autofocus dir=auto enterkeyhint=enter")
                self.box.props["aria-label"] = self.box.props["placeholder"] = "Message"
                self.box.on("keydown", send, js_handler="(event) => localchat.composer.keydown(event, emit)")
                dictate = icon_button(icons.MICROPHONE, "Dictate").classes("dictate")
                dictate.on("click", js_handler="({ currentTarget }) => localchat.speech.dictate(currentTarget)")
                self.queue_button = icon_button(icons.SEND, "Send when finished").classes("queue")
                self.queue_button.on("click", send, js_handler="() => localchat.composer.send(emit)")
                self.send_button = icon_button(icons.SEND, "Send").classes("send")
                self.send_button.on("click", send, js_handler="() => localchat.composer.send(emit)")
                self.stop_button = icon_button(icons.STOP, "Stop").classes("send")
                self.stop_button.on("click", on_stop, js_handler="(event) => localchat.composer.stop(event, emit)")
        ui.on("count", count)
        ui.run_javascript("localchat.attachments.listen((told) => emitEvent('count', told))")
        self.show_writing(False)

    def show_writing(self, writing: bool) -> None:
        self.send_button.set_visibility(not writing)
        self.stop_button.set_visibility(writing)
        ui.run_javascript(f"document.body.dataset.writing = {'true' if writing else 'false'}")

    def restore(self, text: str) -> None:
        """Give back a message that could not be sent."""
        # JSON is a JavaScript literal that nothing in the text can break out of.
        ui.run_javascript(f"localchat.composer.restore({json.dumps(text)})")
