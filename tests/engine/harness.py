"""Collects what an engine emits, as the chat does, without an event loop."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from localchat_ui.conversation import GenerationStats, RequestOptions, Role
from localchat_ui.engine.base import (
    Engine,
    Event,
    GenerationDone,
    GenerationFailed,
    GenerationRequest,
    PromptProgress,
    Queued,
    Token,
    Turn,
)

PATIENCE = 60


@dataclass
class Collected:
    """The events of one request, in order."""

    request: GenerationRequest
    events: list[Event] = field(default_factory=list)
    first_token: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    reading: threading.Event = field(default_factory=threading.Event)

    def emit(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, PromptProgress):
            self.reading.set()
        if isinstance(event, (Token, GenerationDone, GenerationFailed)):
            self.first_token.set()
        if isinstance(event, (GenerationDone, GenerationFailed)):
            self.ended.set()

    def wait(self) -> Collected:
        assert self.ended.wait(PATIENCE), "the request did not end"
        return self

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, (Token, GenerationDone)))

    @property
    def thinking(self) -> str:
        return "".join(event.thinking for event in self.events if isinstance(event, (Token, GenerationDone)))

    @property
    def tokens(self) -> list[Token]:
        return [event for event in self.events if isinstance(event, Token)]

    @property
    def progress(self) -> list[PromptProgress]:
        return [event for event in self.events if isinstance(event, PromptProgress)]

    @property
    def places(self) -> list[int]:
        return [event.place for event in self.events if isinstance(event, Queued)]

    @property
    def stats(self) -> GenerationStats:
        last = self.wait().events[-1]
        assert isinstance(last, GenerationDone), last
        return last.stats


def ask(
    engine: Engine,
    *texts: str,
    system: str = "",
    stop: tuple[str, ...] = (),
    model: Path | None = None,
    **sampling: object,
) -> Collected:
    """Submit a conversation whose turns alternate, the first being the person's."""
    turns = [Turn(Role.SYSTEM, system)] if system else []
    turns += [Turn((Role.USER, Role.ASSISTANT)[index % 2], text) for index, text in enumerate(texts)]
    options = RequestOptions.model_validate({"temperature": 0, "max_tokens": 40, **sampling})
    collected = Collected(GenerationRequest(turns, options, stop, model))
    engine.submit(collected.request, collected.emit)
    return collected
