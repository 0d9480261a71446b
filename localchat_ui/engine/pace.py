"""How much of a prompt one step may read, so that neither a running reply nor a stop waits long for it."""

from __future__ import annotations

# Attention gets slower as a prompt gets longer, and each step follows the one before; half of what is bearable.
STEP_SECONDS = 0.1
# llama.cpp computes the attention of so many tokens and more in another way, a fifth faster. What comes out differs:
# only if the pieces do not depend on how busy the machine is does a prompt give the same reply again.
BLOCK = 64
LEAST_TOKENS = 16
MULTIPLE = 8


class ReadingPace:
    """Learns from every step how fast prompts are read: a slower one counts at once, a faster one by and by."""

    def __init__(self) -> None:
        self._tokens_per_second = BLOCK / STEP_SECONDS

    @property
    def n_tokens(self) -> int:
        """Prompt tokens for the next step, those of all prompts together: whole blocks unless that took too long."""
        n_tokens = round(self._tokens_per_second * STEP_SECONDS)
        return (n_tokens + BLOCK // 2) // BLOCK * BLOCK or max(LEAST_TOKENS, n_tokens)

    def learn(self, n_tokens: int, seconds: float) -> None:
        """Take note of a step that read."""
        self._tokens_per_second = min(n_tokens / max(seconds, 1e-6), 2 * self._tokens_per_second)


def piece_of(n_missing: int, room: int) -> int:
    """Tokens to read of a prompt that misses so many: whole blocks, or what is left behind them."""
    if n_missing <= room and n_missing < BLOCK:
        return n_missing
    size = BLOCK if room >= BLOCK else MULTIPLE
    return min(n_missing, room) // size * size or min(n_missing, room)
