"""Bytes of tokens in, text for people out: whole characters, thinking apart, and nothing of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from localchat_ui.engine.thinking import ThinkingMarks


class Piece(NamedTuple):
    """What has become certain of a reply: thinking, and text of the answer behind it."""

    thinking: str
    text: str


class Phase(Enum):
    """Where a reply is: before its first letter, between the marks, or past them."""

    START = auto()
    THINKING = auto()
    ANSWER = auto()


class TextStream:
    """Decodes the growing reply of one request. `stopped` is true once the answer reached a stop string."""

    def __init__(
        self,
        stop: Sequence[str] = (),
        marks: ThinkingMarks | None = None,
        phase: Phase = Phase.START,
        *,
        continued: bool = False,
    ) -> None:
        """`phase` is where the prompt ends; `continued`, that what comes is no beginning and keeps its white space."""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = [text for text in stop if text]
        self._marks = marks
        self._held = ""
        self._strips = not continued
        self.phase = phase if marks else Phase.ANSWER
        self.stopped = False

    def feed(self, piece: bytes) -> Piece:
        """What can be shown now that this piece was written; holds back what may become a mark or a stop string."""
        return self._release(self._decoder.decode(piece), final=False)

    def finish(self) -> Piece:
        """What was still held back when the reply ended for another reason."""
        return self._release(self._decoder.decode(b"", final=True), final=True)

    def _release(self, text: str, *, final: bool) -> Piece:
        if self.stopped:
            return Piece("", "")
        self._held += text
        self._strip()
        if self._marks and self.phase is Phase.START:
            self._leave_start(self._marks.begin, final)
        thinking = self._take_thinking(self._marks.end, final) if self._marks and self.phase is Phase.THINKING else ""
        answer = self._take_answer(final) if self.phase is Phase.ANSWER else ""
        return Piece(thinking, answer)

    def _leave_start(self, begin: str, final: bool) -> None:
        if self._held.startswith(begin):
            self._enter(Phase.THINKING, self._held[len(begin) :])
        elif final or not begin.startswith(self._held):
            self.phase = Phase.ANSWER

    def _take_thinking(self, end: str, final: bool) -> str:
        thinking, found, rest = self._held.partition(end)
        if not found:
            return self._take(0 if final else _overlap(self._held, end))
        self._enter(Phase.ANSWER, rest)
        return thinking

    def _take_answer(self, final: bool) -> str:
        starts = [start for start in (self._held.find(stop) for stop in self._stop) if start >= 0]
        if starts:
            self.stopped = True
            return self._held[: min(starts)]
        return self._take(0 if final else max((_overlap(self._held, stop) for stop in self._stop), default=0))

    def _enter(self, phase: Phase, rest: str) -> None:
        self.phase, self._held, self._strips = phase, rest, True
        self._strip()

    def _strip(self) -> None:
        """Drop white space in front of the first letter."""
        if self._strips:
            self._held = self._held.lstrip()
            self._strips = not self._held

    def _take(self, n_held: int) -> str:
        """All that was held but so many characters at its end."""
        cut = len(self._held) - n_held
        taken, self._held = self._held[:cut], self._held[cut:]
        return taken


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
