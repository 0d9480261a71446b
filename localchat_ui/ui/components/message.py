"""One message: the person's words as they are, or a reply that may still be growing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.events import GenericEventArguments

from localchat_ui.conversation import Message, Role, Version
from localchat_ui.reply import Reply
from localchat_ui.ui.components import message_footer
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.markdown import MarkdownStream, render_markdown


class MessageView:
    """An article, which stays the same element from a reply's first word on."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self._reply: Reply | None = None
        self._shows_receipt = False
        self._draw_footer: Callable[[], str] = str
        self._editor: ui.element | None = None
        is_reply = message.role is Role.ASSISTANT
        with ui.element("article").classes(f"message {message.role.value}") as self.article:
            self.article.props["aria-label"] = "Assistant" if is_reply else "You"
            self.article.props["data-id"] = message.id
            self.article.props["id"] = f"message-{message.id}"
            self._thinking: Thinking | None = None
            self._body = GrowingMarkdown() if is_reply else None
            if not is_reply:
                ui.label(message.text).classes("words").props("dir=auto")
            self._footer = ui.html(sanitize=False).classes("footer")

    def show(self, message: Message, reply: Reply | None, version: Version | None, *, is_last: bool) -> None:
        """Bring the view up to date; `reply` is given while this message is being written."""
        self.message = message
        self._follow(reply)
        if self._body is not None:
            if reply is None:
                self._body.finish(message.text)
                if message.thinking:
                    self._thoughts().finish(message)
            else:
                self._grow()

        def draw_footer() -> str:
            is_writing = reply is not None
            return message_footer.render(message, version, is_last, is_writing, with_receipt=self._shows_receipt)

        self._draw_footer = draw_footer
        self._footer.content = self._draw_footer()

    def toggle_receipt(self) -> None:
        self._shows_receipt = not self._shows_receipt
        self._footer.content = self._draw_footer()

    def edit(self, on_save: Callable[[str], Awaitable[None]]) -> None:
        """Put a box in place of the words until they are saved, or not."""
        if self._editor is not None:
            return

        async def save(event: GenericEventArguments) -> None:
            self.close_editor()
            await on_save(str(event.args))

        self.article.classes(add="editing")
        with self.article, ui.element("div").classes("editor") as self._editor:
            box = ui.element("textarea").props('dir=auto aria-label="Edit message"')
            box.props["value"] = self.message.text
            box.on("keydown", save, js_handler="(event) => localchat.editKey(event, emit)")
            with ui.element("div").classes("editor-actions"):
                text_button("Cancel", self.close_editor)
                button = text_button("Send" if self.message.role is Role.USER else "Save", lambda: None, primary=True)
                button.on("click", save, js_handler=f"() => emit(getHtmlElement({box.id}).value)")
        ui.run_javascript(f"localchat.openEditor(getHtmlElement({box.id}))")

    def close_editor(self) -> None:
        if self._editor is not None:
            self._editor.delete()
            self._editor = None
            self.article.classes(remove="editing")

    def delete(self) -> None:
        self._follow(None)
        self.article.delete()

    def _follow(self, reply: Reply | None) -> None:
        if reply is not self._reply:
            if self._reply is not None:
                self._reply.changed.unsubscribe(self._grow)
            if reply is not None:
                reply.changed.subscribe(self._grow)
            self._reply = reply

    def _grow(self) -> None:
        assert self._body is not None
        text, thinking = self.message.text, self.message.thinking
        if thinking:
            self._thoughts().show(thinking, is_going_on=not text)
        self._body.show(text)
        self._body.show_waiting(not text and not thinking)

    def _thoughts(self) -> Thinking:
        """Made when there are some: most replies have none."""
        if self._thinking is None:
            with self.article:
                self._thinking = Thinking()
        return self._thinking


class GrowingMarkdown:
    """Finished blocks are elements that never change again; only the open block is redrawn.

    A text that does not grow is one element: NiceGUI draws all elements of a page again whenever one changes.
    """

    def __init__(self) -> None:
        self._shown = ""
        self._stream: MarkdownStream | None = None
        self._words = ui.element("div").classes("words markdown").props("dir=auto")
        with self._words:
            self._finished: ui.element | None = None
            self._open = ui.html(sanitize=False)
        self._waiting: ui.element | None = None

    def show(self, text: str) -> None:
        """Show a text that begins with the one shown before."""
        if text == self._shown:
            return
        self._shown = text
        self._stream = self._stream or MarkdownStream()
        finished, rest = self._stream.feed(text)
        if finished:
            if self._finished is None:
                with self._words:
                    self._finished = ui.element("div")
                self._finished.move(target_index=0)
            with self._finished:
                ui.html("".join(finished), sanitize=False)
        self._open.content = rest

    def finish(self, text: str) -> None:
        """Show a text that does not grow any more: all at once, or as it was when nothing has to be set right."""
        self.show_waiting(False)
        if self._stream is None:
            self._shown = text
            self._open.content = render_markdown(text)
            return
        self.show(text)
        if self._stream.outdated:
            if self._finished is not None:
                self._finished.clear()
            self._open.content = render_markdown(text)

    def show_waiting(self, waiting: bool) -> None:
        if waiting and self._waiting is None:
            with self._words:
                self._waiting = ui.element("span").classes("waiting").props("aria-hidden=true")
        elif not waiting and self._waiting is not None:
            self._waiting.delete()
            self._waiting = None


class Thinking:
    """What a model thought before it answered: folded, timed, above the answer."""

    def __init__(self) -> None:
        with ui.element("details").classes("thinking") as details:
            with ui.element("summary"):
                self._summary = ui.label()
            self._body = GrowingMarkdown()
        details.move(target_index=0)

    def show(self, text: str, *, is_going_on: bool) -> None:
        self._body.show(text)
        self._summary.set_text("Thinking…" if is_going_on else "Thoughts")

    def finish(self, message: Message) -> None:
        self._body.finish(message.thinking)
        seconds = message.stats.thinking_seconds if message.stats else 0.0
        self._summary.set_text(f"Thought for {seconds:.0f} s" if seconds >= 1 else "Thoughts")
