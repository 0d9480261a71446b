"""How likely each token of a reply was to the model, and what else could have stood in its place."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from localchat_ui.chat.errors import ChatError
from localchat_ui.chat.prompt import request_for
from localchat_ui.conversation import ChatOptions, Message, RequestOptions, Role
from localchat_ui.engine.base import EngineError, GenerationFailed, GenerationRequest, Token, TokenLogprob, Turn
from localchat_ui.inference import Inference, ModelRef
from localchat_ui.text import Text

N_ALTERNATIVES = 8
MAX_CHARACTERS = 30_000
# Where an answer begins in a prompt.
ANSWER = "\ufdef"


@dataclass(frozen=True)
class Alternative:
    """A token that could have come next. `opening` is the reply up to and with it, None where that is no text."""

    text: str
    probability: float
    opening: str | None


@dataclass(frozen=True)
class ScoredToken:
    """A token of the reply as it was read again; its own text among the likeliest `alternatives`, mostly."""

    text: str
    probability: float
    alternatives: tuple[Alternative, ...]


async def score_tokens(
    inference: Inference, model: ModelRef, options: ChatOptions, above: Sequence[Message], reply: Message
) -> list[ScoredToken]:
    """Have the model write just this answer to the messages `above` it, and note what it thought of it.

    Nothing has to be kept while replies are written, and what was edited or imported can be looked at as well. The
    grammar leaves one token at each place, so most are decoded together, as fast as a prompt. Raises EngineError and
    ChatError.
    """
    if not model.is_local:
        raise ChatError(Text("Token probabilities can be shown for models that run on this machine."))
    text = reply.text
    if len(text) > MAX_CHARACTERS:
        raise ChatError(
            Text("This reply is too long for that: {n} characters are the most.", n=MAX_CHARACTERS),
        )
    sampling = RequestOptions(
        top_logprobs=N_ALTERNATIVES, grammar=f"root ::= {_literal(text)}", max_tokens=32_768, deterministic=False
    )
    tokens: list[Token] = []
    request, _ = request_for(options, above, model)
    if reply.thinking:
        request = await _behind_thinking(inference, model, request, reply.thinking)
    async with inference.generate(model, replace(request, sampling=sampling)) as stream:
        async for events in stream:
            for event in events:
                if isinstance(event, GenerationFailed):
                    raise EngineError(event.message)
                if isinstance(event, Token):
                    tokens.append(event)
    return _scored(tokens)


async def _behind_thinking(
    inference: Inference, model: ModelRef, request: GenerationRequest, thinking: str
) -> GenerationRequest:
    """The same, as far as to the answer that follows these thoughts: as it is, because no turn ends there."""
    turns = [*request.turns, Turn(Role.ASSISTANT, ANSWER, thinking)]
    built = await inference.preview(model, replace(request, turns=turns))
    prompt, found, _ = built.text.rpartition(ANSWER)
    return replace(request, prompt=prompt) if found else request


def _scored(tokens: Sequence[Token]) -> list[ScoredToken]:
    """One for each token; those that are parts of one character are one."""
    scored: list[ScoredToken] = []
    before, part, probability = b"", b"", 1.0
    first: tuple[TokenLogprob, ...] = ()
    for token in tokens:
        first = first if part else token.top
        part, probability = part + token.piece, probability * math.exp(token.logprob or 0.0)
        text = _text(part)
        if text is None:
            continue
        alternatives = tuple(
            Alternative(
                top.piece.decode(errors="replace"),
                math.exp(top.logprob),
                _text(before + top.piece) if top.piece else None,
            )
            for top in first
        )
        scored.append(ScoredToken(text, probability, alternatives))
        before, part, probability = before + part, b"", 1.0
    return scored


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _literal(text: str) -> str:
    """The text as GBNF writes it, which knows fewer escapes than JSON."""
    return json.dumps(text, ensure_ascii=False).replace(r"\b", r"\x08").replace(r"\f", r"\x0C")
