"""Requests of /v1/responses in the words of /v1/chat/completions, which are the engine's as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localchat_ui.api.errors import ApiError
from localchat_ui.api.requests import as_chat
from localchat_ui.api.responses_schemas import InputItem, InputPart, ResponsesRequest, ResponsesTool, TextFormat
from localchat_ui.api.schemas import ChatCompletionRequest

LOGPROBS = "message.output_text.logprobs"
JsonObject = dict[str, Any]


def items_of(body: ResponsesRequest) -> list[InputItem]:
    """What a request adds to the conversation."""
    if isinstance(body.input, str):
        return [InputItem(role="user", content=body.input)]
    return body.input


def functions_of(body: ResponsesRequest) -> list[ResponsesTool]:
    """The tools that a model here can call."""
    functions = [tool for tool in body.tools if tool.type == "function"]
    choice = body.tool_choice
    if not isinstance(choice, str) and choice.type == "allowed_tools":
        allowed = {tool.name for tool in choice.tools}
        return [tool for tool in functions if tool.name in allowed]
    return functions


def chat_of(body: ResponsesRequest, items: Sequence[InputItem]) -> ChatCompletionRequest:
    """A conversation of these items as a request for a chat completion. Raises ApiError for what cannot be read."""
    for name in ("conversation", "prompt"):
        if getattr(body, name) is not None:
            raise ApiError(400, f"{name} is not supported.", param=name, code="unsupported_parameter")
    begun = [{"role": "system", "content": body.instructions}] if body.instructions else []
    wants_logprobs = LOGPROBS in body.include or body.top_logprobs is not None
    return as_chat(
        body,
        messages=begun + _messages(items),
        max_completion_tokens=body.max_output_tokens,
        tools=[_tool(tool) for tool in functions_of(body)],
        tool_choice=_choice(body),
        parallel_tool_calls=body.parallel_tool_calls,
        response_format=_format(body.text.format),
        reasoning_effort=body.reasoning.effort,
        chat_template_kwargs=body.chat_template_kwargs,
        logprobs=wants_logprobs,
        top_logprobs=body.top_logprobs,
    )


def _messages(items: Sequence[InputItem]) -> list[JsonObject]:
    """What the assistant thought, said and called in one turn is one message, and several items."""
    messages: list[JsonObject] = []

    def turn(*unless: str) -> JsonObject:
        """The assistant's last message if it goes on, which it does not behind any of these; else a new one."""
        last = messages[-1] if messages else {}
        if last.get("role") != "assistant" or any(last.get(name) for name in unless):
            messages.append({"role": "assistant", "content": ""})
        return messages[-1]

    for number, item in enumerate(items):
        place = f"input[{number}]"
        if item.type == "function_call":
            call = {"id": item.call_id or "", "function": {"name": item.name or "", "arguments": item.arguments}}
            turn().setdefault("tool_calls", []).append(call)
        elif item.type == "function_call_output":
            output = _text(item.output, f"{place}.output")
            messages.append({"role": "tool", "tool_call_id": item.call_id or "", "content": output})
        elif item.type == "reasoning":
            thought = _text(item.content or item.summary or "", f"{place}.content")
            turn("reasoning_content", "content", "tool_calls")["reasoning_content"] = thought
        elif item.type == "message" and item.role == "assistant":
            turn("content", "tool_calls")["content"] = _text(item.content, f"{place}.content")
        elif item.type == "message" and item.role is not None:
            messages.append({"role": item.role, "content": _content(item.content, f"{place}.content")})
        else:
            message = f"Items of the type {item.type} cannot be read." if item.type != "message" else "role is missing."
            raise ApiError(400, message, param=f"{place}.type", code="unsupported_content")
    return messages


def _content(content: str | Sequence[InputPart] | None, place: str) -> str | list[JsonObject]:
    """A text, or parts if there are images among them."""
    if content is None or isinstance(content, str) or not any(part.type == "input_image" for part in content):
        return _text(content, place)
    parts: list[JsonObject] = []
    for number, part in enumerate(content):
        if part.type == "input_image" and part.image_url:
            parts.append({"type": "image_url", "image_url": {"url": part.image_url}})
        else:
            parts.append({"type": "text", "text": _part(part, f"{place}[{number}]")})
    return parts


def _text(content: str | Sequence[InputPart] | None, place: str) -> str:
    if content is None:
        raise ApiError(400, "This item has no content.", param=place, code="missing_required_parameter")
    if isinstance(content, str):
        return content
    return "".join(_part(part, f"{place}[{number}]") for number, part in enumerate(content))


def _part(part: InputPart, place: str) -> str:
    text = part.refusal if part.type == "refusal" else part.text
    if text is None:
        message = f"Parts of the type {part.type} cannot be read."
        raise ApiError(400, message, param=f"{place}.type", code="unsupported_content")
    return text


def _tool(tool: ResponsesTool) -> JsonObject:
    function: JsonObject = {"name": tool.name or "", "description": tool.description, "parameters": tool.parameters}
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _choice(body: ResponsesRequest) -> object:
    choice = body.tool_choice
    if isinstance(choice, str):
        return choice
    if choice.type == "allowed_tools":
        return choice.mode
    if choice.type != "function":
        raise ApiError(400, "Only functions can be called.", param="tool_choice", code="unsupported_parameter")
    return {"type": "function", "function": {"name": choice.name or ""}}


def _format(wanted: TextFormat) -> JsonObject | None:
    if wanted.type != "json_schema":
        return {"type": wanted.type}
    if wanted.json_schema is None:
        raise ApiError(400, "schema is missing.", param="text.format.schema", code="missing_required_parameter")
    return {"type": "json_schema", "json_schema": {"schema": wanted.json_schema}}
