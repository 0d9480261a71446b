"""One message: the person's words as they are, or a reply that may still be growing."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from localchat_ui.chat import Reply, ScoredToken
from localchat_ui.conversation import Message, Role, Version
from localchat_ui.i18n import _, number
from localchat_ui.markdown import MarkdownStream
from localchat_ui.markdown.directions import with_technical_apart
from localchat_ui.markdown.language import language_of
from localchat_ui.ui.components import message_footer
from localchat_ui.ui.components.token_view import render_alternatives, render_tokens, render_waiting
from localchat_ui.ui.rendered import rendered
from localchat_ui.ui.words import note_of

# A name that `message_log.js` knows, the id of a message, and what belongs to it.
Operation = tuple[Any, ...]

# Of the time of the program's one event loop, for drawing one growing reply on one page.
DRAWING_SHARE = 0.06
LONGEST_REST_SECONDS = 0.4


async def prepare(messages: Sequence[Message]) -> None:
    """Have the texts of finished messages rendered, so that showing them takes no time."""
    replies = [message for message in messages if message.role is Role.ASSISTANT]
    await rendered.prepare(text for message in replies for text in (message.text, message.thinking) if text)


class MessageView:
    """What one page shows of a message, and the operations that bring the browser's copy up to date."""

    def __init__(
        self,
        message: Message,
        draw: Callable[[Sequence[Operation]], None],
        footer_options: message_footer.FooterOptions = message_footer.CHAT,
    ) -> None:
        """`draw` gets what a growing reply changes, at most about 20 times a second."""
        self.message = message
        self.words = GrowingMarkdown() if message.role is Role.ASSISTANT else None
        self.thinking = GrowingMarkdown()
        self.summary = ""
        self.footer = ""
        self.language = ""
        self.is_waiting = False
        self.tokens: list[ScoredToken] = []
        self._draw = draw
        self._footer_options = footer_options
        self._reply: Reply | None = None
        self._shows_receipt = False
        self._render_footer: Callable[[], str] = str
        self._rests_until = 0.0

    def put(self, place: int) -> Operation:
        """Draw all of it as the message of this place."""
        drawn = {
            "role": self.message.role.value,
            "text": self.message.text if self.words is None else "",
            "html": with_technical_apart(self.message.text) if self.words is None else "",
            "files": [(file.name, note_of(file)) for file in self.message.attachments],
            "words": self.words.parts if self.words else None,
            "thinking": self.thinking.parts if self.summary else None,
            "summary": self.summary,
            "footer": self.footer,
            "waiting": self.is_waiting,
            "language": self.language,
        }
        return ("put", self.message.id, place, drawn)

    def show(
        self, message: Message, reply: Reply | None, version: Version | None, *, is_last: bool
    ) -> Iterator[Operation]:
        """Follow what the message is now; `reply` is given while it is being written."""
        self.message = message
        self._follow(reply)
        self._render_footer = lambda: message_footer.render(
            message,
            version,
            is_last,
            reply is not None,
            with_receipt=self._shows_receipt,
            options=self._footer_options,
        )
        yield from self._words()
        yield from self._below()

    def toggle_receipt(self) -> Iterator[Operation]:
        self._shows_receipt = not self._shows_receipt
        yield from self._below()

    def show_tokens(self, tokens: list[ScoredToken]) -> Iterator[Operation]:
        """Show these in place of the words; none shows the words again."""
        self.tokens = tokens
        yield ("tokens", self.message.id, render_tokens(tokens) if tokens else "")

    def await_tokens(self) -> Iterator[Operation]:
        yield ("tokens", self.message.id, render_waiting())

    def show_alternatives(self, number: int) -> Iterator[Operation]:
        yield ("alternatives", self.message.id, number, render_alternatives(self.tokens, number))

    def leave(self) -> None:
        """The message is no longer shown."""
        self._follow(None)

    def _follow(self, reply: Reply | None) -> None:
        if reply is not self._reply:
            if self._reply is not None:
                self._reply.changed.unsubscribe(self._grow)
            if reply is not None:
                reply.changed.subscribe(self._grow)
            self._reply = reply

    def _grow(self) -> None:
        """Draw what came, unless drawing has just taken long: a long list is read again with every piece of it."""
        begun = time.perf_counter()
        if begun < self._rests_until:
            return
        self._draw([*self._words(), *self._below()])
        taken = time.perf_counter() - begun
        self._rests_until = begun + min(taken / DRAWING_SHARE, LONGEST_REST_SECONDS)

    def _words(self) -> Iterator[Operation]:
        language = language_of(self.message.text or self.message.thinking)
        if language != self.language:
            self.language = language
            yield ("language", self.message.id, language)
        if self.words is None:
            return
        message, is_growing = self.message, self._reply is not None
        update = GrowingMarkdown.grow if is_growing else GrowingMarkdown.finish
        is_waiting = is_growing and not message.text and not message.thinking
        if is_waiting != self.is_waiting:
            self.is_waiting = is_waiting
            yield ("waiting", message.id, is_waiting)
        for part, body, text in (("thinking", self.thinking, message.thinking), ("words", self.words, message.text)):
            change = update(body, text)
            if change is not None:
                yield (part, message.id, *change)
        summary = _summary(message, is_growing=is_growing)
        if summary != self.summary:
            self.summary = summary
            yield ("summary", message.id, summary)

    def _below(self) -> Iterator[Operation]:
        footer = self._render_footer()
        if footer != self.footer:
            self.footer = footer
            yield ("footer", self.message.id, footer)


# HTML that has become final, how much of what was open stays, and what is open behind that. The second counts UTF-16
# units, as JavaScript does; a negative one begins anew.
Growth = tuple[str, int, str]


class GrowingMarkdown:
    """A text as HTML. What is finished of it never changes again; only the open block does."""

    def __init__(self) -> None:
        self._text = ""
        self._stream = MarkdownStream()
        self._finished: list[str] = []
        self._open = ""

    @property
    def parts(self) -> tuple[str, str]:
        """All that is final, and what is open."""
        return "".join(self._finished), self._open

    def grow(self, text: str) -> Growth | None:
        """What a text changes that begins with the one before."""
        if text == self._text:
            return None
        self._text = text
        finished, rest = self._stream.feed(text)
        self._finished += finished
        kept = _common_prefix(self._open, rest)
        self._open = rest
        return "".join(finished), len(rest[:kept].encode("utf-16-le")) // 2, rest[kept:]

    def finish(self, text: str) -> Growth | None:
        """The same for a text that does not grow any more; links and footnotes may have been defined at its end."""
        growth = self.grow(text) if self._text else None
        if self._text == text and not self._stream.outdated:
            return growth
        self._text, self._finished, self._open = text, [], rendered.html(text)
        self._stream = MarkdownStream()
        return "", -1, self._open


def _common_prefix(left: str, right: str) -> int:
    """How many characters two texts share from the start."""
    length = min(len(left), len(right))
    return bisect_left(range(length), True, key=lambda index: left[: index + 1] != right[: index + 1])


def _summary(message: Message, *, is_growing: bool) -> str:
    """What stands on the fold over a model's thoughts."""
    if not message.thinking:
        return ""
    if is_growing:
        return _("Thoughts") if message.text else _("Thinking…")
    seconds = message.stats.thinking_seconds if message.stats else 0.0
    return _("Thought for {n} s").format(n=number(seconds, 0)) if seconds >= 1 else _("Thoughts")
