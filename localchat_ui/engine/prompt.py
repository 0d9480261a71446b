"""A conversation in the words of a model: chat template, then tokens, fitted to the context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from localchat_ui.conversation import Role
from localchat_ui.engine.base import EngineError, PromptTooLongError, Turn
from localchat_ui.engine.llama import Model, render_chat

# For models whose file brings no template (base models). Plain enough for any of them to go on with.
FALLBACK_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content }}\n\n"
    "{% elif message.role == 'user' %}User: {{ message.content }}\n"
    "{% else %}Assistant: {{ message.content }}\n{% endif %}"
    "{% endfor %}Assistant:"
)
FALLBACK_STOP = ("\nUser:", "\nAssistant:")
# Room for a reply is kept free: its limit, but no more than this share of the context; and never less than so many.
REPLY_SHARE = 4
LEAST_REPLY_TOKENS = 16


@dataclass(frozen=True)
class Prompt:
    """What the model reads, and the strings at which its reply ends.

    `turn_tokens` are the tokens of each turn as it was given, template words included; those of the `n_dropped` oldest
    turns behind the system turn are left out of `tokens`.
    """

    tokens: list[int]
    stop: tuple[str, ...]
    turn_tokens: tuple[int, ...] = ()
    n_dropped: int = 0


def build_prompt(model: Model, turns: Sequence[Turn], *, n_ctx: int, max_tokens: int = 1) -> Prompt:
    """Render, tokenize and fit a conversation to `n_ctx` tokens, with room for a reply of `max_tokens`.

    The system turn and the newest turns stay, whole oldest turns leave. Raises PromptTooLongError when the last turn
    alone is too long.
    """
    stop = () if model.chat_template else FALLBACK_STOP
    text = _render(model, turns)
    tokens = _tokenize(model, text)
    sizes = _turn_tokens(model, text, turns, len(tokens))
    room = n_ctx - max(LEAST_REPLY_TOKENS, min(max_tokens, n_ctx // REPLY_SHARE))
    if len(tokens) <= room:
        return Prompt(tokens, stop, sizes)
    n_system = int(bool(turns) and turns[0].role is Role.SYSTEM)
    n_dropped = _n_to_drop(turns[n_system:], sizes[n_system:], len(tokens) - room, n_ctx // REPLY_SHARE)
    kept = [*turns[:n_system], *turns[n_system + n_dropped :]]
    tokens = _tokenize(model, _render(model, kept))
    if len(tokens) > n_ctx - LEAST_REPLY_TOKENS:
        raise PromptTooLongError(
            f"This message and the system prompt have {len(tokens):,} tokens and the context holds {n_ctx:,}."
            " Shorten them, or raise N_CTX."
        )
    return Prompt(tokens, stop, sizes, n_dropped)


def _n_to_drop(turns: Sequence[Turn], sizes: Sequence[int], excess: int, step: int) -> int:
    """How many of the oldest turns leave, so that at least `excess` tokens do; the last turn always stays.

    They leave in steps of about so many tokens: if a little left with every turn, the prompt would begin differently
    each time and nothing of it could be reused.
    """
    goal = -(-excess // step) * step
    gone = list(accumulate(sizes))
    n = next((index + 1 for index, total in enumerate(gone[:-1]) if total >= goal), len(turns) - 1)
    # What is kept begins with a question: many templates insist on it.
    while n < len(turns) - 1 and turns[n].role is not Role.USER:
        n += 1
    return n


def _turn_tokens(model: Model, text: str, turns: Sequence[Turn], total: int) -> tuple[int, ...]:
    """Tokens up to the end of each turn's words, minus those before; what follows the last counts as the last's."""
    ends, position = [], 0
    for turn in turns:
        words = turn.text.strip()
        found = text.find(words, position)
        position = found + len(words) if found >= 0 else position
        ends.append(position)
    pieces = [text[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    counts = [len(model.tokenize(piece, add_special=False)) for piece in pieces]
    if counts:
        # Cut at the ends of turns, a text may give a token more or less; the last turn takes up the difference.
        counts[-1] = max(0, total - sum(counts[:-1]))
    return tuple(counts)


def _tokenize(model: Model, text: str) -> list[int]:
    return model.tokenize(text, add_special=model.adds_bos and not text.startswith(model.bos))


def _render(model: Model, turns: Sequence[Turn]) -> str:
    template = model.chat_template or FALLBACK_TEMPLATE
    attempts = [turns]
    if len(turns) > 1 and turns[0].role is Role.SYSTEM:
        # Some templates refuse a system turn; its words then lead the first question.
        attempts.append([Turn(turns[1].role, f"{turns[0].text}\n\n{turns[1].text}"), *turns[2:]])
    for attempt in attempts:
        try:
            return _apply(model, template, attempt)
        except Exception as error:
            reason = error
    raise EngineError(f"The model's chat template could not be applied: {reason}") from reason


def _apply(model: Model, template: str, turns: Sequence[Turn]) -> str:
    messages = [{"role": turn.role.value, "content": turn.text} for turn in turns]
    return render_chat(template, messages, bos=model.bos, eos=model.eos)
