"""A conversation in the words of a model: chat template, then tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Prompt:
    """What the model reads, and the strings at which its reply ends."""

    tokens: list[int]
    stop: tuple[str, ...]


def build_prompt(model: Model, turns: Sequence[Turn], *, n_ctx: int) -> Prompt:
    """Render and tokenize a conversation. Raises PromptTooLongError when no room is left for a reply."""
    text = _render(model, turns)
    tokens = model.tokenize(text, add_special=model.adds_bos and not text.startswith(model.bos))
    if len(tokens) >= n_ctx:
        raise PromptTooLongError(
            f"This conversation has {len(tokens):,} tokens and the context holds {n_ctx:,}."
            " Start a new chat, shorten the message, or raise N_CTX."
        )
    return Prompt(tokens, () if model.chat_template else FALLBACK_STOP)


def _render(model: Model, turns: Sequence[Turn]) -> str:
    template = model.chat_template or FALLBACK_TEMPLATE
    try:
        return _apply(model, template, turns)
    except Exception:
        # Some templates refuse a system turn; its words then lead the first question.
        if turns and turns[0].role is Role.SYSTEM and len(turns) > 1:
            merged = Turn(turns[1].role, f"{turns[0].text}\n\n{turns[1].text}")
            try:
                return _apply(model, template, [merged, *turns[2:]])
            except Exception as second:
                error = second
        raise EngineError(f"The model's chat template could not be applied: {error}") from error


def _apply(model: Model, template: str, turns: Sequence[Turn]) -> str:
    messages = [{"role": turn.role.value, "content": turn.text} for turn in turns]
    return render_chat(template, messages, bos=model.bos, eos=model.eos)
