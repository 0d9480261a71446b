"""Guesses what a reply says next from what stands in the conversation already, so that several tokens cost one decode.

Edits and summaries repeat long stretches of their prompt. A guess is checked by the model itself, so it can only cost
time; how often guesses were right decides how long the next one is, and how long none is made. Nothing else does: the
same conversation makes the same guesses whatever the machine is busy with. After Saxena, "Prompt Lookup Decoding".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

# So many tokens have to be the same before it is guessed that the next ones are, too.
N_GRAM = 3
SHORTEST, LONGEST = 4, 16
LONGEST_PAUSE = 256


class PromptLookup:
    """The guesses of one reply."""

    def __init__(self) -> None:
        self._ends: dict[tuple[int, ...], list[int]] = defaultdict(list)
        self._n_indexed = N_GRAM
        self._length = SHORTEST
        self._cursor = 0
        self._misses = 0
        self._resumes_at = 0

    def guess(self, tokens: Sequence[int], at_most: int) -> list[int]:
        """The tokens that may follow all these; empty when there is no good guess."""
        n_tokens = len(tokens)
        for end in range(self._n_indexed, n_tokens):
            self._ends[tuple(tokens[end - N_GRAM : end])].append(end)
        self._n_indexed = max(self._n_indexed, n_tokens)
        if n_tokens < self._resumes_at:
            return []
        ends = self._ends.get(tuple(tokens[n_tokens - N_GRAM :]))
        if not ends:
            return []
        # Where the last guess went on is likelier than any other place that reads alike.
        self._cursor = min(ends, key=lambda end: abs(end - self._cursor))
        return list(tokens[self._cursor : self._cursor + min(self._length, at_most)])

    def learn(self, n_guessed: int, n_right: int, n_tokens: int) -> None:
        """Take note of how a guess came out; the conversation has `n_tokens` now."""
        self._cursor += n_right + 1
        if n_right == n_guessed:
            self._length = min(2 * self._length, LONGEST)
            self._misses = max(0, self._misses - 1)
        elif 2 * n_right < n_guessed:
            self._length = max(self._length // 2, SHORTEST)
            self._misses += 1
            self._resumes_at = n_tokens + min(2**self._misses, LONGEST_PAUSE)
