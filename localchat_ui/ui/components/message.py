"""One message: the person's words as they are, or a reply that may still be growing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from localchat_ui.conversation import Message, MessageState, Role
from localchat_ui.reply import Reply
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.markdown import MarkdownStream

NOTES = {
    MessageState.STOPPED: "Stopped.",
    MessageState.INTERRUPTED: "Interrupted: the program ended while this was written.",
}


class MessageView:
    """An article. `on_retry` is given to the last message alone: it asks for the reply once more."""

    def __init__(
        self, message: Message, reply: Reply | None, *, on_retry: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._message = message
        self._reply = reply
        self._shown_state = message.state
        self._retryable = on_retry is not None
        with ui.element("article").classes(f"message {message.role.value}") as self._article:
            self._article.props["aria-label"] = "You" if message.role is Role.USER else "Assistant"
            if message.role is Role.USER:
                ui.label(message.text).classes("words").props("dir=auto")
                return
            self._body = _GrowingMarkdown()
            self._body.show(message.text)
            if reply is not None:
                self._body.show_waiting(not message.text)
                reply.changed.subscribe(self._grow)
            else:
                self._show_outcome(message, on_retry)

    def shows(self, message: Message) -> bool:
        """Whether this view is what the message looks like now."""
        return message.id == self._message.id and message.state is self._shown_state

    def delete(self) -> None:
        if self._reply is not None:
            self._reply.changed.unsubscribe(self._grow)
        self._article.delete()

    def _grow(self) -> None:
        self._body.show(self._message.text)
        self._body.show_waiting(not self._message.text)

    def _show_outcome(self, message: Message, on_retry: Callable[[], Awaitable[None]] | None) -> None:
        if message.error:
            with ui.element("div").classes("outcome failed").props("role=alert"):
                ui.label(message.error)
                if on_retry is not None:
                    text_button("Retry", on_retry).props(f'icon="{icons.RETRY}"')
        elif message.state in NOTES:
            with ui.element("div").classes("outcome"):
                ui.label(NOTES[message.state])
                if on_retry is not None and message.state is MessageState.INTERRUPTED:
                    text_button("Try again", on_retry)
        elif message.stats is not None and message.stats.finish_reason == "length":
            with ui.element("div").classes("outcome"):
                ui.label(f"Ended at the limit of {message.stats.reply_tokens:,} tokens.")
        if message.stats is not None and message.stats.unseen_messages:
            with ui.element("div").classes("outcome"):
                ui.label(_unseen(message.stats.unseen_messages))


def _unseen(count: int) -> str:
    messages = "message" if count == 1 else f"{count} messages"
    return f"The context was full: the model did not see the first {messages} of this conversation."


class _GrowingMarkdown:
    """Finished blocks are elements that never change again; only the open block is redrawn."""

    def __init__(self) -> None:
        self._stream = MarkdownStream()
        with ui.element("div").classes("words markdown").props("dir=auto"):
            self._finished = ui.element("div")
            self._open = ui.html(sanitize=False)
            self._waiting = ui.element("span").classes("waiting")
        self._waiting.props["aria-hidden"] = "true"
        self.show_waiting(False)

    def show(self, text: str) -> None:
        finished, rest = self._stream.feed(text)
        if finished:
            with self._finished:
                ui.html("".join(finished), sanitize=False)
        self._open.content = rest

    def show_waiting(self, waiting: bool) -> None:
        if self._waiting.visible is not waiting:
            self._waiting.set_visibility(waiting)
