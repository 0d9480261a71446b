"""How much of a prompt one step may read, so that neither a running reply nor a stop waits long for it."""

from __future__ import annotations

# llama.cpp computes the attention of so many tokens and more in another way, up to twice as fast. What comes out
# differs: only if the pieces do not depend on how busy the machine is does a prompt give the same reply again.
BLOCK = 64
# Attention gets slower as a prompt gets longer, and each step follows the one before: a step is meant to take less than
# half of what is bearable. A single block may take all of that: smaller pieces gain little, behind 3,000 tokens 16 of
# them took 0.24 s where 64 took 0.33.
STEP_SECONDS = 0.1
BLOCK_SECONDS = 0.2
# While no reply waits for the step, only a stop does.
ALONE_SECONDS = 0.5
# Where a block takes longer than that, smaller pieces are read; blocks are tried again by and by, if they may have
# become fast enough.
LEAST_TOKENS = 16
MULTIPLE = 8
FORGETTING = 1.01
# How much faster than small pieces a block is at least.
GAIN = 1.5


class ReadingPace:
    """Learns from every step how fast prompts are read: a slower one counts at once, a faster one by and by."""

    def __init__(self) -> None:
        self._speed_of_blocks = BLOCK / STEP_SECONDS
        self._speed_of_pieces = LEAST_TOKENS / STEP_SECONDS

    def n_tokens(self, *, alone: bool) -> int:
        """Prompt tokens for the next step, those of all prompts together. `alone`: no reply is written beside them."""
        if self._speed_of_blocks * (ALONE_SECONDS if alone else BLOCK_SECONDS) < BLOCK:
            return max(LEAST_TOKENS, int(self._speed_of_pieces * STEP_SECONDS))
        return max(1, round(self._speed_of_blocks * STEP_SECONDS / BLOCK)) * BLOCK

    def learn(self, n_tokens: int, seconds: float) -> None:
        """Take note of a step that read."""
        speed = n_tokens / max(seconds, 1e-6)
        if n_tokens >= BLOCK:
            self._speed_of_blocks = min(speed, 2 * self._speed_of_blocks)
        elif n_tokens >= LEAST_TOKENS:
            self._speed_of_pieces = min(speed, 2 * self._speed_of_pieces)
            if GAIN * speed > self._speed_of_blocks:
                self._speed_of_blocks = min(GAIN * speed, FORGETTING * self._speed_of_blocks)


def piece_of(n_missing: int, room: int) -> int:
    """Tokens to read of a prompt that misses so many: whole blocks, or what is left behind them."""
    if n_missing <= room and n_missing < BLOCK:
        return n_missing
    size = BLOCK if room >= BLOCK else MULTIPLE
    return min(n_missing, room) // size * size or min(n_missing, room)
