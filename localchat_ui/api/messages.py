"""Anthropic's protocol: POST /v1/messages, so that its clients and coding agents can talk to local models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from localchat_ui.api.answers import answer_of
from localchat_ui.api.backend import Backend
from localchat_ui.api.blocks import Block, BlockKind, BlockStream, Closed, Grown, Opened, Step, blocks_of
from localchat_ui.api.errors import ApiError
from localchat_ui.api.messages_requests import NO_THREADS, chat_of
from localchat_ui.api.messages_schemas import (
    CountTokensRequest,
    MessagesError,
    MessagesErrorDetail,
    MessagesReply,
    MessagesRequest,
    MessagesUsage,
    TokenCount,
)
from localchat_ui.api.replies import ChoiceReader
from localchat_ui.api.requests import arguments_of, chat_requests
from localchat_ui.api.routes import router, while_connected
from localchat_ui.api.schemas import Delta, TokenLogprobs
from localchat_ui.api.sse import event
from localchat_ui.conversation import GenerationStats, new_id
from localchat_ui.engine.base import PromptTooLongError
from localchat_ui.inference import Metrics, ModelRef

STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "stop": "end_turn"}
ERROR_TYPES = {404: "not_found_error", 413: "request_too_large", 500: "api_error", 503: "overloaded_error"}
# Clients only keep thinking that is signed, and nobody checks it here.
SIGNATURE = "unsigned"
EXAMPLE = (
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"Paris."}}\n\n'
)
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": MessagesError, "description": "Something in the request is wrong"},
    404: {"model": MessagesError, "description": "No installed model is called so"},
    429: {"model": MessagesError, "description": "The queue is full; `Retry-After` says when to try again"},
    500: {"model": MessagesError, "description": "The engine failed while it wrote"},
    503: {"model": MessagesError, "description": "No model is loaded (yet), or the program is shutting down"},
}
STREAM: dict[int | str, dict[str, Any]] = {
    **ERRORS,
    200: {
        "description": "The whole answer; with `stream` events, from `message_start` to `message_stop`",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EXAMPLE}},
    },
}


def register(app: FastAPI, backend: Backend, metrics: Metrics) -> None:
    """POST /v1/messages and /v1/messages/count_tokens"""
    routes = router(metrics, "Anthropic's protocol", error_response=error_response)

    @routes.post("/v1/messages", response_model=MessagesReply, responses=STREAM)
    async def messages(body: MessagesRequest, request: Request) -> Response:
        """Answer a conversation, as a whole or as the events of Anthropic's protocol.

        A prompt that does not fit into the context is an error; nothing of it is left out. A client that leaves ends
        its generation.
        """
        backend.inference.admit()
        model = await while_connected(request, backend.closing, backend.writer_of(body.model))
        chat = chat_of(body, stop=body.stop_sequences)
        requests, tools = chat_requests(chat, backend.chat.defaults.of_programs(model), tells_calls=not model.is_local)
        answer = _MessageAnswer(model, ChoiceReader(tools if model.is_local else None))
        return await answer_of(backend, request, model, requests, answer, stream=body.stream)

    @routes.post("/v1/messages/count_tokens", responses=ERRORS)
    async def count_tokens(body: CountTokensRequest, request: Request) -> TokenCount:
        """How many tokens the model would read for this conversation, template and tools included."""
        model = await while_connected(request, backend.closing, backend.writer_of(body.model))
        [asked], _ = chat_requests(chat_of(body), backend.chat.defaults.of_programs(model))
        try:
            built = await while_connected(request, backend.closing, backend.inference.preview(model, asked))
        except PromptTooLongError as error:
            return TokenCount(input_tokens=error.n_tokens)
        return TokenCount(input_tokens=built.n_tokens)

    app.include_router(routes)


class _MessageAnswer:
    """Puts together what /v1/messages answers."""

    def __init__(self, model: ModelRef, reader: ChoiceReader) -> None:
        self.readers: Sequence[ChoiceReader] = [reader]
        self._reader = reader
        self._blocks = BlockStream()
        self._model = model.id
        self._id = f"msg_{new_id()}"
        self._begun = False

    def whole(self) -> MessagesReply:
        return self._message([_content(block) for block in blocks_of(self._reader)])

    def beginning(self) -> Iterator[bytes]:
        """Nothing: the first event tells how long the prompt is, which nobody knows yet."""
        yield from ()

    def step(self, index: int, delta: Delta, logprobs: list[TokenLogprobs]) -> Iterator[bytes]:
        if not self._begun:
            self._begun = True
            start = self._message([]).model_dump()
            yield _event("message_start", message={**start, "stop_reason": None})
        for step in self._blocks.read(delta):
            yield from _events(step)

    def ending(self) -> Iterator[bytes]:
        for step in self._blocks.finish():
            yield from _events(step)
        ended = self._message([])
        stop = {"stop_reason": ended.stop_reason, "stop_sequence": ended.stop_sequence}
        yield _event("message_delta", delta=stop, usage=ended.usage.model_dump())
        yield _event("message_stop")

    def farewell(self, error: ApiError) -> bytes:
        return event(_error(error).model_dump(), "error")

    def _message(self, content: list[dict[str, Any]]) -> MessagesReply:
        stop = self._reader.stop_string or None
        return MessagesReply(
            id=self._id,
            model=self._model,
            content=content,
            stop_reason="stop_sequence" if stop else STOP_REASONS[self._reader.finish_reason],
            stop_sequence=stop,
            usage=self._usage(),
        )

    def _usage(self) -> MessagesUsage:
        stats = self._reader.stats or GenerationStats(prompt_tokens=self._reader.n_prompt)
        return MessagesUsage(
            input_tokens=stats.prompt_tokens - stats.reused_tokens,
            cache_read_input_tokens=stats.reused_tokens,
            output_tokens=stats.reply_tokens,
        )


def _content(block: Block) -> dict[str, Any]:
    """A block that is complete."""
    if block.kind is BlockKind.THINKING:
        return {"type": "thinking", "thinking": block.text, "signature": SIGNATURE}
    if block.kind is BlockKind.TEXT:
        return {"type": "text", "text": block.text}
    return {"type": "tool_use", "id": block.call_id, "name": block.name, "input": arguments_of(block.text)}


def _events(step: Step) -> Iterator[bytes]:
    block = step.block
    if isinstance(step, Opened):
        empty = {
            BlockKind.THINKING: {"type": "thinking", "thinking": "", "signature": ""},
            BlockKind.TEXT: {"type": "text", "text": ""},
            BlockKind.CALL: {"type": "tool_use", "id": block.call_id, "name": block.name, "input": {}},
        }
        yield _event("content_block_start", index=block.index, content_block=empty[block.kind])
    elif isinstance(step, Grown):
        delta = {
            BlockKind.THINKING: {"type": "thinking_delta", "thinking": step.text},
            BlockKind.TEXT: {"type": "text_delta", "text": step.text},
            BlockKind.CALL: {"type": "input_json_delta", "partial_json": step.text},
        }
        yield _event("content_block_delta", index=block.index, delta=delta[block.kind])
    elif isinstance(step, Closed):
        if block.kind is BlockKind.THINKING:
            signed = {"type": "signature_delta", "signature": SIGNATURE}
            yield _event("content_block_delta", index=block.index, delta=signed)
        yield _event("content_block_stop", index=block.index)


def _event(kind: str, **more: Any) -> bytes:
    return event({"type": kind, **more}, kind)


def error_response(error: ApiError) -> JSONResponse:
    """An error in the shape that Anthropic's clients read."""
    return JSONResponse(_error(error).model_dump(), error.status, error.headers)


def _error(error: ApiError) -> MessagesError:
    said = error.body.error
    kind = ERROR_TYPES.get(error.status, said.type)
    details = {"error_code": said.code, "unsupported": [said.param]} if said.code == NO_THREADS else None
    detail = MessagesErrorDetail(type=kind, message=said.message, param=said.param, code=said.code, details=details)
    return MessagesError(error=detail)
