"""OpenAI's protocol under /v1, so that its clients can talk to local models."""

from __future__ import annotations

import asyncio
import base64
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from localchat_ui.api.answers import answer_of, json_of
from localchat_ui.api.backend import Backend
from localchat_ui.api.errors import ApiError, ErrorBody
from localchat_ui.api.replies import ChoiceReader, text_logprobs, usage_of
from localchat_ui.api.requests import chat_requests, completion_requests, inputs_of
from localchat_ui.api.routes import ERRORS, router, while_connected
from localchat_ui.api.schemas import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    Choice,
    ChunkChoice,
    Completion,
    CompletionRequest,
    Delta,
    Embedding,
    EmbeddingList,
    EmbeddingRequest,
    EmbeddingUsage,
    Logprobs,
    ModelCard,
    ModelList,
    TextChoice,
    ThinkingChoices,
    TokenLogprobs,
    Usage,
)
from localchat_ui.api.sse import event
from localchat_ui.conversation import new_id
from localchat_ui.engine.base import Embeddings, GenerationRequest
from localchat_ui.engine.thinking_support import ThinkingSupport
from localchat_ui.inference import Metrics, ModelRef

DONE = event("[DONE]")


def register(app: FastAPI, backend: Backend, metrics: Metrics) -> None:
    """GET /v1/models, POST /v1/chat/completions, /v1/completions and /v1/embeddings"""
    routes = router(metrics, "OpenAI's protocol")

    @routes.get("/v1/models")
    async def list_models() -> ModelList:
        """The installed models. Each can be named in a request, and is loaded beside the model in use then."""
        return ModelList(data=await _cards(backend))

    @routes.get("/v1/models/{model_id:path}", responses={404: ERRORS[404]})
    async def get_model(model_id: str) -> ModelCard:
        """One installed model."""
        card = next((card for card in await _cards(backend) if card.id == model_id), None)
        if card is None:
            raise ApiError(404, "No installed model is called so.", param="model", code="model_not_found")
        return card

    @routes.post("/v1/chat/completions", response_model=ChatCompletion, responses=_stream_of(ChatCompletionChunk))
    async def chat_completions(body: ChatCompletionRequest, request: Request) -> Response:
        """Answer a conversation. With `stream` the reply comes as server-sent events that end with `[DONE]`.

        A prompt that does not fit into the context is an error; nothing of it is left out. A client that leaves ends
        its generation.
        """
        backend.inference.admit()
        model = await while_connected(request, backend.closing, backend.writer_of(body.model))
        requests, tools = chat_requests(body, backend.chat.defaults.of_programs(model), tells_calls=not model.is_local)
        answer = _ChatAnswer(model, [ChoiceReader(tools if model.is_local else None) for _ in requests], body)
        return await answer_of(backend, request, model, requests, answer, stream=body.stream)

    @routes.post("/v1/completions", response_model=Completion, responses=_stream_of(Completion))
    async def completions(body: CompletionRequest, request: Request) -> Response:
        """Continue a text as it is, without the model's chat template."""
        backend.inference.admit()
        model = await while_connected(request, backend.closing, backend.writer_of(body.model))
        requests = completion_requests(body, backend.chat.defaults.of_programs(model))
        answer = _TextAnswer(model, [ChoiceReader() for _ in requests], body, requests)
        return await answer_of(backend, request, model, requests, answer, stream=body.stream)

    @routes.post("/v1/embeddings", response_model=EmbeddingList, responses=ERRORS)
    async def embeddings(body: EmbeddingRequest, request: Request) -> Response:
        """The meaning of texts as vectors of length 1. Models made to chat give the mean over a text's tokens."""
        backend.inference.admit()
        model = await while_connected(request, backend.closing, backend.model_of(body.model))
        inputs = inputs_of(body.input, "input")
        embeddings = await while_connected(request, backend.closing, backend.inference.embed(model, inputs))
        return json_of(_embedding_list(embeddings, model, body))

    app.include_router(routes)


class _ChunkedAnswer(ABC):
    """Streams chunks, and `[DONE]` at last."""

    wants_usage: bool

    @abstractmethod
    def usage_chunk(self) -> BaseModel: ...

    def ending(self) -> Iterator[bytes]:
        if self.wants_usage:
            yield _event(self.usage_chunk())
        yield DONE

    def farewell(self, error: ApiError) -> bytes:
        return event(error.body.model_dump()) + DONE


class _ChatAnswer(_ChunkedAnswer):
    """Puts together what /v1/chat/completions answers."""

    def __init__(self, model: ModelRef, readers: list[ChoiceReader], body: ChatCompletionRequest) -> None:
        self.readers = readers
        self.wants_usage = body.stream_options.include_usage
        self._logprobs = body.logprobs
        self._head = {"id": f"chatcmpl-{new_id()}", "created": int(time.time()), "model": model.id}

    @property
    def usage(self) -> Usage:
        return usage_of(self.readers, len(self.readers))

    def whole(self) -> ChatCompletion:
        choices = [
            Choice(
                index=index,
                message=reader.message,
                logprobs=reader.whole_logprobs if self._logprobs else None,
                finish_reason=reader.finish_reason,
            )
            for index, reader in enumerate(self.readers)
        ]
        answer = {**self._head, "choices": choices, "usage": self.usage, "notes": self.readers[0].notes}
        return ChatCompletion.model_validate(answer)

    def beginning(self) -> Iterator[bytes]:
        for index in range(len(self.readers)):
            yield _event(self.chunk([ChunkChoice(index=index, delta=Delta(role="assistant", content=""))]))

    def step(self, index: int, delta: Delta, logprobs: list[TokenLogprobs]) -> Iterator[bytes]:
        if delta.content or delta.reasoning_content or delta.tool_calls or logprobs:
            said = Logprobs(content=logprobs) if self._logprobs else None
            yield _event(self.chunk([ChunkChoice(index=index, delta=delta, logprobs=said)]))
        reader = self.readers[index]
        if reader.stats is not None:
            last = ChunkChoice(index=index, delta=Delta(), finish_reason=reader.finish_reason)
            yield _event(self.chunk([last], notes=reader.notes))

    def usage_chunk(self) -> ChatCompletionChunk:
        return self.chunk([], self.usage)

    def chunk(
        self, choices: list[ChunkChoice], usage: Usage | None = None, notes: list[str] | None = None
    ) -> ChatCompletionChunk:
        return ChatCompletionChunk.model_validate({**self._head, "choices": choices, "usage": usage, "notes": notes})


class _TextAnswer(_ChunkedAnswer):
    """Puts together what /v1/completions answers."""

    def __init__(
        self,
        model: ModelRef,
        readers: list[ChoiceReader],
        body: CompletionRequest,
        requests: Sequence[GenerationRequest],
    ) -> None:
        self.readers = readers
        self.wants_usage = body.stream_options.include_usage
        self._n = body.n
        self._logprobs = body.logprobs is not None
        self._echoes = [str(request.prompt) if body.echo else "" for request in requests]
        self._head = {"id": f"cmpl-{new_id()}", "created": int(time.time()), "model": model.id}

    @property
    def usage(self) -> Usage:
        return usage_of(self.readers, self._n)

    def whole(self) -> Completion:
        choices = [
            TextChoice(
                index=index,
                text=self._echoes[index] + reader.text,
                logprobs=text_logprobs(reader.logprobs, len(self._echoes[index])) if self._logprobs else None,
                finish_reason=reader.finish_reason,
            )
            for index, reader in enumerate(self.readers)
        ]
        return self.chunk(choices, self.usage)

    def beginning(self) -> Iterator[bytes]:
        for index, echo in enumerate(self._echoes):
            if echo:
                yield _event(self.chunk([TextChoice(index=index, text=echo, finish_reason=None)]))

    def step(self, index: int, delta: Delta, logprobs: list[TokenLogprobs]) -> Iterator[bytes]:
        reader = self.readers[index]
        if delta.content or logprobs:
            text = delta.content or ""
            offset = len(self._echoes[index]) + len(reader.text) - len(text)
            said = text_logprobs(logprobs, offset) if self._logprobs else None
            yield _event(self.chunk([TextChoice(index=index, text=text, logprobs=said, finish_reason=None)]))
        if reader.stats is not None:
            yield _event(self.chunk([TextChoice(index=index, text="", finish_reason=reader.finish_reason)]))

    def usage_chunk(self) -> Completion:
        return self.chunk([], self.usage)

    def chunk(self, choices: list[TextChoice], usage: Usage | None = None) -> Completion:
        return Completion.model_validate({**self._head, "choices": choices, "usage": usage})


def _embedding_list(made: Embeddings, model: ModelRef, body: EmbeddingRequest) -> EmbeddingList:
    size = len(made.vectors[0])
    if body.dimensions not in (None, size):
        raise ApiError(
            400, f"The vectors of this model have {size} dimensions.", param="dimensions", code="unsupported_parameter"
        )
    encode: Callable[[list[float]], list[float] | str] = _base64 if body.encoding_format == "base64" else list
    data = [Embedding(index=index, embedding=encode(vector)) for index, vector in enumerate(made.vectors)]
    usage = EmbeddingUsage(prompt_tokens=made.n_tokens, total_tokens=made.n_tokens)
    return EmbeddingList(data=data, model=model.id, usage=usage)


def _base64(vector: list[float]) -> str:
    return base64.b64encode(array("f", vector).tobytes()).decode()


async def _cards(backend: Backend) -> list[ModelCard]:
    """Models by the names that requests use, and where they run."""
    await backend.models.refresh()
    usable = [model for model in backend.models.models if model.can_answer]
    created = await asyncio.to_thread(lambda: [_changed_at(model.path) for model in usable])
    return [
        ModelCard(
            id=model.id,
            created=when,
            owned_by=model.engine or "local",
            context_length=model.context_length or None,
            thinking=_thinking(backend.models.thinking if model.is_same(backend.models.current) else model.thinking),
        )
        for model, when in zip(usable, created, strict=True)
    ]


def _thinking(support: ThinkingSupport) -> ThinkingChoices | None:
    choices = ThinkingChoices(switch=bool(support.switch), efforts=list(support.efforts))
    return choices if choices.switch or choices.efforts else None


def _changed_at(path: Path | None) -> int:
    try:
        return int(path.stat().st_mtime) if path else 0
    except OSError:
        return 0


def _stream_of(chunk: type[BaseModel]) -> dict[int | str, dict[str, object]]:
    """What the document says of a route that answers as a whole or as events."""
    text = f"The whole answer; with `stream` events, each a `{chunk.__name__}`, and `[DONE]` at last"
    example = 'data: {"object": "…"}\n\ndata: [DONE]\n\n'
    events = {"schema": {"type": "string"}, "example": example}
    return {**ERRORS, 200: {"description": text, "content": {"text/event-stream": events}}, 500: {"model": ErrorBody}}


def _event(chunk: BaseModel) -> bytes:
    return event(chunk.model_dump_json())
