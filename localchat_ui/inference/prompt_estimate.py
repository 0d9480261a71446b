"""How many tokens a conversation has about, where nobody counts them, and which of its turns fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from localchat_ui.conversation import Role
from localchat_ui.engine.base import GenerationRequest, PromptBuilt, PromptTooLongError, Turn

# Bytes of UTF-8 that a token stands for: less than in English (4), more than in Chinese (2.5). Too many is too long.
BYTES_PER_TOKEN = 3.5
# What a template writes around each turn.
TOKENS_PER_TURN = 6
# A reply is left so much of the context, or what it may be long if that is less.
REPLY_SHARE = 4


def size_of(turn: Turn) -> int:
    """Tokens of a turn, about."""
    calls = "".join(f"{call.name}{call.arguments}" for call in turn.tool_calls)
    return TOKENS_PER_TURN + round(len(f"{turn.text}{turn.thinking}{calls}".encode()) / BYTES_PER_TOKEN)


def fit(
    request: GenerationRequest, sizes: Sequence[int], n_ctx: int, *, is_exact: bool
) -> tuple[GenerationRequest, PromptBuilt]:
    """The request without the oldest turns that have no room in `n_ctx` tokens, if it is known, and what is left.

    Raises PromptTooLongError when not even the last turn has room.
    """
    if request.prompt is not None:
        text = request.prompt if isinstance(request.prompt, str) else ""
        n_tokens = size_of(Turn(Role.USER, text)) if text else len(request.prompt)
        return request, PromptBuilt(n_tokens, 0, (n_tokens,), text, is_estimate=not is_exact)
    turns = list(request.turns)
    n_system = next((n for n, turn in enumerate(turns) if turn.role is not Role.SYSTEM), len(turns))
    n_dropped = 0
    if n_ctx:
        room = n_ctx - min(request.sampling.max_tokens, n_ctx // REPLY_SHARE)
        while request.may_drop and sum(sizes) - sum(sizes[n_system : n_system + n_dropped]) > room:
            if n_dropped >= len(turns) - n_system - 1:
                break
            n_dropped += 1
        # A conversation begins with a question.
        while n_dropped and n_dropped < len(turns) - n_system - 1 and turns[n_system + n_dropped].role is not Role.USER:
            n_dropped += 1
    left = [*turns[:n_system], *turns[n_system + n_dropped :]]
    n_tokens = sum(sizes) - sum(sizes[n_system : n_system + n_dropped])
    if n_ctx and n_tokens > n_ctx and request.may_drop:
        raise PromptTooLongError(
            f"This message and the system prompt have about {n_tokens:,} tokens and the context holds {n_ctx:,}."
            " Shorten them.",
            n_tokens,
            n_ctx,
        )
    text = "\n\n".join(f"{turn.role.value}: {turn.text}" for turn in left)
    built = PromptBuilt(n_tokens, n_dropped, tuple(sizes), text, is_estimate=not is_exact)
    return replace(request, turns=left), built
