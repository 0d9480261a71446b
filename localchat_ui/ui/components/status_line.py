"""One quiet line below the box: what the model does, how fast, and a gauge of how full the context is."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui

from localchat_ui.conversation import GenerationStats, Message
from localchat_ui.model_manager import ModelManager, ModelStatus, Phase
from localchat_ui.reply import Reply
from localchat_ui.ui.words import counted

REDRAW_SECONDS = 0.5


class StatusLine:
    def __init__(self, models: ModelManager, *, on_context: Callable[[], Awaitable[None]]) -> None:
        """`on_context` is called when somebody wants to know more of the context."""
        self._models = models
        self._reply: Reply | None = None
        self._stats: GenerationStats | None = None
        self._drawn_at = 0.0
        with ui.element("div").classes("status-row"):
            self._label = ui.label().classes("status").props("role=status aria-label=Status")
            with ui.element("button").classes("gauge").props("type=button aria-label=Context") as self._gauge:
                self._fill = ui.element("span").classes("gauge-fill")
            self._gauge.on("click", on_context)
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
        # Numbers that change twice a second would drown everything else a screen reader says.
        self._label.props["aria-live"] = "off" if reply else "polite"
        self._draw()

    def _draw_seldom(self) -> None:
        if time.monotonic() - self._drawn_at > REDRAW_SECONDS:
            self._draw()

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        self._label.set_text(_reply_text(self._reply) or _model_text(self._models.status) or _stats_text(self._stats))
        self._draw_gauge()

    def _draw_gauge(self) -> None:
        length = self._models.context_length
        reply = self._reply
        if reply is not None and reply.prompt_tokens:
            used = reply.prompt_tokens + reply.n_tokens
        else:
            used = self._stats.context_tokens if self._stats else 0
        self._gauge.set_visibility(bool(length and used))
        if length and used:
            share = min(1.0, used / length)
            title = f"Context: {used:,} of {counted(length, 'token')} used"
            if self._gauge.props.get("title") != title:
                self._gauge.props["title"] = title
                self._gauge.props["aria-label"] = title
                self._gauge.update()
                self._fill.style(f"--used: {share:.3f}")


def _reply_text(reply: Reply | None) -> str:
    if reply is None or not reply.submitted:
        return ""
    if reply.place:
        return f"Waiting for others to finish · place {reply.place} in the queue"
    if reply.n_tokens:
        speed = f"{reply.tokens_per_second:.0f} tokens/s · " if reply.tokens_per_second else ""
        return f"Writing · {speed}{counted(reply.n_tokens, 'token')}"
    if reply.prompt_read is not None and reply.prompt_read.total:
        return f"Reading the prompt · {100 * reply.prompt_read.read // reply.prompt_read.total} %"
    return "Reading the prompt"


def _model_text(status: ModelStatus) -> str:
    if status.phase is Phase.LOADING and status.target:
        return f"Loading {status.target.name} · {status.share:.0%}"
    if status.phase is Phase.STARTING:
        return "Looking for models"
    if status.phase is Phase.DOWNLOADING:
        return "Downloading a model"
    if status.phase in (Phase.NONE, Phase.FAILED):
        return "No model loaded"
    return ""


def _stats_text(stats: GenerationStats | None) -> str:
    if stats is None:
        return "Ready"
    speed = f" · {stats.tokens_per_second:.0f} tokens/s" if stats.tokens_per_second else ""
    return f"{counted(stats.reply_tokens, 'token')}{speed}"
