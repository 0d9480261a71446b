"""The engine's events in OpenAI's words, for one choice after the other."""

from __future__ import annotations

from collections.abc import Sequence

from localchat_ui.api.schemas import (
    Delta,
    DeltaToolCall,
    FunctionCall,
    Logprobs,
    MessageToolCall,
    PromptTokensDetails,
    ReplyMessage,
    TextLogprobs,
    TokenLogprobs,
    TopLogprob,
    Usage,
)
from localchat_ui.api.tools import FoundCall, ToolCallParser
from localchat_ui.conversation import GenerationStats, new_id
from localchat_ui.engine.base import Event, GenerationDone, GenerationFailed, Token


class ChoiceReader:
    """Reads the events of one choice; knows all that was said so far."""

    def __init__(self, tool_names: Sequence[str] = ()) -> None:
        self._parser = ToolCallParser(tool_names) if tool_names else None
        self.text = ""
        self.thinking = ""
        self.calls: list[MessageToolCall] = []
        self.logprobs: list[TokenLogprobs] = []
        self.stats: GenerationStats | None = None
        self.failure: GenerationFailed | None = None

    def read(self, events: Sequence[Event]) -> tuple[Delta, list[TokenLogprobs]]:
        """What is new with these events."""
        text, thinking, logprobs = "", "", []
        found: list[FoundCall] = []
        for event in events:
            if isinstance(event, GenerationFailed):
                self.failure = event
            elif isinstance(event, (Token, GenerationDone)):
                shown, calls = self._parser.feed(event.text) if self._parser else (event.text, [])
                text, thinking, found = text + shown, thinking + event.thinking, found + calls
                if isinstance(event, GenerationDone):
                    self.stats = event.stats
                elif event.logprob is not None and not event.thinking:
                    logprobs.append(_logprobs(event))
        if self._parser and (self.stats or self.failure):
            rest, calls = self._parser.finish()
            text, found = text + rest, found + calls
        new_calls = [_message_call(call) for call in found]
        delta = Delta(
            content=text or None,
            reasoning_content=thinking or None,
            tool_calls=[
                DeltaToolCall(index=len(self.calls) + number, **dict(call)) for number, call in enumerate(new_calls)
            ]
            or None,
        )
        self.text += text
        self.thinking += thinking
        self.calls += new_calls
        self.logprobs += logprobs
        return delta, logprobs

    @property
    def finish_reason(self) -> str:
        if self.stats is not None and self.stats.finish_reason == "length":
            return "length"
        return "tool_calls" if self.calls else "stop"

    @property
    def message(self) -> ReplyMessage:
        return ReplyMessage(
            content=self.text if self.text or not self.calls else None,
            reasoning_content=self.thinking or None,
            tool_calls=self.calls or None,
        )

    @property
    def whole_logprobs(self) -> Logprobs:
        return Logprobs(content=self.logprobs)


def usage_of(readers: Sequence[ChoiceReader], n_choices: int = 1) -> Usage:
    """Tokens of all choices; a prompt counts once, however many choices it has."""
    stats = [reader.stats or GenerationStats() for reader in readers]
    prompts = stats[::n_choices]
    n_prompt = sum(each.prompt_tokens for each in prompts)
    n_reply = sum(each.reply_tokens for each in stats)
    return Usage(
        prompt_tokens=n_prompt,
        completion_tokens=n_reply,
        total_tokens=n_prompt + n_reply,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=sum(each.reused_tokens for each in prompts)),
    )


def text_logprobs(logprobs: Sequence[TokenLogprobs], offset: int) -> TextLogprobs:
    """The older shape, of /v1/completions. `offset` is where in the text the first token stands."""
    offsets = []
    for each in logprobs:
        offsets.append(offset)
        offset += len(each.token)
    return TextLogprobs(
        tokens=[each.token for each in logprobs],
        token_logprobs=[each.logprob for each in logprobs],
        top_logprobs=[{top.token: top.logprob for top in each.top_logprobs} for each in logprobs],
        text_offset=offsets,
    )


def _logprobs(token: Token) -> TokenLogprobs:
    own = _one(token.piece, token.logprob or 0.0)
    return TokenLogprobs(**dict(own), top_logprobs=[_one(top.piece, top.logprob) for top in token.top])


def _one(piece: bytes, logprob: float) -> TopLogprob:
    # JSON knows no infinity: the least that OpenAI's protocol uses stands for a token that cannot be.
    return TopLogprob(token=piece.decode(errors="replace"), logprob=max(logprob, -9999.0), bytes=list(piece))


def _message_call(call: FoundCall) -> MessageToolCall:
    return MessageToolCall(id=f"call_{new_id()}", function=FunctionCall(name=call.name, arguments=call.arguments))
