"""OpenAI's protocol as a client speaks it: a request in its words, and its chunks as events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from localchat_ui.conversation import FullSampling, GenerationStats, Role
from localchat_ui.engine.base import (
    Event,
    GenerationDone,
    GenerationFailed,
    GenerationRequest,
    Token,
    TokenLogprob,
    Turn,
)
from localchat_ui.engine.roles import SystemPlace, repaired
from localchat_ui.engine.text import TextStream
from localchat_ui.engine.thinking import KNOWN_MARKS
from localchat_ui.engine.tool_calls import CallDelta

# Parameters of OpenAI's own protocol; the others are llama.cpp's, and what many servers took over from it.
STANDARD = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias")
EXTRA = (
    "top_k",
    "min_p",
    "repeat_penalty",
    "typical_p",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "xtc_probability",
    "xtc_threshold",
    "mirostat_tau",
    "mirostat_eta",
    "grammar",
)
# The value that leaves everything as it is.
NEUTRAL = {
    **{name: field.default for name, field in FullSampling.model_fields.items()},
    "top_k": 0,
    "min_p": 0.0,
    "logit_bias": {},
}
BROKEN_OFF = "The reply broke off before its end. Try again, or continue it."


def parameters_of(model_id: str, request: GenerationRequest, room: int = 0) -> dict[str, Any]:
    """What every server of the protocol understands of a request; `room` tokens are left in the context, if not 0."""
    sampling = request.sampling
    given: dict[str, Any] = {
        "model": model_id,
        "stream": True,
        "stream_options": {"include_usage": True},
        # Some refuse what would not fit instead of ending there.
        "max_tokens": min(sampling.max_tokens, room or sampling.max_tokens),
        **{name: value for name in STANDARD if (value := getattr(sampling, name)) not in (None, {})},
    }
    if request.stop:
        given["stop"] = list(request.stop)
    if request.prompt is not None:
        given["prompt"] = request.prompt
        if request.suffix is not None:
            given["suffix"] = request.suffix
        if sampling.top_logprobs is not None:
            given["logprobs"] = sampling.top_logprobs
        if sampling.json_schema is not None:
            given["response_format"] = _response_format(sampling.json_schema)
        return given
    # Many templates insist on roles that alternate, wherever they run; an empty question is refused by some servers.
    turns, _ = repaired(request.turns, SystemPlace.ANYWHERE)
    given["messages"] = [_message(turn) for turn in turns if turn.text or turn.parts or turn.role is not Role.USER]
    if sampling.top_logprobs is not None:
        given |= {"logprobs": True, "top_logprobs": sampling.top_logprobs}
    for name in ("tool_choice", "reasoning_effort"):
        if name in request.template_arguments:
            given[name] = request.template_arguments[name]
    if tools := request.template_arguments.get("tools"):
        given["tools"] = _tools(tools, request)
        if not request.may_call_several and not isinstance(given.get("tool_choice"), dict):
            given["parallel_tool_calls"] = False
    if sampling.json_schema is not None:
        given["response_format"] = _response_format(sampling.json_schema)
    return given


def _tools(tools: Any, request: GenerationRequest) -> list[dict[str, Any]]:
    """Those whose arguments have to obey say so."""

    def function(tool: dict[str, Any]) -> dict[str, Any]:
        given = dict(tool["function"])
        return given | ({"strict": True} if given["name"] in request.strict else {})

    return [{**tool, "function": function(tool)} for tool in tools]


def _response_format(schema: dict[str, Any]) -> dict[str, Any]:
    if schema == {"type": "object"}:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}


def extra_parameters(request: GenerationRequest) -> dict[str, Any]:
    """What only some servers understand: options that are not neutral, and arguments of the chat template."""
    values = {name: getattr(request.sampling, name) for name in EXTRA}
    extras = {name: value for name, value in values.items() if value != NEUTRAL[name]}
    arguments = {
        name: value
        for name, value in request.template_arguments.items()
        if name not in ("tools", "tool_choice", "reasoning_effort")
    }
    return extras | ({"chat_template_kwargs": arguments} if arguments else {})


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role.value, "content": list(turn.parts) or turn.text}
    if turn.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id or f"call{index:05}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for index, call in enumerate(turn.tool_calls)
        ]
        message["content"] = turn.text or None
    if turn.role is Role.TOOL:
        message["tool_call_id"] = turn.tool_call_id
    return message


class ReplyReader:
    """Reads the chunks of one reply."""

    def __init__(self, request: GenerationRequest, n_prompt: int = 0) -> None:
        """`n_prompt` tokens are about what is read; the server may tell better."""
        self._request = request
        self._n_prompt = n_prompt
        goes_on = request.prompt is not None or (bool(request.turns) and request.turns[-1].role is Role.ASSISTANT)
        # Some servers leave the thinking where the model wrote it.
        marks = None if request.prompt is not None else KNOWN_MARKS[-1]
        self._text = TextStream(marks=marks, continued=goes_on)
        self._calls = CallReader()
        self._started = time.monotonic()
        self._first_at = 0.0
        self._answer_at = 0.0
        self._last_at = 0.0
        self._n_pieces = 0
        self._finish_reason = ""
        self._usage: Any = None

    def read(self, chunk: Any) -> Iterator[Event]:
        """The events of a chunk. Whatever is missing in it counts as not said."""
        self._usage = getattr(chunk, "usage", None) or self._usage
        for choice in getattr(chunk, "choices", None) or ():
            self._finish_reason = choice.finish_reason or self._finish_reason
            delta = getattr(choice, "delta", None)
            said = _text_of(getattr(delta, "content", None) if delta is not None else getattr(choice, "text", None))
            thought = _thinking_of(delta)
            thinking, text = self._text.feed(said.encode(errors="replace")) if said else ("", "")
            calls = tuple(self._calls.read(getattr(delta, "tool_calls", None) or ()))
            logprobs = _logprobs_of(getattr(choice, "logprobs", None))
            if thought or thinking or text or calls or logprobs:
                yield from self._tokens(thought + thinking, text, calls, logprobs)

    @property
    def has_ended(self) -> bool:
        """Whether the server said that the reply is complete; its usage may still follow."""
        return bool(self._finish_reason)

    def finish(self, reason: str = "") -> Iterator[Event]:
        """The last events; a reply that nobody has ended by then has broken off."""
        reason = reason or {"tool_calls": "stop", "function_call": "stop", "content_filter": "stop"}.get(
            self._finish_reason, self._finish_reason
        )
        thinking, text = self._text.finish()
        if not reason:
            if text or thinking:
                yield Token(text, -1, thinking)
            yield GenerationFailed(BROKEN_OFF, "unavailable", self.n_computed)
            return
        yield GenerationDone(text, self._stats(reason), thinking)

    def _tokens(
        self, thinking: str, text: str, calls: tuple[CallDelta, ...], logprobs: list[tuple[TokenLogprob, Any]]
    ) -> Iterator[Token]:
        now = self._last_at = time.monotonic()
        self._first_at = self._first_at or now
        if text or calls:
            self._answer_at = self._answer_at or now
        self._n_pieces += max(1, len(logprobs))
        if not logprobs:
            yield Token(text, -1, thinking, calls=calls)
        for own, top in logprobs:
            yield Token(text, own.id, thinking, own.logprob, top, own.piece, calls)
            text, thinking, calls = "", "", ()

    @property
    def n_computed(self) -> int:
        """Tokens that the server has read and written so far, as far as that is known; 0 before it began to write."""
        return self._n_prompt + self._n_pieces if self._n_pieces else 0

    def _stats(self, reason: str) -> GenerationStats:
        usage = self._usage
        n_reply = count_in(usage, "completion_tokens", self._n_pieces)
        n_prompt = count_in(usage, "prompt_tokens", self._n_prompt)
        n_reused = count_in(getattr(usage, "prompt_tokens_details", None), "cached_tokens")
        seconds = self._last_at - self._first_at
        return GenerationStats(
            prompt_tokens=n_prompt,
            reused_tokens=min(n_prompt, n_reused),
            reply_tokens=n_reply,
            seconds_to_first_token=self._first_at - self._started if self._first_at else 0.0,
            tokens_per_second=(n_reply - 1) / seconds if seconds > 0 and n_reply > 1 else 0.0,
            context_tokens=n_prompt + n_reply,
            seed=self._request.sampling.seed,
            finish_reason=reason,
            thinking_seconds=self._answer_at - self._first_at if self._answer_at > self._first_at else 0.0,
        )


def _thinking_of(delta: Any) -> str:
    """What servers that tell thinking apart call it."""
    said = getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None)
    return said if isinstance(said, str) else ""


class CallReader:
    """Numbers the calls of one reply 0, 1, 2 … and begins each with its name, whatever order a server keeps."""

    def __init__(self) -> None:
        self._last: tuple[object, object] = (None, None)
        self._named = False
        self._number = -1

    def read(self, deltas: Iterable[Any]) -> Iterator[CallDelta]:
        for delta in deltas:
            function = getattr(delta, "function", None)
            name = _text_of(getattr(function, "name", None))
            arguments = getattr(function, "arguments", None)
            if arguments is not None and not isinstance(arguments, str):
                arguments = json.dumps(arguments)
            index, call_id = getattr(delta, "index", None), getattr(delta, "id", None) or self._last[1]
            if (index, call_id) != self._last or self._number < 0:
                self._last, self._named = (index, call_id), False
                self._number += 1
            if name and not self._named:
                self._named = True
                yield CallDelta(self._number, name, arguments or "")
            elif arguments and self._named:
                yield CallDelta(self._number, "", arguments)


def count_in(said: Any, name: str, otherwise: int = 0) -> int:
    """A number of tokens that a server tells; what it says instead of one counts as not said."""
    value = getattr(said, name, None)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise


def _text_of(said: Any) -> str:
    """Text, or the texts of its parts."""
    if isinstance(said, list):
        return "".join(_text_of(part.get("text")) for part in said if isinstance(part, dict))
    return said if isinstance(said, str) else ""


def _logprobs_of(said: Any) -> list[tuple[TokenLogprob, tuple[TokenLogprob, ...]]]:
    """Each token with the likeliest in its place."""
    if tokens := getattr(said, "tokens", None):
        return list(_older_logprobs(tokens, said))
    content = getattr(said, "content", None) or ()
    return [(_logprob(each), tuple(map(_logprob, each.top_logprobs or ()))) for each in content]


def _older_logprobs(tokens: Sequence[str], said: Any) -> Iterator[tuple[TokenLogprob, tuple[TokenLogprob, ...]]]:
    """Those of /v1/completions."""
    values = getattr(said, "token_logprobs", None) or [0.0] * len(tokens)
    tops = getattr(said, "top_logprobs", None) or [{}] * len(tokens)
    for token, value, top in zip(tokens, values, tops, strict=False):
        alternatives = tuple(TokenLogprob(-1, piece.encode(), logprob) for piece, logprob in (top or {}).items())
        yield TokenLogprob(-1, token.encode(), value or 0.0), alternatives


def _logprob(said: Any) -> TokenLogprob:
    piece = bytes(said.bytes) if said.bytes is not None else said.token.encode(errors="replace")
    return TokenLogprob(-1, piece, said.logprob)
