"""OpenAI's newer protocol: /v1/responses, which coding agents speak."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import FastAPI, Request, Response

from localchat_ui.access import current_owner
from localchat_ui.api.answers import answer_of
from localchat_ui.api.backend import Backend
from localchat_ui.api.errors import ApiError, ErrorBody
from localchat_ui.api.replies import ChoiceReader
from localchat_ui.api.requests import chat_requests
from localchat_ui.api.response_store import ResponseStore, StoredResponse
from localchat_ui.api.responses_answer import ResponseAnswer
from localchat_ui.api.responses_requests import chat_of, items_of
from localchat_ui.api.responses_schemas import InputItem, ResponseDeleted, ResponseObject, ResponsesRequest
from localchat_ui.api.routes import ERRORS, router, while_connected
from localchat_ui.inference import Metrics

EXAMPLE = (
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"msg_…","output_index":0,'
    '"content_index":0,"delta":"Paris","logprobs":[],"sequence_number":4}\n\n'
)
STREAM: dict[int | str, dict[str, Any]] = {
    **ERRORS,
    200: {
        "description": "The whole response; with `stream` events, from `response.created` to `response.completed`",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EXAMPLE}},
    },
    500: {"model": ErrorBody},
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody, "description": "No such response is kept"}}


def register(app: FastAPI, backend: Backend, metrics: Metrics) -> None:
    """POST /v1/responses, GET and DELETE /v1/responses/{response_id}"""
    routes = router(metrics, "OpenAI's protocol")
    store = ResponseStore()

    @routes.post("/v1/responses", response_model=ResponseObject, responses=STREAM)
    async def create(body: ResponsesRequest, request: Request) -> Response:
        """Answer, perhaps going on from an earlier response, as a whole or as events.

        A prompt that does not fit into the context is an error, unless `truncation` is `auto`. A client that leaves
        ends its generation.
        """
        owner = current_owner()
        backend.inference.admit()
        items = [*_previous(store, owner, body.previous_response_id), *items_of(body)]
        chat = chat_of(body, items)
        model = await while_connected(request, backend.closing, backend.writer_of(body.model))
        requests, tools = chat_requests(chat, backend.chat.defaults.of_programs(model), tells_calls=not model.is_local)
        requests = [replace(each, may_drop=body.truncation == "auto") for each in requests]

        def keep(response: ResponseObject) -> None:
            output = [InputItem.model_validate(item) for item in response.output]
            store.keep(owner, StoredResponse(response, [*items, *output]))

        reader = ChoiceReader(tools if model.is_local else None)
        answer = ResponseAnswer(model, reader, body, requests[0].sampling, keep if body.store else None)
        return await answer_of(backend, request, model, requests, answer, stream=body.stream)

    @routes.get("/v1/responses/{response_id}", responses=NOT_FOUND)
    async def get(response_id: str) -> ResponseObject:
        """A response that was kept. Only the newest are, until the program ends."""
        if (stored := store.get(current_owner(), response_id)) is None:
            raise _not_found(response_id)
        return stored.response

    @routes.delete("/v1/responses/{response_id}", responses=NOT_FOUND)
    async def delete(response_id: str) -> ResponseDeleted:
        """Forget a response. Those that went on from it stay whole."""
        if not store.forget(current_owner(), response_id):
            raise _not_found(response_id)
        return ResponseDeleted(id=response_id)

    app.include_router(routes)


def _previous(store: ResponseStore, owner: str | None, response_id: str | None) -> list[InputItem]:
    if response_id is None:
        return []
    if (stored := store.get(owner, response_id)) is None:
        message = "The previous response is not kept any more. Send the conversation in input."
        raise ApiError(400, message, param="previous_response_id", code="previous_response_not_found")
    return list(stored.items)


def _not_found(response_id: str) -> ApiError:
    return ApiError(404, "No such response is kept.", param="response_id", code="not_found")
