"""The shapes of OpenAI's /v1/responses, as far as this program speaks it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from localchat_ui.api.schemas import IGNORED, Count, Generating, JsonObject, Part, none


class InputPart(Part):
    """Part of a message or of what a tool answered: text, or an `input_image` for a model that sees."""

    type: str = Field(examples=["input_text"])
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None


class InputItem(Part):
    """A message, a `function_call`, a `function_call_output`, or what was thought (`reasoning`)."""

    type: str = "message"
    id: str | None = None
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | list[InputPart] | None = None
    summary: list[InputPart] | None = Field(None, description="of a reasoning without content")
    call_id: str | None = None
    name: str | None = None
    arguments: str = "{}"
    output: str | list[InputPart] | None = None


class ResponsesTool(Part):
    """A function of the client. Tools of other types run at OpenAI; the model is not told of them."""

    type: str = Field(examples=["function"])
    name: str | None = None
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class AllowedTool(Part):
    type: str
    name: str | None = None


class ResponsesToolChoice(Part):
    """One function, or with the type `allowed_tools` those that may be called."""

    type: str
    name: str | None = None
    mode: Literal["auto", "required"] = "auto"
    tools: list[AllowedTool] = Field(default_factory=list)


class TextFormat(Part):
    model_config = ConfigDict(serialize_by_alias=True)

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = Field(None, exclude_if=none)
    json_schema: JsonObject | None = Field(None, alias="schema", exclude_if=none)


class TextOptions(Part):
    format: TextFormat = Field(default_factory=TextFormat)


class ReasoningOptions(Part):
    effort: str | None = Field(None, description="reaches the model's chat template as reasoning_effort")
    summary: str | None = Field(None, description=IGNORED)


class ResponsesRequest(Generating):
    """What is to be answered, and perhaps what it goes on from. Fields that nobody knows are ignored."""

    model_config = ConfigDict(
        extra="ignore", json_schema_extra={"examples": [{"input": "What is the capital of France?"}]}
    )

    input: str | list[InputItem]
    instructions: str | None = Field(None, description="a system message for this reply alone")
    previous_response_id: str | None = Field(None, description="go on from this one", examples=[None])
    max_output_tokens: Count | None = Field(None, description="longest reply, in tokens")
    tools: list[ResponsesTool] = Field(default_factory=list, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | ResponsesToolChoice = "auto"
    parallel_tool_calls: bool = Field(True, description="whether `tool_choice` `required` may be several calls")
    text: TextOptions = Field(default_factory=TextOptions)
    reasoning: ReasoningOptions = Field(default_factory=ReasoningOptions)
    store: bool = Field(True, description="keep it, to be read again and to go on from")
    truncation: Literal["auto", "disabled"] = Field(
        "disabled", description="auto leaves out the oldest that do not fit"
    )
    include: list[str] = Field(default_factory=list, description="`message.output_text.logprobs` is known")
    metadata: dict[str, str] = Field(default_factory=dict, description="comes back with the response")
    chat_template_kwargs: JsonObject = Field(default_factory=dict, description="values for the model's chat template")
    conversation: Any = Field(None, description="not supported")
    prompt: Any = Field(None, description="not supported")


class InputTokensDetails(BaseModel):
    cached_tokens: int


class OutputTokensDetails(BaseModel):
    reasoning_tokens: int


class ResponsesUsage(BaseModel):
    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class IncompleteDetails(BaseModel):
    reason: str = Field(examples=["max_output_tokens"])


class ResponsesError(BaseModel):
    code: str
    message: str


class ResponseObject(BaseModel):
    """`output` has items of the types `reasoning`, `message` and `function_call`."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    background: Literal[False] = False
    error: ResponsesError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str]
    model: str
    output: list[dict[str, Any]] = Field(default_factory=list)
    parallel_tool_calls: bool
    previous_response_id: str | None = None
    reasoning: ReasoningOptions
    store: bool
    temperature: float
    text: TextOptions
    tool_choice: str | JsonObject
    tools: list[JsonObject]
    top_p: float
    truncation: str
    usage: ResponsesUsage | None = None


class ResponseDeleted(BaseModel):
    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True
