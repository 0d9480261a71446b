"""Ends thinking that takes longer than it may: what closes it is written for the model, which goes on behind that."""

from __future__ import annotations

from localchat_ui.engine.llama import Model
from localchat_ui.engine.text import Phase, TextStream
from localchat_ui.engine.thinking import ThinkingMarks

# A character or a mark that has been begun may be finished first, for so many tokens.
GRACE = 8


class ThinkingBudget:
    """Counts the tokens of one reply's thinking."""

    def __init__(self, marks: ThinkingMarks | None, *, n_begun: int = 0, may_call: bool = False) -> None:
        """`n_begun` tokens were thought before it was broken off. `may_call`: a call may stand for an answer."""
        self.n_tokens = n_begun
        self._marks = marks
        self._may_call = may_call
        self._closing: list[int] = []

    def next(self, model: Model, text: TextStream, most: int | None) -> int | None:
        """The token to go on with, if thinking has to end after at most so many."""
        thinks = self._marks is not None and not self._closing and text.phase is Phase.THINKING
        if thinks and most is not None and self.n_tokens >= most + (0 if text.is_settled else GRACE):
            assert self._marks is not None
            self._closing = model.tokenize(self._end(self._marks))
        return self._closing[0] if self._closing else None

    def took(self, token: int, before: Phase, after: Phase) -> None:
        """Go on behind a token that was written, between these phases."""
        if self._closing[:1] == [token]:
            del self._closing[0]
            return
        # What a grammar did not let be written is left to the model.
        self._closing = []
        self.n_tokens += before is after is Phase.THINKING

    def _end(self, marks: ThinkingMarks) -> str:
        if not marks.answer:
            return f"\n{marks.end}\n\n"
        if self._may_call:
            # Once; whoever thinks again has to answer.
            self._may_call = False
            return marks.end
        return marks.end + marks.answer
