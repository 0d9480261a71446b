"""One quiet line below the box: what the model does, how fast, and a gauge of how full the context is."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypedDict

from localchat_ui.chat import Reply
from localchat_ui.conversation import GenerationStats, Message
from localchat_ui.i18n import _, number
from localchat_ui.inference import ModelRegistry, ModelStatus, Phase
from localchat_ui.ui.components.element import SelfDrawn
from localchat_ui.ui.words import speed, tokens, used_tokens

REDRAW_SECONDS = 0.5


class StatusLine(SelfDrawn, component="status_line.js"):
    """Emits `context` when somebody wants to know more of it."""

    def __init__(self, models: ModelRegistry, *, on_context: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.state: State = {"text": "", "quiet": False, "context": "", "used": 0.0}
        self._models = models
        self._reply: Reply | None = None
        self._stats: GenerationStats | None = None
        self._drawn_at = 0.0
        self.on("context", on_context, args=[])
        models.changed.subscribe(self._draw)
        self._draw()

    def watch(self, messages: Sequence[Message], reply: Reply | None) -> None:
        """Follow this reply, or tell of the last one."""
        if self._reply is not None and self._reply is not reply:
            self._reply.changed.unsubscribe(self._draw_seldom)
        if reply is not None and self._reply is not reply:
            reply.changed.subscribe(self._draw_seldom)
        self._reply = reply
        self._stats = next((message.stats for message in reversed(messages) if message.stats), None)
        self._draw()

    def _draw_seldom(self) -> None:
        if time.monotonic() - self._drawn_at > REDRAW_SECONDS:
            self._draw()

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        text = reply_text(self._reply) or _model_text(self._models.status) or _stats_text(self._stats)
        context, used = self._context()
        # Numbers that change twice a second would drown everything else a screen reader says.
        state: State = {"text": text, "quiet": self._reply is not None, "context": context, "used": used}
        if state != self.state:
            self.state = state
            self.keep(state=state)
            self.run_method("show", state)

    def _context(self) -> tuple[str, float]:
        """How full the context is, in words and as a share; nothing when it is empty."""
        length = self._models.context_length
        reply = self._reply
        if reply is not None and reply.prompt_tokens:
            used = reply.prompt_tokens + reply.n_tokens
        else:
            used = self._stats.context_tokens if self._stats else 0
        if not length or not used:
            return "", 0.0
        shown = used_tokens(used, length, is_estimate=reply is not None and reply.is_estimate)
        return _("Context: {used} used").format(used=shown), round(min(1.0, used / length), 3)


class State(TypedDict):
    """`quiet`: screen readers do not read the text out. `context` is words, `used` the share of it."""

    text: str
    quiet: bool
    context: str
    used: float


def reply_text(reply: Reply | None) -> str:
    """How far a reply being written is."""
    if reply is None or reply.stream is None:
        return ""
    if reply.place:
        return _("Waiting for others to finish · place {n} in the queue").format(n=number(reply.place))
    if reply.n_tokens:
        pace = speed(reply.tokens_per_second) if reply.tokens_per_second else ""
        return " · ".join(filter(None, (_("Writing"), pace, tokens(reply.n_tokens))))
    if reply.prompt_read is not None and reply.prompt_read.total:
        percent = 100 * reply.prompt_read.read // reply.prompt_read.total
        return _("Reading the prompt · {percent} %").format(percent=percent)
    return _("Reading the prompt")


def _model_text(status: ModelStatus) -> str:
    if status.phase is Phase.LOADING and status.target:
        return _("Loading {name} · {percent}%").format(name=status.target.name, percent=f"{100 * status.share:.0f}")
    if status.phase is Phase.STARTING:
        return _("Looking for models")
    if status.phase is Phase.DOWNLOADING:
        return _("Downloading a model")
    if status.phase in (Phase.NONE, Phase.FAILED):
        return _("No model loaded")
    return ""


def _stats_text(stats: GenerationStats | None) -> str:
    if stats is None:
        return _("Ready")
    pace = speed(stats.tokens_per_second) if stats.tokens_per_second else ""
    return " · ".join(filter(None, (tokens(stats.reply_tokens), pace)))
