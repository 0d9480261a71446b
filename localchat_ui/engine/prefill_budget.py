"""How much of the prompts one step may read, so that neither a running reply nor a stop waits long for it."""

from __future__ import annotations

# A reply that is written beside a prompt pauses for so long; a step follows the one before, so the measure is late.
STEP_SECONDS = 0.1
# While no reply waits for the step, only a stop does.
ALONE_SECONDS = 0.4
# Tokens a second, until something was read.
FIRST_SPEED = 500.0


class PrefillBudget:
    """Learns from every step how fast prompts are read: a slower one counts at once, a faster one by and by."""

    def __init__(self, block: int, n_batch: int) -> None:
        """`block` is the least that is read at a time, `n_batch` the most; both in tokens."""
        self.block = block
        self._n_batch = n_batch // block * block
        self._speed = FIRST_SPEED

    def n_tokens(self, *, alone: bool) -> int:
        """Prompt tokens for the next step, those of all prompts together. `alone`: no reply is written beside them."""
        n_tokens = int(self._speed * (ALONE_SECONDS if alone else STEP_SECONDS))
        return max(self.block, min(n_tokens // self.block * self.block, self._n_batch))

    def learn(self, n_tokens: int, seconds: float) -> None:
        """Take note of what a decode that read so many tokens took. Few tokens say little."""
        if n_tokens >= self.block:
            self._speed = min(n_tokens / max(seconds, 1e-6), 1.5 * self._speed)

    @property
    def seconds_per_token(self) -> float:
        return 1 / self._speed
