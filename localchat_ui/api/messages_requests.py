"""Anthropic's requests in the words of OpenAI's, which are the engine's as well."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from localchat_ui.api.errors import ApiError
from localchat_ui.api.messages_schemas import (
    ContentBlock,
    CountTokensRequest,
    GivenMessage,
    MessagesTool,
    MessagesToolChoice,
)
from localchat_ui.api.requests import as_chat
from localchat_ui.api.schemas import ChatCompletionRequest

# Claude Code begins its system prompt with a line that is another one each time; nothing could be reused behind it.
BILLING = "x-anthropic-billing-header:"
# Conversations held by the server: a client that is refused so goes on by sending them whole.
NO_THREADS = "thread_unsupported_request"
UNSUPPORTED = {"thread": NO_THREADS, "compaction": "unsupported_parameter", "mcp_servers": "unsupported_parameter"}
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
JsonObject = dict[str, Any]


def chat_of(body: CountTokensRequest, stop: Sequence[str] = ()) -> ChatCompletionRequest:
    """The same conversation as a request for a chat completion. Raises ApiError for what cannot be read."""
    for name, code in UNSUPPORTED.items():
        if getattr(body, name):
            raise _unreadable(f"{name} is not supported.", name, code)
    output = body.output_config
    wanted = body.output_format or (output.format if output else None)
    arguments = dict(body.chat_template_kwargs)
    if body.thinking is not None and body.thinking.type != "adaptive":
        arguments.setdefault("enable_thinking", body.thinking.type == "enabled")
    messages = _system(body) + [
        part for number, message in enumerate(body.messages) for part in _parts(message, f"messages[{number}]")
    ]
    return as_chat(
        body,
        messages=messages,
        stop=list(stop),
        tools=[_tool(tool, number) for number, tool in enumerate(body.tools)],
        tool_choice=_choice(body.tool_choice),
        parallel_tool_calls=not (body.tool_choice and body.tool_choice.disable_parallel_tool_use),
        response_format={"type": "json_schema", "json_schema": {"schema": wanted.json_schema}} if wanted else None,
        reasoning_effort=output.effort if output else None,
        chat_template_kwargs=arguments,
        thinking_budget=body.thinking.budget_tokens if body.thinking else None,
    )


def _system(body: CountTokensRequest) -> list[JsonObject]:
    if isinstance(body.system, str):
        texts = [body.system]
    else:
        texts = [_text(block, f"system[{number}]") for number, block in enumerate(body.system or ())]
    text = "\n\n".join(text for text in texts if text and not text.startswith(BILLING))
    return [{"role": "system", "content": text}] if text else []


def _parts(message: GivenMessage, place: str) -> list[JsonObject]:
    """The messages that one of Anthropic's is: there the results of tools are part of what the user says."""
    if isinstance(message.content, str):
        return [{"role": message.role, "content": message.content}]
    if not message.content and message.role == "user":
        raise _unreadable("This message has no content.", f"{place}.content", "missing_required_parameter")
    if message.role == "assistant":
        return [_of_assistant(message.content, place)]
    parts: list[JsonObject] = []
    for number, block in enumerate(message.content):
        where = f"{place}.content[{number}]"
        if block.type == "tool_result" and message.role == "user":
            parts.append({"role": "tool", "tool_call_id": block.tool_use_id or "", "content": _result(block, where)})
        elif block.type == "image" and message.role == "user":
            parts.append({"role": "user", "content": [_image(block, where)]})
        elif parts and parts[-1]["role"] == message.role and isinstance(parts[-1]["content"], str):
            parts[-1]["content"] += "\n\n" + _text(block, where)
        else:
            parts.append({"role": message.role, "content": _text(block, where)})
    return parts


def _image(block: ContentBlock, place: str) -> JsonObject:
    source = block.source or {}
    url = source.get("url")
    if source.get("type") == "base64":
        url = f"data:{source.get('media_type')};base64,{source.get('data')}"
    if not isinstance(url, str):
        raise _unreadable("This image has no data and no url.", f"{place}.source", "unsupported_content")
    return {"type": "image_url", "image_url": {"url": url}}


def _of_assistant(blocks: Sequence[ContentBlock], place: str) -> JsonObject:
    texts, thinking, calls = [], [], []
    for number, block in enumerate(blocks):
        if block.type == "tool_use":
            function = {"name": block.name or "", "arguments": json.dumps(block.input or {}, ensure_ascii=False)}
            calls.append({"id": block.id or "", "function": function})
        elif block.type == "thinking":
            thinking.append(block.thinking or "")
        elif block.type != "redacted_thinking":
            texts.append(_text(block, f"{place}.content[{number}]"))
    message: JsonObject = {"role": "assistant", "content": "".join(texts)}
    if thinking:
        message["reasoning_content"] = "\n\n".join(thinking)
    if calls:
        message["tool_calls"] = calls
    return message


def _result(block: ContentBlock, place: str) -> str:
    """What a tool answered; templates have no other words for an error."""
    if isinstance(block.content, str):
        text = block.content
    else:
        texts = [_text(part, f"{place}.content[{number}]") for number, part in enumerate(block.content or ())]
        text = "\n\n".join(texts)
    return f"Error: {text}" if block.is_error else text


def _text(block: ContentBlock, place: str) -> str:
    if block.type != "text" or block.text is None:
        raise _unreadable(f"Blocks of the type {block.type} cannot be read.", f"{place}.type", "unsupported_content")
    return block.text


def _tool(tool: MessagesTool, number: int) -> JsonObject:
    if tool.type not in (None, "custom"):
        message = f"{tool.name} is a tool that Anthropic runs. Only tools with an input_schema can be called here."
        raise _unreadable(message, f"tools[{number}].type", "unsupported_parameter")
    function: JsonObject = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _choice(choice: MessagesToolChoice | None) -> object:
    if choice is None or choice.type != "tool":
        return CHOICES[choice.type] if choice else None
    return {"type": "function", "function": {"name": choice.name or ""}}


def _unreadable(message: str, param: str, code: str) -> ApiError:
    return ApiError(400, message, param=param, code=code)
