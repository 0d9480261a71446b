"""One quiet line below the box: what the model does, how fast, and how full the context is."""

from __future__ import annotations

import time
from collections.abc import Sequence

from nicegui import ui

from localchat_ui.conversation import GenerationStats, Message
from localchat_ui.model_manager import ModelManager, ModelStatus, Phase
from localchat_ui.reply import Reply

REDRAW_SECONDS = 0.5


class StatusLine:
    def __init__(self, models: ModelManager) -> None:
        self._models = models
        self._reply: Reply | None = None
        self._stats: GenerationStats | None = None
        self._drawn_at = 0.0
        self._label = ui.label().classes("status").props("role=status aria-label=Status")
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
        self._label.set_text(
            _reply_text(self._reply)
            or _model_text(self._models.status)
            or _stats_text(self._stats, self._models.context_length)
        )


def _reply_text(reply: Reply | None) -> str:
    if reply is None or not reply.submitted:
        return ""
    if reply.place:
        return f"Waiting for others to finish · place {reply.place} in the queue"
    if reply.n_tokens:
        speed = f"{reply.tokens_per_second:.0f} tokens/s · " if reply.tokens_per_second else ""
        return f"Writing · {speed}{reply.n_tokens:,} tokens"
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


def _stats_text(stats: GenerationStats | None, context_length: int) -> str:
    if stats is None:
        return "Ready"
    speed = f" · {stats.tokens_per_second:.0f} tokens/s" if stats.tokens_per_second else ""
    return f"{stats.reply_tokens:,} tokens{speed} · context {stats.context_tokens:,} of {context_length:,}"
