"""A request for replies from its choices to its answer, as a whole or as events, in the words of any protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Protocol

from fastapi import Request, Response
from pydantic import BaseModel

from localchat_ui.access.quotas import claim_more
from localchat_ui.api.backend import Backend
from localchat_ui.api.choices import Choices
from localchat_ui.api.errors import ApiError, failed
from localchat_ui.api.replies import ChoiceReader
from localchat_ui.api.routes import while_connected
from localchat_ui.api.schemas import Delta, TokenLogprobs
from localchat_ui.api.sse import EventStream
from localchat_ui.engine.base import GenerationRequest
from localchat_ui.inference import ModelRef


class Answer(Protocol):
    """Puts together what a protocol answers; `readers` read the choices."""

    @property
    def readers(self) -> Sequence[ChoiceReader]: ...

    def whole(self) -> BaseModel:
        """The answer when all choices have ended."""

    def beginning(self) -> Iterable[bytes]:
        """The events before anything was said."""

    def step(self, index: int, delta: Delta, logprobs: list[TokenLogprobs]) -> Iterable[bytes]:
        """The events of what is new of a choice, once its reader has read it."""

    def ending(self) -> Iterable[bytes]:
        """The events when all choices have ended."""

    def farewell(self, error: ApiError) -> bytes:
        """The last event of a stream that ends before its replies do."""


async def answer_of(
    backend: Backend,
    request: Request,
    model: ModelRef,
    requests: Sequence[GenerationRequest],
    answer: Answer,
    *,
    stream: bool,
) -> Response:
    """Let the model reply to all these requests. Raises ApiError or EngineError while nothing has been sent."""
    claim_more(request.scope, len(requests))
    choices = Choices(backend.inference, model, requests)
    try:
        await while_connected(request, backend.closing, choices.start())
        if not stream:
            return json_of(await while_connected(request, backend.closing, _whole(choices, answer)))
        if (refused := await while_connected(request, backend.closing, choices.first_step())) is not None:
            raise failed(refused)
    except BaseException:
        choices.close()
        raise
    return EventStream(_events(choices, answer), backend.interruption, answer.farewell, on_end=choices.close)


def json_of(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), media_type="application/json")


async def _whole(choices: Choices, answer: Answer) -> BaseModel:
    async for index, events in choices.events():
        reader = answer.readers[index]
        reader.read(events)
        if reader.failure is not None:
            choices.close()
            raise failed(reader.failure)
    return answer.whole()


async def _events(choices: Choices, answer: Answer) -> AsyncGenerator[bytes, None]:
    """Every step of every choice; a failure of one ends all."""
    for event in answer.beginning():
        yield event
    async for index, events in choices.events():
        reader = answer.readers[index]
        delta, logprobs = reader.read(events)
        for event in answer.step(index, delta, logprobs):
            yield event
        if reader.failure is not None:
            yield answer.farewell(failed(reader.failure))
            return
    for event in answer.ending():
        yield event
