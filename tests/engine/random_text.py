"""What a model without any sense would write where a grammar holds it."""

from __future__ import annotations

import random

from localchat_ui.engine.grammar import Guide
from localchat_ui.engine.llama import Model

MOST_TOKENS = 400


def some_text(model: Model, guide: Guide, seed: int) -> str | None:
    """One at random, ending where it may; None when that takes too long."""
    chance = random.Random(seed)
    written = b""
    for _ in range(MOST_TOKENS):
        allowed = guide.allowed()
        ids = set(allowed.tolist())
        # One that closes something comes more often, so that texts end.
        closing = [token for mark in '"}],' for token in model.tokenize(mark) if token in ids]
        if ids & set(model.ends):
            return written.decode()
        token = chance.choice(closing) if closing and chance.random() < 0.5 else int(chance.choice(allowed))
        guide.accept(token)
        written += model.piece(token)
    return None
