"""The shapes of Anthropic's protocol, as far as this program speaks it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from localchat_ui.api.schemas import LONGEST_REPLY, Count, Generating, JsonObject, Part, none


class ContentBlock(Part):
    """Part of a message: `text`, `image`, `thinking`, a `tool_use` or a `tool_result`. Nothing else can be read."""

    type: str = Field(examples=["text"])
    text: str | None = None
    thinking: str | None = None
    id: str | None = Field(None, description="of a tool_use")
    name: str | None = Field(None, description="of a tool_use")
    input: JsonObject | None = Field(None, description="of a tool_use")
    tool_use_id: str | None = Field(None, description="of a tool_result")
    content: str | list[ContentBlock] | None = Field(None, description="of a tool_result")
    is_error: bool = Field(False, description="of a tool_result")
    source: JsonObject | None = Field(None, description="of an image, which only models of servers elsewhere can see")


class GivenMessage(Part):
    role: Literal["user", "assistant", "system"]
    content: str | list[ContentBlock]


class MessagesTool(Part):
    """A function of the client. Those that run at Anthropic have another `type`, and cannot be called here."""

    type: str | None = Field(None, examples=["custom"])
    name: Annotated[str, Field(min_length=1, max_length=200)]
    description: str | None = None
    input_schema: JsonObject | None = None
    strict: bool | None = Field(None, description="the input obeys the schema whenever this is called")


class MessagesToolChoice(Part):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = Field(None, description="of a tool")
    disable_parallel_tool_use: bool = Field(False, description="one call at most in a reply")


class Thinking(Part):
    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = Field(None, ge=0, description="most tokens to think")


class OutputFormat(Part):
    model_config = ConfigDict(serialize_by_alias=True)

    type: Literal["json_schema"]
    json_schema: JsonObject = Field(alias="schema")


class OutputConfig(Part):
    effort: str | None = None
    format: OutputFormat | None = None


class CountTokensRequest(Generating):
    """A conversation, and what else is read before the reply to it. Fields that nobody knows are ignored."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {"max_tokens": 100, "messages": [{"role": "user", "content": "What is the capital of France?"}]}
            ],
        },
    )

    messages: list[GivenMessage] = Field(min_length=1)
    system: str | list[ContentBlock] | None = None
    tools: list[MessagesTool] = Field(default_factory=list, max_length=128)
    tool_choice: MessagesToolChoice | None = None
    thinking: Thinking | None = Field(None, description="left out, the model's template decides")
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = Field(None, description="an older place of output_config.format")
    thread: Any = Field(None, description="not supported: send the whole conversation")
    compaction: Any = Field(None, description="not supported")
    mcp_servers: Any = Field(None, description="not supported")
    chat_template_kwargs: JsonObject = Field(default_factory=dict, description="values for the model's chat template")


class MessagesRequest(CountTokensRequest):
    """A conversation to be answered. If its last message is the assistant's, that one goes on."""

    max_tokens: Count = Field(LONGEST_REPLY, description="longest reply, in tokens")
    stop_sequences: list[str] = Field(default_factory=list, max_length=16)


class MessagesUsage(BaseModel):
    """`input_tokens` are those that had to be read; the others were read for an earlier request."""

    input_tokens: int
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int


class MessagesReply(BaseModel):
    """`content` has blocks of the types `thinking`, `text` and `tool_use`."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[dict[str, Any]]
    stop_reason: str | None = Field(examples=["end_turn", "max_tokens", "stop_sequence", "tool_use"])
    stop_sequence: str | None
    usage: MessagesUsage


class TokenCount(BaseModel):
    input_tokens: int


class MessagesErrorDetail(BaseModel):
    type: str = Field(examples=["invalid_request_error"])
    message: str
    param: str | None
    code: str | None
    details: JsonObject | None = Field(None, exclude_if=none)


class MessagesError(BaseModel):
    """As everywhere, with a `type` beside it."""

    type: Literal["error"] = "error"
    error: MessagesErrorDetail
