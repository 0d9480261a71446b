"""The chat as server-sent events: what is said here stands in the history, and grows in every open page."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from localchat_ui.access import current_owner
from localchat_ui.api.backend import Backend
from localchat_ui.api.errors import ApiError, ErrorBody
from localchat_ui.api.reply_events import Place, events, farewell, place_in
from localchat_ui.api.requests import sampling_of
from localchat_ui.api.routes import ERRORS, router, while_connected
from localchat_ui.api.schemas import Biased, Body
from localchat_ui.api.sse import EventStream
from localchat_ui.chat import Reply
from localchat_ui.conversation import (
    Attachment,
    ChatOptions,
    Conversation,
    FullSampling,
    Message,
    MessageState,
    Role,
)
from localchat_ui.inference import Metrics, ModelRef

LONGEST_INPUT = 1_000_000
EXAMPLE = (
    'event: conversation\nid: mZ…:0:0\ndata: {"conversation_id":"q4…","user_message_id":"bT…","message_id":"mZ…",'
    '"model":"SmolLM2-135M-Instruct.Q4_1"}\n\n'
    'event: token\nid: mZ…:6:0\ndata: {"text":"Paris."}\n\n'
    'event: done\ndata: {"finish_reason":"stop","usage":{"prompt_tokens":31,"completion_tokens":3,"total_tokens":34}}'
    "\n\n"
)
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `conversation`, then `token` and `thinking`, then `done` or `error`",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EXAMPLE}},
    }
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody, "description": "No such conversation"}}
NO_SUCH: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody, "description": "No such conversation or model"}}
BUSY: dict[int | str, dict[str, Any]] = {409: {"model": ErrorBody, "description": "A reply is still being written"}}


class ChatRequest(Body, Biased, ChatOptions, FullSampling):
    """A message. The system prompt and the sampling values that the page shows stay with the conversation; the others
    are for this one reply."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_input": "What is the capital of France?"}]})

    user_input: str | None = Field(None, min_length=1, max_length=LONGEST_INPUT, description="what the person says")
    conversation_id: str | None = Field(None, description="left out, a new conversation begins", examples=[None])
    model: str | None = Field(None, description="an installed model; left out, the model in use", examples=[None])
    keep_going: bool = Field(False, description="write the reply to its end even if the client leaves")


class ResetRequest(Body):
    model_config = ConfigDict(extra="forbid")

    conversation_id: str | None = Field(None, description="left out, the one that was last begun here")


class ResetAnswer(BaseModel):
    forgotten: list[str]


class ConversationSummary(BaseModel):
    id: str
    title: str
    created_at: datetime
    updated_at: datetime


class ConversationList(BaseModel):
    data: list[ConversationSummary]


class MessageView(BaseModel):
    """`state` is `complete`, `writing`, `queued`, `stopped`, `interrupted` or `failed`, and then `error` says why.

    `unsaved` says why the newest of it is only in memory so far; it is tried again until it is saved.
    """

    id: str
    role: Role
    text: str
    thinking: str
    state: MessageState
    model: str | None
    error: str | None
    unsaved: str | None
    created_at: datetime
    attachments: list[Attachment]


class ConversationView(ConversationSummary):
    """`messages` are those of the branch that is shown, the oldest first."""

    options: ChatOptions
    messages: list[MessageView]


def register(app: FastAPI, backend: Backend, metrics: Metrics) -> None:
    """POST and GET /chat/stream, POST /reset, GET /conversations, GET and DELETE /conversations/{conversation_id}"""
    chat = backend.chat
    routes = router(metrics, "Chat", before=chat.defaults.read)
    last: dict[str | None, str] = {}  # by owner

    @routes.post("/chat/stream", response_class=Response, responses={**STREAM, **ERRORS, **NO_SUCH, **BUSY})
    async def send(
        body: ChatRequest, request: Request, last_event_id: Annotated[str | None, Header()] = None
    ) -> Response:
        """Say something; the reply comes as server-sent events, and the turn appears in every open page.

        Another installed `model` is loaded beside the one in use and answers this message; the page stays with its own.

        A client that leaves stops the reply, unless `keep_going` is set. With `Last-Event-ID` and `conversation_id`
        nothing is sent: the events of that reply go on behind that one, as with GET.
        """
        if last_event_id is not None:
            return await attach(body.conversation_id or "", last_event_id)
        if body.user_input is None or not body.user_input.strip():
            raise ApiError(400, "user_input is empty.", param="user_input", code="invalid_value")
        backend.inference.admit()
        model = await while_connected(request, backend.closing, _model_of(backend, body.model))
        conversation = await _conversation(backend, body, model)
        if chat.is_writing(conversation.id):
            raise ApiError(409, "A reply is still being written in this conversation.", code="busy")
        options = conversation.options.model_copy(update=_given(body))
        reply = await chat.send(
            conversation,
            body.user_input,
            model=model,
            options=options if options != conversation.options else None,
            sampling=sampling_of(body, options, options.max_tokens),
        )
        assert reply is not None
        last[current_owner()] = conversation.id

        def stop() -> None:
            # At the program's end it is kept as interrupted.
            if not (body.keep_going or reply.finished or backend.closing.begun):
                chat.stop(conversation.id)

        stream = events(Place(reply.message, reply), model=_name_of_writer(backend, reply))
        return EventStream(stream, backend.interruption, farewell, on_end=stop)

    @routes.get("/chat/stream", response_class=Response, responses={**STREAM, **NOT_FOUND})
    async def follow(
        conversation_id: Annotated[str, Query()], last_event_id: Annotated[str | None, Header()] = None
    ) -> Response:
        """Follow the reply being written, or the last one, from its beginning or from behind `Last-Event-ID`.

        Leaving such a stream stops nothing.
        """
        return await attach(conversation_id, last_event_id)

    @routes.post("/reset", responses=NOT_FOUND)
    async def reset(body: ResetRequest | None = None) -> ResetAnswer:
        """Forget a conversation. Without `conversation_id` that is the one begun or continued last through this API.

        It can be restored from the Trash of the page for 30 days.
        """
        wanted = body.conversation_id if body else None
        if wanted is None:
            recent = last.get(current_owner())
            forgotten = [recent] if recent and await chat.open(recent) is not None else []
        else:
            await _find(backend, wanted)
            forgotten = [wanted]
        for conversation_id in forgotten:
            await chat.delete(conversation_id)
        return ResetAnswer(forgotten=forgotten)

    @routes.get("/conversations")
    async def conversations(
        limit: Annotated[int, Query(ge=1, le=500)] = 50, offset: Annotated[int, Query(ge=0, le=10**9)] = 0
    ) -> ConversationList:
        """The conversations, those used last first; pinned ones lead."""
        return ConversationList(data=[_summary(each) for each in await chat.conversations(limit, offset)])

    @routes.get("/conversations/{conversation_id}", responses=NOT_FOUND)
    async def conversation(conversation_id: str) -> ConversationView:
        """One conversation with its messages; the text of a reply being written is what there is of it now."""
        found = await _find(backend, conversation_id)
        messages, _ = await chat.messages(conversation_id)
        return ConversationView(
            **_summary(found).model_dump(), options=found.options, messages=[_view(each) for each in messages]
        )

    @routes.delete("/conversations/{conversation_id}", status_code=204, responses=NOT_FOUND)
    async def delete(conversation_id: str) -> None:
        """Delete a conversation, as the page does; it can be restored from its Trash for 30 days."""
        await _find(backend, conversation_id)
        await chat.delete(conversation_id)

    async def attach(conversation_id: str, last_event_id: str | None) -> Response:
        await _find(backend, conversation_id)
        messages, reply = await chat.messages(conversation_id)
        place = place_in(messages, reply, last_event_id)
        return EventStream(events(place, model=place.message.model), backend.interruption, farewell)

    app.include_router(routes)


async def _conversation(backend: Backend, body: ChatRequest, model: ModelRef | None) -> Conversation:
    """The conversation that is meant; a new one is stored with its first message. Raises ApiError."""
    if body.conversation_id is None:
        return backend.chat.new_conversation(model)
    return await _find(backend, body.conversation_id)


def _given(body: ChatRequest) -> dict[str, Any]:
    """What the conversation has from now on."""
    return {name: getattr(body, name) for name in ChatOptions.model_fields if name in body.model_fields_set}


async def _find(backend: Backend, conversation_id: str) -> Conversation:
    conversation = await backend.chat.open(conversation_id)
    if conversation is None:
        raise ApiError(404, "There is no such conversation.", param="conversation_id", code="not_found")
    return conversation


async def _model_of(backend: Backend, name: str | None) -> ModelRef | None:
    """What answers; None is the model in use, or on its way. Raises ApiError."""
    if name:
        return await backend.writer_of(name)
    if backend.models.current is None and not backend.models.settling:
        raise backend.no_model()
    return None


def _name_of_writer(backend: Backend, reply: Reply) -> str | None:
    model = reply.model or backend.models.current
    return model.id if model else None


def _summary(conversation: Conversation) -> ConversationSummary:
    return ConversationSummary(
        id=conversation.id,
        title=conversation.title,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
    )


def _view(message: Message) -> MessageView:
    return MessageView(
        id=message.id,
        role=message.role,
        text=message.text,
        attachments=list(message.attachments),
        thinking=message.thinking,
        state=message.state,
        model=message.model,
        error=message.error,
        unsaved=message.unsaved,
        created_at=message.created_at,
    )
