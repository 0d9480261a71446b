"""One reply on its way from the engine to whoever is looking, and to the database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nicegui import Event

from localchat_ui.chat.prompt import n_unseen, request_for, sampling_of, up_to
from localchat_ui.conversation import ChatOptions, GenerationStats, Message, RequestOptions, SamplingOptions
from localchat_ui.engine import base
from localchat_ui.engine.base import EngineError, GenerationDone, GenerationFailed
from localchat_ui.history.store import HistoryStore
from localchat_ui.inference import Inference, ModelRegistry, TokenStream
from localchat_ui.inference.model_ref import ModelRef


@dataclass(eq=False)
class Reply:
    """A reply being written. `changed` fires at most about 20 times a second, and once more at the end.

    `model` writes it; None is the model in use when it begins. `sampling` is for this reply, in place of what the
    `options` say; None where they say it.
    """

    message: Message
    options: ChatOptions
    model: ModelRef | None = None
    sampling: RequestOptions | None = None
    changed: Event[[]] = field(default_factory=Event)
    n_tokens: int = 0
    place: int = 0
    prompt_read: base.PromptProgress | None = None
    unseen_messages: int = 0
    first_seen_id: str | None = None
    prompt_tokens: int = 0
    # Whether nobody counted these.
    is_estimate: bool = False
    tokens_per_second: float = 0.0
    # Once it was submitted.
    stream: TokenStream | None = None
    stopping: bool = False
    finished: bool = False
    # `work` may be cancelled at any time; `task` waits for it, keeps what was written, and never is.
    work: asyncio.Task[GenerationStats] | None = None
    task: asyncio.Task[None] | None = None


class ReplyWriter:
    """Lets models write replies; the store's journal saves them while they grow."""

    def __init__(self, inference: Inference, models: ModelRegistry, store: HistoryStore) -> None:
        self._inference = inference
        self._models = models
        self._store = store

    async def write(self, reply: Reply) -> GenerationStats:
        """Run one request; the reply's message grows meanwhile. Raises EngineError with the reason it ended with."""
        reply.model = model = reply.model or await self._models.ready()
        message, options = reply.message, reply.options
        begun = message.stats.reply_tokens if message.stats and message.text else 0
        messages = up_to(await self._store.branch(message.conversation_id), message)
        message.model = model.id
        request, owners = request_for(options, messages, model)
        request = replace(request, sampling=reply.sampling or request.sampling)
        async with self._inference.generate(model, request) as stream:
            reply.stream = stream
            if reply.stopping:
                stream.cancel()
            if reply.options is not options:
                self.change(reply, reply.options, before=options)  # somebody was quicker
            stats = await self._receive(reply, stream, messages, owners)
        sampling = SamplingOptions.model_validate(reply.options.model_dump(include=set(SamplingOptions.model_fields)))
        return stats.model_copy(
            update={
                "unseen_messages": reply.unseen_messages,
                "first_seen_id": reply.first_seen_id,
                "reply_tokens": begun + stats.reply_tokens,
                "sampling": sampling,
            }
        )

    def change(self, reply: Reply, options: ChatOptions, *, before: ChatOptions | None = None) -> None:
        """Let it go on with this sampling, where that can be; otherwise it has the options that it had `before`."""
        if reply.stream is None:
            reply.options = options
        elif reply.stream.takes_changes:
            reply.options = options
            reply.stream.change(sampling_of(options))
        else:
            reply.options = before or reply.options

    async def _receive(
        self, reply: Reply, stream: TokenStream, messages: Sequence[Message], owners: Sequence[int]
    ) -> GenerationStats:
        async for events in stream:
            for event in events:
                if isinstance(event, GenerationFailed):
                    raise EngineError(event.message)
                if isinstance(event, base.PromptBuilt):
                    reply.prompt_tokens, reply.is_estimate = event.n_tokens, event.is_estimate
                    reply.unseen_messages = n_unseen(owners, event.n_dropped)
                    reply.first_seen_id = messages[reply.unseen_messages].id if reply.unseen_messages else None
                elif isinstance(event, base.Queued):
                    reply.place = event.place
                elif isinstance(event, base.PromptProgress):
                    reply.place, reply.prompt_read = 0, event
                else:
                    reply.place = 0
                    reply.message.thinking += event.thinking
                    reply.message.text += event.text
                    if isinstance(event, GenerationDone):
                        return event.stats
                    reply.n_tokens += 1
            reply.tokens_per_second = stream.tokens_per_second(reply.n_tokens)
            reply.changed.emit()
            self._store.journal.write(reply.message)
        raise AssertionError("a stream ends with Done or Failed")
