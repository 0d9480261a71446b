"""The domain words every other room uses: messages, conversations, sampling, statistics."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from itertools import count
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from localchat_ui.text import N_

DEFAULT_SYSTEM_PROMPT = (
    "You are a calm, knowledgeable assistant."
    " Answer clearly and to the point, and say so when you do not know something."
)
TITLE_LENGTH = 80
FILE_NAME_LENGTH = 200
PRESET_NAME_LENGTH = 80
SYSTEM_PROMPT_LENGTH = 100_000


class Role(str, Enum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class MessageState(str, Enum):
    """How far a message has come. A question is complete, or waits for the reply before it; the rest is for replies."""

    QUEUED = "queued"
    WRITING = "writing"
    COMPLETE = "complete"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class SamplingOptions(BaseModel):
    """How the next token is chosen. The bounds here are the bounds of the settings, the sliders and the API."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(
        0.7, ge=0, le=2, description=N_("0 always takes the likeliest token; higher is more varied")
    )
    top_p: float = Field(
        0.95, gt=0, le=1, description=N_("keep the likeliest tokens that together reach this probability")
    )
    top_k: int = Field(40, ge=0, le=200, description=N_("keep this many of the likeliest tokens; 0 keeps all"))
    min_p: float = Field(
        0.05, ge=0, le=1, description=N_("drop tokens less likely than this share of the likeliest one")
    )
    repeat_penalty: float = Field(1.0, ge=0.5, le=2, description=N_("above 1 discourages tokens used recently"))
    max_tokens: int = Field(512, ge=1, le=32768, description=N_("longest reply, in tokens"))
    seed: int | None = Field(None, ge=0, le=2**32 - 2, description=N_("same seed, same reply; empty is random"))
    thinking_budget: int | None = Field(
        None, ge=0, le=32768, description=N_("most tokens of thinking before the answer begins; empty is no limit")
    )


class FullSampling(SamplingOptions):
    """Everything llama.cpp can do with a choice, for requests of programs; the page offers what people use of it."""

    typical_p: float = Field(1.0, gt=0, le=1, description="keep tokens about as surprising as expected; 1 keeps all")
    presence_penalty: float = Field(0.0, ge=-2, le=2, description="above 0 discourages tokens that occurred at all")
    frequency_penalty: float = Field(0.0, ge=-2, le=2, description="above 0 discourages tokens that occurred often")
    dry_multiplier: float = Field(0.0, ge=0, le=5, description="strength against repeating whole phrases; 0 is off")
    dry_base: float = Field(1.75, ge=1, le=4, description="how fast that grows with the length of the phrase")
    dry_allowed_length: int = Field(2, ge=0, le=100, description="phrases up to this many tokens may repeat")
    xtc_probability: float = Field(0.0, ge=0, le=1, description="chance of leaving out the likeliest tokens; 0 is off")
    xtc_threshold: float = Field(0.1, ge=0, le=1, description="tokens at least this likely are those left out")
    mirostat_tau: float = Field(0.0, ge=0, le=20, description="surprise that mirostat 2 aims at; 0 is off")
    mirostat_eta: float = Field(0.1, gt=0, le=1, description="how fast mirostat learns")
    logit_bias: dict[int, float] = Field(default_factory=dict, description="added to the score of a token, by its id")
    grammar: str | None = Field(None, max_length=100_000, description="GBNF grammar that the reply has to follow")
    json_schema: dict[str, Any] | None = Field(None, description="JSON schema that the reply has to follow")


class RequestOptions(FullSampling):
    """How a reply is made, and what is reported of that."""

    top_logprobs: int | None = Field(None, ge=0, le=20, description="report log-probabilities of so many tokens")
    deterministic: bool | None = Field(
        None,
        description="compute it the same way every time, whatever runs beside it or was kept from before;"
        " empty does so with a seed or at temperature 0",
    )


class ChatOptions(SamplingOptions):
    """What a conversation starts with and keeps: its sampling, its system prompt and how its model thinks."""

    system_prompt: str = Field(
        DEFAULT_SYSTEM_PROMPT,
        max_length=SYSTEM_PROMPT_LENGTH,
        description=N_("tells the model who it is; empty sends none"),
    )
    thinking: bool | None = Field(
        None, description="whether a model that can think does before it answers; empty leaves it to the model"
    )
    reasoning_effort: Effort | None = Field(
        None, description="how much a model that knows degrees thinks; empty leaves it to the model"
    )


class GenerationStats(BaseModel):
    """The receipt of one reply. Counts are in tokens, times in seconds.

    `first_seen_id` is the message behind the `unseen_messages` first ones of the branch, which the model did not see.
    `notes` tell what was done to the roles of the conversation, and what the model's template left out.
    `sampling` is what the reply was made with, and never more than that: a system prompt is no part of a receipt.
    """

    model_config = ConfigDict(frozen=True)

    prompt_tokens: int = 0
    reused_tokens: int = 0
    reply_tokens: int = 0
    seconds_to_first_token: float = 0.0
    tokens_per_second: float = 0.0
    context_tokens: int = 0
    unseen_messages: int = 0
    first_seen_id: str | None = None
    seed: int | None = None
    finish_reason: str = ""
    thinking_seconds: float = 0.0
    thinking_tokens: int = 0
    notes: tuple[str, ...] = ()
    sampling: SamplingOptions | None = None

    @field_validator("sampling")
    @classmethod
    def _sampling_alone(cls, value: SamplingOptions | None) -> SamplingOptions | None:
        if value is None or type(value) is SamplingOptions:
            return value
        return SamplingOptions.model_validate(value.model_dump(include=set(SamplingOptions.model_fields)))


class Preset(BaseModel):
    """A system prompt with a name, to be chosen again."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=PRESET_NAME_LENGTH)]
    text: str = Field(max_length=SYSTEM_PROMPT_LENGTH)


class Attachment(BaseModel):
    """A file that belongs to a message: people see its name, the model reads its text.

    `size` is that of the file in bytes; `n_tokens` is None where nobody counted.
    """

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, StringConstraints(min_length=1, max_length=FILE_NAME_LENGTH)]
    size: int = Field(ge=0)
    text: str
    n_tokens: int | None = Field(None, ge=0)

    @property
    def block(self) -> str:
        """The text as a block of code in Markdown, in a fence that nothing in it can end."""
        ticks = max(map(len, re.findall("`+", self.text)), default=0)
        fence = "`" * max(3, ticks + 1)
        suffix = PurePath(self.name).suffix.removeprefix(".")
        return f"{fence}{suffix if suffix.isalnum() else ''}\n{self.text.rstrip(chr(10))}\n{fence}"


def new_id() -> str:
    """An id that cannot be guessed and is safe in a URL."""
    return secrets.token_urlsafe(12)


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass
class Message:
    """One turn. `parent_id` is the turn it answers or follows: the messages of a conversation form a tree.

    `thinking` is what the model wrote between its thinking marks; it is no part of `text`. `unsaved` is why the newest
    of it is not in the database yet, while that is so.
    """

    conversation_id: str
    role: Role
    text: str
    parent_id: str | None = None
    state: MessageState = MessageState.COMPLETE
    model: str | None = None
    error: str | None = None
    stats: GenerationStats | None = None
    thinking: str = ""
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=utc_now)
    attachments: tuple[Attachment, ...] = ()
    unsaved: str | None = field(default=None, compare=False)


@dataclass
class Conversation:
    """A conversation without its messages. `head_id` is the last message of the branch that is shown.

    A draft of a title was given by the program; a model may write a better one.
    """

    title: str = ""
    options: ChatOptions = field(default_factory=ChatOptions)
    head_id: str | None = None
    pinned: bool = False
    title_is_draft: bool = False
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)


@dataclass(frozen=True)
class Version:
    """Which of its siblings a message is ("2 / 3"), and the ids of the ones before and after it."""

    number: int
    count: int
    previous_id: str | None
    next_id: str | None


def title_of(text: str) -> str:
    """The first line of the first message, cut at a word; costs no model call."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if len(line) <= TITLE_LENGTH:
        return line
    cut = line[: TITLE_LENGTH - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut).rstrip() + "…"


def fork_title(title: str, taken: Collection[str] = ()) -> str:
    """The title of a copy: with the first number, from 2 on, that makes it none of those that are taken."""
    if not title:
        return title
    plain = re.sub(r" \(\d+\)$", "", title)
    for number in count(2):
        hint = f" ({number})"
        forked = plain[: TITLE_LENGTH - len(hint)].rstrip() + hint
        if forked not in taken and forked != title:
            return forked
    raise AssertionError
