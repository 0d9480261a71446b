"""The shapes of OpenAI's protocol, as far as this program speaks it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from localchat_ui.conversation import RequestOptions

LONGEST_REPLY = 32768
MAX_CHOICES = 16
MAX_INPUTS = 256
MAX_DEPTH = 64
IGNORED = "accepted and ignored"
NOTES = "what was done to the roles of the conversation, and which messages the model's template leaves out"
OTHER_NAMES = {
    "repetition_penalty": "repeat_penalty",
    "n_predict": "max_tokens",
    "typ_p": "typical_p",
    "thinking_token_budget": "thinking_budget",
    "thinking_budget_tokens": "thinking_budget",
    "reasoning_budget": "thinking_budget",
    "reasoning_budget_tokens": "thinking_budget",
}


def without_nulls(data: Any) -> Any:
    """A body without its nulls, which mean the same as leaving a field out.

    Refuses what whoever walks through it would not come back from, or could not write down again: values nested too
    deeply, and text with halves of characters in it (JSON can spell them, UTF-8 cannot).
    """
    level = [data]
    for _ in range(MAX_DEPTH):
        if not level:
            break
        level = [item for part in level for item in _parts(part)]
    else:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("text that is not valid Unicode") from None
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else ()


def as_meant(data: dict[str, Any]) -> dict[str, Any]:
    """A body in our words: other servers say -1 for "no limit", "all" and "random", and have names of their own."""
    renamed = {OTHER_NAMES.get(name, name): value for name, value in data.items()}
    no_limit = {name for name in ("max_tokens", "max_completion_tokens") if renamed.get(name) in (-1, 0)}
    unset = no_limit | {name for name in ("seed", "thinking_budget") if renamed.get(name) == -1}
    values: dict[str, Any] = {name: value for name, value in renamed.items() if name not in unset}
    if "max_tokens" in no_limit:
        values["max_tokens"] = LONGEST_REPLY
    if values.get("top_k") == -1:
        values["top_k"] = 0
    return values


JsonObject = dict[str, Any]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
Tokens = Annotated[list[TokenId], Field(min_length=1)]
TokenLists = Annotated[list[Tokens], Field(min_length=1, max_length=MAX_INPUTS)]
Stop = str | Annotated[list[str], Field(max_length=16)]


def none(value: object) -> bool:
    return value is None


class ContentPart(BaseModel):
    """Part of a message: `text`, or an `image_url`, which only models of servers elsewhere can see."""

    model_config = ConfigDict(extra="ignore")

    type: str = Field(examples=["text"])
    text: str | None = None
    image_url: JsonObject | None = Field(None, examples=[None], exclude_if=none)


class FunctionCall(BaseModel):
    """`arguments` is JSON, written by the model."""

    name: str
    arguments: str = "{}"


class GivenFunctionCall(BaseModel):
    """A call of the history. `arguments` is JSON; an object is taken, too."""

    name: str
    arguments: str | JsonObject = "{}"

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: Any) -> Any:
        return without_nulls(data)


class GivenToolCall(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str = ""
    type: Literal["function"] = "function"
    function: GivenFunctionCall


class MessageToolCall(BaseModel):
    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(BaseModel):
    """One message of the history. What clients add to it beyond these fields is ignored."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    reasoning_content: str | None = Field(
        None,
        validation_alias=AliasChoices("reasoning_content", "reasoning"),
        description="what the assistant thought before it answered so",
    )
    tool_calls: list[GivenToolCall] | None = None
    tool_call_id: str | None = None


class Function(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1, max_length=200)
    description: str | None = None
    parameters: JsonObject | None = Field(None, description="JSON schema of the arguments")
    strict: bool | None = Field(None, description="the arguments obey the schema whenever this is called")


class Tool(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: Literal["function"]
    function: Function


class NamedFunction(BaseModel):
    name: str


class NamedTool(BaseModel):
    type: Literal["function"]
    function: NamedFunction


class JsonSchema(BaseModel):
    model_config = ConfigDict(extra="ignore", serialize_by_alias=True)

    name: str = "answer"
    json_schema: JsonObject = Field(alias="schema")


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="ignore", serialize_by_alias=True)

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None
    object_schema: JsonObject | None = Field(None, alias="schema", description="of a json_object")


class Reasoning(BaseModel):
    """How much is thought before the answer: `enabled` or an `effort`, and at most `max_tokens`."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool | None = None
    effort: str | None = None
    max_tokens: int | None = Field(None, ge=0)
    summary: Any = Field(None, description=IGNORED)


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")

    include_usage: bool = False


class Body(BaseModel):
    """Every request's body is checked so."""

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: Any) -> Any:
        return without_nulls(data)


class Part(BaseModel):
    """Part of a body. A null means the same as leaving a field out, and what clients add is ignored."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data


class Biased(BaseModel):
    """The bounds that OpenAI's protocol has; the engine takes whatever is a number."""

    logit_bias: dict[int, Annotated[float, Field(ge=-100, le=100)]] = Field(
        default_factory=dict, description="added to the score of a token, by its id"
    )


class Generating(Body, Biased, RequestOptions):
    """What requests of all protocols share. Sampling values left out are the ones the program was started with."""

    model: str | None = Field(None, description="an installed model; left out, the model in use", examples=[None])
    max_tokens: int = Field(LONGEST_REPLY, ge=1, le=2**31 - 1, description="longest reply, in tokens")
    seed: int | None = Field(
        None, ge=-(2**63), le=2**63 - 1, description="same seed, same reply; empty or -1 is random"
    )
    stream: bool = False

    @model_validator(mode="before")
    @classmethod
    def _mean(cls, data: Any) -> Any:
        return as_meant(data) if isinstance(data, dict) else data


class _Request(Generating):
    n: int = Field(1, ge=1, le=MAX_CHOICES, description="replies to one prompt; the seed of each is one more")
    stop: Stop = Field(default_factory=list, description="the reply ends before any of these")
    stream_options: StreamOptions = Field(default_factory=StreamOptions)
    user: str | None = Field(None, description=IGNORED)
    cache_prompt: Any = Field(None, description=IGNORED)


class ChatCompletionRequest(_Request):
    """A conversation to be answered. If its last message is the assistant's, that one goes on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"messages": [{"role": "user", "content": "What is the capital of France?"}]}],
        }
    )

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: Count | None = Field(None, description="the same as max_tokens, and stronger")
    logprobs: bool = Field(False, description="report the log-probability of each token")
    response_format: ResponseFormat | None = None
    tools: list[Tool] = Field(default_factory=list, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedTool = "auto"
    parallel_tool_calls: bool = Field(True, description="whether there may be several calls in one reply")
    chat_template_kwargs: JsonObject = Field(
        default_factory=dict, description="values for the model's chat template", examples=[{"enable_thinking": False}]
    )
    reasoning_effort: str | None = Field(
        None, description="how much a model that knows degrees thinks; `none` switches thinking off where that can be"
    )
    enable_thinking: bool | None = Field(None, description="switches thinking on or off where the model has a switch")
    reasoning: Reasoning | None = Field(None, description="the same in other words")
    metadata: Any = Field(None, description=IGNORED)
    store: Any = Field(None, description=IGNORED)
    service_tier: Any = Field(None, description=IGNORED)
    safety_identifier: Any = Field(None, description=IGNORED)
    prompt_cache_key: Any = Field(None, description=IGNORED)
    verbosity: Any = Field(None, description=IGNORED)
    modalities: list[Literal["text"]] = Field(default_factory=list, description="only text")


class CompletionRequest(_Request):
    """A text to be continued as it is, without a chat template."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "The capital of France is"}]})

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=MAX_INPUTS)] | Tokens | TokenLists
    max_tokens: int = Field(16, ge=1, le=2**31 - 1, description="longest reply, in tokens")
    echo: bool = Field(False, description="begin the answer with the prompt")
    logprobs: int | None = Field(None, ge=0, le=20, description="report so many likely tokens beside each")
    best_of: int | None = Field(None, ge=1, description="must be n")
    suffix: str | None = Field(None, description="what follows; for models that can fill in the middle")


class EmbeddingRequest(Body):
    """Texts, or their tokens, to be turned into vectors."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"input": ["a cat", "a kitten"]}]})

    input: str | Annotated[list[str], Field(min_length=1, max_length=MAX_INPUTS)] | Tokens | TokenLists
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Count | None = Field(None, description="must be what the model has")
    user: str | None = Field(None, description=IGNORED)


class PromptTokensDetails(BaseModel):
    cached_tokens: int = Field(0, description="read for an earlier request, and not again")


class CompletionTokensDetails(BaseModel):
    reasoning_tokens: int = Field(0, description="thought before the answer")


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails = Field(default_factory=PromptTokensDetails)
    completion_tokens_details: CompletionTokensDetails = Field(default_factory=CompletionTokensDetails)


class TopLogprob(BaseModel):
    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprobs(TopLogprob):
    top_logprobs: list[TopLogprob]


class Logprobs(BaseModel):
    content: list[TokenLogprobs]


class ReplyMessage(BaseModel):
    """`content` is null when there are only tool calls."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    reasoning_content: str | None = Field(None, exclude_if=none)
    tool_calls: list[MessageToolCall] | None = Field(None, exclude_if=none)


class Choice(BaseModel):
    index: int
    message: ReplyMessage
    logprobs: Logprobs | None = None
    finish_reason: str = Field(examples=["stop", "length", "tool_calls"])


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    notes: list[str] | None = Field(None, exclude_if=none, description=NOTES)


class DeltaFunction(BaseModel):
    """The name comes first, then pieces of the arguments."""

    name: str | None = Field(None, exclude_if=none)
    arguments: str = ""


class DeltaToolCall(BaseModel):
    """`id` and `type` stand in the first piece of a call."""

    index: int
    id: str | None = Field(None, exclude_if=none)
    type: Literal["function"] | None = Field(None, exclude_if=none)
    function: DeltaFunction


class Delta(BaseModel):
    role: Literal["assistant"] | None = Field(None, exclude_if=none)
    content: str | None = Field(None, exclude_if=none)
    reasoning_content: str | None = Field(None, exclude_if=none)
    tool_calls: list[DeltaToolCall] | None = Field(None, exclude_if=none)


class ChunkChoice(BaseModel):
    index: int
    delta: Delta
    logprobs: Logprobs | None = None
    finish_reason: str | None = None


class ChatCompletionChunk(BaseModel):
    """One event of a streamed reply."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = Field(None, exclude_if=none)
    notes: list[str] | None = Field(None, exclude_if=none, description=NOTES)


class TextLogprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class TextChoice(BaseModel):
    index: int
    text: str
    logprobs: TextLogprobs | None = None
    finish_reason: str | None


class Completion(BaseModel):
    """The whole answer, or one event of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage | None = Field(None, exclude_if=none)


class EmbeddingUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class Embedding(BaseModel):
    """`embedding` is a list of numbers, or little-endian 32-bit floats in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class ThinkingChoices(BaseModel):
    """Whether `enable_thinking` switches it, and the values of `reasoning_effort` that make a difference."""

    switch: bool
    efforts: list[str]


class ModelCard(BaseModel):
    """A model that requests may name. `created` is when its file was written, `owned_by` where it runs.

    `context_length` is in tokens, if it is known, and `thinking` what can be chosen of it.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    context_length: int | None = None
    thinking: ThinkingChoices | None = Field(None, exclude_if=none)


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelCard]
