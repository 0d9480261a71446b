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


NOTHING = Piece("", "")


class Phase(Enum):
    """Where a reply is: before its first letter, between the marks, or past them."""

    START = auto()
    THINKING = auto()
    ANSWER = auto()


class TextStream:
    """Decodes the growing reply of one request. `stopped` is true once the answer reached `stop_string`."""

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
        self._stop = [text for text in (*stop, marks.close if marks else "") if text]
        self._marks = marks
        self._held = ""
        self._has_thought = phase is Phase.THINKING
        self._strips = not continued
        self.phase = phase if marks else Phase.ANSWER
        self.stopped = False
        self.stop_string = ""

    def feed(self, piece: bytes) -> Piece:
        """What can be shown now that this piece was written; holds back what may become a mark or a stop string."""
        return self._release(self._decoder.decode(piece), final=False)

    def finish(self) -> Piece:
        """What was still held back when the reply ended for another reason, without a character that is not whole."""
        return self._release("", final=True)

    def _release(self, text: str, *, final: bool) -> Piece:
        if self.stopped:
            return NOTHING
        if self._plain:
            return Piece("", text) if text else NOTHING
        self._held += text
        self._strip()
        thinking = self._take_thinking(self._marks, final) if self._marks else ""
        return Piece(thinking, self._take_answer(final) if self.phase is Phase.ANSWER else "")

    @property
    def is_settled(self) -> bool:
        """Whether no character and no mark has been begun."""
        return not self._held and not self._decoder.getstate()[0]

    @property
    def _plain(self) -> bool:
        """Whether all that comes is answer, and can be shown as it comes."""
        return self.phase is Phase.ANSWER and not (self._stop or self._held or self._strips)

    def _take_thinking(self, marks: ThinkingMarks, final: bool) -> str:
        """Thinking up to the answer, or as far as it is certain."""
        taken = ""
        while self.phase is not Phase.ANSWER:
            if self.phase is Phase.START and not self._leave_start(marks, final):
                break
            if self.phase is Phase.THINKING:
                thinking, ended, rest = self._held.partition(marks.end)
                if not ended:
                    return taken + self._take(0 if final else _overlap(self._held, marks.end))
                taken += thinking
                self._has_thought = True
                self._enter(Phase.START, rest)
        return taken

    def _leave_start(self, marks: ThinkingMarks, final: bool) -> bool:
        """Whether it is certain what the reply goes on with."""
        # An end without its beginning stands before the answer of models that were told not to think, or to stop.
        stray = "" if marks.answer else marks.end
        # Only those that write into channels think again.
        begins = marks.openings if marks.answer or not self._has_thought else ()
        for phase, openings in ((Phase.THINKING, begins), (Phase.ANSWER, (marks.answer, stray))):
            for opening in openings:
                if opening and self._held.startswith(opening):
                    self._enter(phase, self._held[len(opening) :])
                    return True
        if not final and any(mark.startswith(self._held) for mark in (*begins, marks.answer, stray)):
            return False
        self.phase = Phase.ANSWER
        return True

    def _take_answer(self, final: bool) -> str:
        starts = [(start, stop) for stop in self._stop if (start := self._held.find(stop)) >= 0]
        if starts:
            self.stopped = True
            end, self.stop_string = min(starts)
            return self._held[:end]
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
