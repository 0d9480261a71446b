"""A reply as server-sent events, from its beginning or from where somebody has stopped reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from localchat_ui.api.errors import SERVER, ApiError, failed
from localchat_ui.api.schemas import PromptTokensDetails, Usage
from localchat_ui.api.sse import event
from localchat_ui.chat import Reply
from localchat_ui.conversation import GenerationStats, Message, MessageState, Role
from localchat_ui.engine.base import GenerationFailed


@dataclass
class Place:
    """Where in a reply a stream is: so many characters of its text and its thinking were sent."""

    message: Message
    reply: Reply | None
    text: int = 0
    thinking: int = 0
    begins: bool = True

    @property
    def id(self) -> str:
        return f"{self.message.id}:{self.text}:{self.thinking}"


def place_in(messages: list[Message], reply: Reply | None, last_event_id: str | None) -> Place:
    """The place behind that event; without one, the beginning of the last reply. Raises ApiError."""
    replies = [message for message in messages if message.role is Role.ASSISTANT]
    if last_event_id is None:
        if not replies:
            raise ApiError(404, "There is no reply in this conversation.", code="not_found")
        message, offsets = replies[-1], (0, 0)
    else:
        message_id, *numbers = last_event_id.split(":")
        found = next((each for each in replies if each.id == message_id), None)
        if (
            found is None
            or len(numbers) != 2
            or not all(n.isascii() and n.isdecimal() and len(n) < 10 for n in numbers)
        ):
            raise ApiError(404, "Last-Event-ID is none of this conversation.", param="Last-Event-ID", code="not_found")
        message, offsets = found, (int(numbers[0]), int(numbers[1]))
    growing = reply if reply is not None and reply.message is message else None
    return Place(message, growing, *offsets, begins=last_event_id is None)


async def events(place: Place, *, model: str | None) -> AsyncGenerator[bytes, None]:
    """The events of a reply behind that place, until it is finished."""
    message, reply = place.message, place.reply
    changed = asyncio.Event()
    if reply is not None:
        reply.changed.subscribe(changed.set)
    try:
        if place.begins:
            yield event(
                {
                    "conversation_id": message.conversation_id,
                    "user_message_id": message.parent_id,
                    "message_id": message.id,
                    "model": model,
                },
                "conversation",
                place.id,
            )
        while True:
            changed.clear()
            finished = reply is None or reply.finished
            for name, text in _news(place):
                yield event({"text": text}, name, place.id)
            if finished:
                yield _last_event(message)
                return
            await changed.wait()
    finally:
        if reply is not None:
            reply.changed.unsubscribe(changed.set)


def _news(place: Place) -> list[tuple[str, str]]:
    """What was written since, as events; the place moves on."""
    news = []
    message = place.message
    if thinking := message.thinking[place.thinking :]:
        place.thinking += len(thinking)
        news.append(("thinking", thinking))
    if text := message.text[place.text :]:
        place.text += len(text)
        news.append(("token", text))
    return news


def _last_event(message: Message) -> bytes:
    if message.state is MessageState.FAILED:
        return farewell(failed(GenerationFailed(message.error or "The reply failed.")))
    if message.state is MessageState.INTERRUPTED:
        return farewell(ApiError(503, "The reply was interrupted.", kind=SERVER, code="interrupted"))
    stats = message.stats or GenerationStats()
    usage = Usage(
        prompt_tokens=stats.prompt_tokens,
        completion_tokens=stats.reply_tokens,
        total_tokens=stats.prompt_tokens + stats.reply_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=stats.reused_tokens),
    )
    reason = "cancelled" if message.state is MessageState.STOPPED else stats.finish_reason or "stop"
    return event(
        {
            "conversation_id": message.conversation_id,
            "message_id": message.id,
            "finish_reason": reason,
            "usage": usage.model_dump(),
            "unseen_messages": stats.unseen_messages,
            **({"notes": list(stats.notes)} if stats.notes else {}),
            **({"unsaved": message.unsaved} if message.unsaved else {}),
        },
        "done",
    )


def farewell(error: ApiError) -> bytes:
    """The last event of a stream that ends before its reply, or with an error."""
    return event(error.body.model_dump(), "error")
