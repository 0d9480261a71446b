"""The engine's events in OpenAI's words, for one choice after the other."""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence

from localchat_ui.api.schemas import (
    CompletionTokensDetails,
    Delta,
    DeltaFunction,
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
from localchat_ui.conversation import GenerationStats
from localchat_ui.engine.base import Event, GenerationDone, GenerationFailed, PromptBuilt, Token
from localchat_ui.engine.tool_calls import CallDelta, ToolCallParser, Tools


class ChoiceReader:
    """Reads the events of one choice; knows all that was said so far."""

    def __init__(self, tools: Tools | None = None) -> None:
        """`tools` are those that the text may call; a server elsewhere tells calls apart by itself.

        `n_prompt` and `n_thinking` count tokens.
        """
        self._tools = tools
        self._parser = ToolCallParser(tools) if tools else None
        self.text = ""
        self.thinking = ""
        self.calls: list[MessageToolCall] = []
        self.logprobs: list[TokenLogprobs] = []
        self.stats: GenerationStats | None = None
        self.failure: GenerationFailed | None = None
        self.n_prompt = 0
        self.n_thinking = 0
        self.stop_string = ""

    def read(self, events: Sequence[Event]) -> tuple[Delta, list[TokenLogprobs]]:
        """What is new with these events."""
        text, thinking, logprobs = "", "", []
        news: list[CallDelta] = []
        for event in events:
            if isinstance(event, PromptBuilt):
                self.n_prompt = event.n_tokens
                if self._tools and event.tool_format:
                    self._parser = ToolCallParser(self._tools, event.tool_format)
            elif isinstance(event, GenerationFailed):
                self.failure = event
            elif isinstance(event, (Token, GenerationDone)):
                shown, calls = self._parser.feed(event.text) if self._parser else (event.text, [])
                text, thinking, news = text + shown, thinking + event.thinking, news + calls
                if isinstance(event, GenerationDone):
                    self.stats = event.stats
                    self.stop_string = event.stop_string
                    continue
                self.n_thinking += bool(event.thinking)
                news += event.calls
                if event.logprob is not None and not event.thinking:
                    logprobs.append(_logprobs(event))
        if self._parser and (self.stats or self.failure):
            rest, calls = self._parser.finish()
            text, news = text + rest, news + calls
        delta = Delta(
            content=text or None,
            reasoning_content=thinking or None,
            tool_calls=[_delta(piece) for piece in self._called(news)] or None,
        )
        self.text += text
        self.thinking += thinking
        self.logprobs += logprobs
        return delta, logprobs

    def _called(self, news: Sequence[CallDelta]) -> list[tuple[int, MessageToolCall]]:
        """What is new of each call, with its number; the calls grow by it."""
        pieces: dict[int, MessageToolCall] = {}
        for index, name, arguments in news:
            if name:
                call = MessageToolCall(id=_new_id(), function=FunctionCall(name=name, arguments=""))
                self.calls.append(call)
                pieces[index] = call.model_copy(deep=True)
            piece = pieces.setdefault(index, MessageToolCall(function=FunctionCall(name="", arguments="")))
            piece.function.arguments += arguments
            self.calls[index].function.arguments += arguments
        return list(pieces.items())

    @property
    def finish_reason(self) -> str:
        if self.stats is not None and self.stats.finish_reason == "length":
            return "length"
        return "tool_calls" if self.calls else "stop"

    @property
    def notes(self) -> list[str] | None:
        """What had to be done to the conversation; None when it was nothing."""
        return list(self.stats.notes) or None if self.stats else None

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
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=sum(each.thinking_tokens for each in stats)),
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


def _delta(piece: tuple[int, MessageToolCall]) -> DeltaToolCall:
    index, call = piece
    return DeltaToolCall(
        index=index,
        id=call.id or None,
        type="function" if call.id else None,
        function=DeltaFunction(name=call.function.name or None, arguments=call.function.arguments),
    )


def _new_id() -> str:
    """Nine letters and digits: what every model's template takes."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(9))
