"""OpenAI's requests in the engine's words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from localchat_ui.api.errors import ApiError, invalid
from localchat_ui.api.schemas import (
    LONGEST_REPLY,
    MAX_INPUTS,
    ChatCompletionRequest,
    ChatMessage,
    CompletionRequest,
    Generating,
    NamedTool,
    Reasoning,
    Tool,
)
from localchat_ui.conversation import FullSampling, RequestOptions, Role, SamplingOptions
from localchat_ui.engine.base import GenerationRequest, ToolCall, Turn

N_SEEDS = 2**32 - 1
NO_CHANGES: Mapping[str, Any] = MappingProxyType({})
# What requests of every protocol may say, beside what belongs to each.
SHARED = (*(RequestOptions.model_fields.keys() - {"top_logprobs"}), "model", "stream")
ONLY_TEXT = "Only parts of the type text can be read."
NO_IMAGES = "Models on this machine cannot see images. Name a model of a server elsewhere that can, or send text alone."
ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
}


def chat_requests(
    body: ChatCompletionRequest, configured: SamplingOptions, *, tells_calls: bool = False
) -> tuple[list[GenerationRequest], dict[str, dict[str, Any]]]:
    """One request for each choice, and the schemas of the functions that the reply may call. Raises ApiError.

    A server elsewhere `tells_calls` apart by itself: it gets `tool_choice` as it is, and images.
    """
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "top_logprobs needs logprobs to be true.", param="top_logprobs", code="invalid_value")
    tools = [] if body.tool_choice == "none" else body.tools
    arguments = dict(body.chat_template_kwargs)
    if tools:
        arguments["tools"] = [_tool(tool) for tool in tools]
    arguments = _thinking(body) | arguments
    changes: dict[str, Any] = {"top_logprobs": (body.top_logprobs or 0) if body.logprobs else None}
    if body.reasoning and body.thinking_budget is None:
        changes["thinking_budget"] = body.reasoning.max_tokens
    must_call = _must_call(body)
    if must_call and tells_calls:
        choice = body.tool_choice
        arguments["tool_choice"] = choice if isinstance(choice, str) else choice.model_dump()
    if not must_call and (schema := _schema(body)) is not None:
        changes["json_schema"] = schema
    limit = body.max_completion_tokens or body.max_tokens
    turns = turns_of(body.messages, sees=tells_calls)
    requests = [
        GenerationRequest(
            turns,
            sampling_of(body, configured, limit, number, changes),
            _stop(body.stop),
            template_arguments=arguments,
            may_drop=False,
            must_call=must_call,
            strict=frozenset(tool.function.name for tool in tools if tool.function.strict),
            may_call_several=body.parallel_tool_calls and not isinstance(body.tool_choice, NamedTool),
        )
        for number in range(body.n)
    ]
    return requests, {tool.function.name: tool.function.parameters or {} for tool in tools}


def as_chat(body: Generating, **more: Any) -> ChatCompletionRequest:
    """A request of another protocol in the words of /v1/chat/completions, with the options that all share.

    Raises ApiError.
    """
    shared = {name: getattr(body, name) for name in SHARED if name in body.model_fields_set}
    given = {name: value for name, value in more.items() if value is not None}
    try:
        return ChatCompletionRequest.model_validate({**shared, **given})
    except ValidationError as error:
        raise _invalid(error) from error


def completion_requests(body: CompletionRequest, configured: SamplingOptions) -> list[GenerationRequest]:
    """One request for each choice of each prompt, the choices of the first prompt first. Raises ApiError."""
    if body.best_of not in (None, body.n):
        raise ApiError(400, "best_of must be n.", param="best_of", code="unsupported_parameter")
    prompts = inputs_of(body.prompt, "prompt")
    if len(prompts) * body.n > MAX_INPUTS:
        message = f"prompt times n are {len(prompts) * body.n} replies; {MAX_INPUTS} are the most."
        raise ApiError(400, message, param="prompt", code="invalid_value")
    if body.echo and any(not isinstance(prompt, str) for prompt in prompts):
        raise ApiError(400, "echo needs a prompt of text.", param="echo", code="unsupported_parameter")
    if body.suffix is not None and any(not isinstance(prompt, str) for prompt in prompts):
        raise ApiError(400, "suffix needs a prompt of text.", param="suffix", code="unsupported_parameter")
    changes = {"top_logprobs": body.logprobs}
    return [
        GenerationRequest(
            [],
            sampling_of(body, configured, body.max_tokens, number, changes),
            _stop(body.stop),
            prompt=prompt,
            suffix=body.suffix,
            may_drop=False,
        )
        for prompt in prompts
        for number in range(body.n)
    ]


def inputs_of(given: str | Sequence[Any], param: str) -> list[str | list[int]]:
    """One text or its tokens, or several of either, as several. Raises ApiError for an empty one."""
    inputs = [given] if isinstance(given, str) or isinstance(given[0], int) else list(given)
    if any(not each for each in inputs):
        raise ApiError(400, f"{param} is empty.", param=param, code="invalid_value")
    return inputs  # type: ignore[return-value]


def turns_of(messages: Sequence[ChatMessage], *, sees: bool = False) -> list[Turn]:
    """The messages as the model sees them. Raises ApiError for content that is no text, or image if it `sees` any."""
    turns: list[Turn] = []
    for number, message in enumerate(messages):
        turns.append(
            Turn(
                ROLES[message.role],
                _text(message, number, sees=sees),
                message.reasoning_content or "",
                tuple(
                    ToolCall(call.function.name, arguments_of(call.function.arguments), call.id)
                    for call in message.tool_calls or ()
                ),
                message.tool_call_id or "",
                _parts(message),
            )
        )
    return turns


def _thinking(body: ChatCompletionRequest) -> dict[str, Any]:
    """What the request says of thinking, as arguments of the model's chat template."""
    said = body.reasoning or Reasoning()
    effort = said.effort if body.reasoning_effort is None else body.reasoning_effort
    switch = said.enabled if body.enable_thinking is None else body.enable_thinking
    given = {"reasoning_effort": effort, "enable_thinking": False if switch is None and effort == "none" else switch}
    return {name: value for name, value in given.items() if value is not None}


def _parts(message: ChatMessage) -> tuple[dict[str, Any], ...]:
    """What it consists of, if that is more than text."""
    parts = message.content if isinstance(message.content, list) else ()
    seen = any(part.type == "image_url" for part in parts)
    return tuple(part.model_dump(exclude_none=True) for part in parts) if seen else ()


def _text(message: ChatMessage, number: int, *, sees: bool) -> str:
    if not message.content and message.content != "" and ROLES[message.role] in (Role.USER, Role.SYSTEM):
        param = f"messages[{number}].content"
        raise ApiError(400, "This message has no content.", param=param, code="missing_required_parameter")
    if not isinstance(message.content, list):
        return message.content or ""
    for index, part in enumerate(message.content):
        is_image = part.type == "image_url" and message.role == "user"
        if is_image and sees and isinstance((part.image_url or {}).get("url"), str):
            continue
        if part.type != "text" or part.text is None:
            param = f"messages[{number}].content[{index}].type"
            raise ApiError(400, NO_IMAGES if is_image else ONLY_TEXT, param=param, code="unsupported_content")
    return "".join(part.text or "" for part in message.content)


def arguments_of(given: str | dict[str, Any]) -> object:
    """An object, whatever the client made of the arguments that it got: templates walk through them."""
    if isinstance(given, dict):
        return given
    try:
        value = json.loads(given) if given.strip() else {}
    except (ValueError, RecursionError):
        value = given
    return value if isinstance(value, dict) else {"input": value} if value is not None else {}


def _tool(tool: Tool) -> dict[str, Any]:
    """A tool with all that templates write of it."""
    function = tool.function
    return {
        "type": "function",
        "function": {
            "name": function.name,
            "description": function.description or "",
            "parameters": {"type": "object", "properties": {}, **(function.parameters or {})},
        },
    }


def sampling_of(
    body: FullSampling,
    configured: SamplingOptions,
    limit: int,
    number: int = 0,
    changes: Mapping[str, Any] = NO_CHANGES,
) -> RequestOptions:
    """What was asked for, else what was configured. Each further choice has a seed of its own. Raises ApiError."""
    given = {name: getattr(body, name) for name in RequestOptions.model_fields if name in body.model_fields_set}
    values = configured.model_dump(include=set(SamplingOptions.model_fields)) | given | dict(changes)
    values["max_tokens"] = min(limit, LONGEST_REPLY)
    if values["seed"] is not None:
        values["seed"] = (values["seed"] + number) % N_SEEDS
    try:
        return RequestOptions.model_validate(values)
    except ValidationError as error:
        raise _invalid(error) from error


def _invalid(error: ValidationError) -> ApiError:
    return invalid([{**each, "loc": ("body", *each["loc"])} for each in error.errors()])


def _stop(given: str | list[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _schema(body: ChatCompletionRequest) -> dict[str, Any] | None:
    """The JSON schema that the whole reply has to follow, if its format asks for one."""
    wanted = body.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return wanted.object_schema or {"type": "object"}
    if wanted.json_schema is None:
        raise ApiError(
            400, "json_schema is missing.", param="response_format.json_schema", code="missing_required_parameter"
        )
    return wanted.json_schema.json_schema


def _must_call(body: ChatCompletionRequest) -> tuple[str, ...]:
    """The tools of which one has to be called, if any. Raises ApiError."""
    if body.tool_choice in ("none", "auto"):
        return ()
    names = tuple(tool.function.name for tool in body.tools)
    if isinstance(body.tool_choice, NamedTool):
        names = (body.tool_choice.function.name,) if body.tool_choice.function.name in names else ()
    if not names:
        raise ApiError(400, "tool_choice names a tool that is not in tools.", param="tool_choice", code="invalid_value")
    return names
