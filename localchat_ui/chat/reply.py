"""One reply on its way from the engine to whoever is looking, and to the database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nicegui import Event

from localchat_ui.chat.prompt import n_unseen, request_for, sampling_of, up_to
from localchat_ui.conversation import ChatOptions, GenerationStats, Message, RequestOptions, SamplingOptions, new_id
from localchat_ui.engine import base
from localchat_ui.engine.base import Engine, EngineError, GenerationDone, GenerationFailed
from localchat_ui.history.store import HistoryStore
from localchat_ui.inlet import Inlet


@dataclass(eq=False)
class Reply:
    """A reply being written. `changed` fires at most about 20 times a second, and once more at the end.

    `model` is the file that writes it; None is the model in use. `sampling` is for this reply, in place of what the
    `options` say; None where they say it.
    """

    message: Message
    options: ChatOptions
    model: Path | None = None
    sampling: RequestOptions | None = None
    request_id: str = field(default_factory=new_id)
    changed: Event[[]] = field(default_factory=Event)
    n_tokens: int = 0
    place: int = 0
    prompt_read: base.PromptProgress | None = None
    unseen_messages: int = 0
    first_seen_id: str | None = None
    prompt_tokens: int = 0
    tokens_per_second: float = 0.0
    submitted: bool = False
    stopping: bool = False
    finished: bool = False
    # `work` may be cancelled at any time; `task` waits for it, keeps what was written, and never is.
    work: asyncio.Task[GenerationStats] | None = None
    task: asyncio.Task[None] | None = None


class ReplyWriter:
    """Lets the engine write replies; the store's journal saves them while they grow."""

    def __init__(self, engine: Engine, store: HistoryStore) -> None:
        self._engine = engine
        self._store = store

    async def write(self, reply: Reply) -> GenerationStats:
        """Run one request; the reply's message grows meanwhile. Raises EngineError with the reason it ended with."""
        inlet = Inlet(asyncio.get_running_loop())
        begun = reply.message.stats.reply_tokens if reply.message.stats and reply.message.text else 0
        options = reply.options
        messages, owners = await self._submit(reply, inlet)
        if reply.stopping:
            self.stop(reply)
        if reply.options is not options:
            self.change(reply)  # somebody was quicker
        try:
            stats = await self._receive(reply, inlet, messages, owners)
        except asyncio.CancelledError:
            self._engine.cancel(reply.request_id)
            raise
        sampling = SamplingOptions.model_validate(reply.options.model_dump(include=set(SamplingOptions.model_fields)))
        return stats.model_copy(
            update={
                "unseen_messages": reply.unseen_messages,
                "first_seen_id": reply.first_seen_id,
                "reply_tokens": begun + stats.reply_tokens,
                "sampling": sampling,
            }
        )

    def change(self, reply: Reply) -> None:
        """Let it go on with the sampling its options say now."""
        if reply.submitted:
            self._engine.change(reply.request_id, sampling_of(reply.options))

    def stop(self, reply: Reply) -> None:
        """End it at the next step; it then ends with `cancelled`."""
        self._engine.cancel(reply.request_id)

    async def _submit(self, reply: Reply, inlet: Inlet) -> tuple[list[Message], list[int]]:
        """Hand the request to the engine; the messages it is made of, and how many of them each turn is made of."""
        message = reply.message
        branch = await self._store.branch(message.conversation_id)
        messages = up_to(branch, message)
        path = reply.model or (self._engine.model.path if self._engine.model else None)
        message.model = path.stem if path else None
        request, owners = request_for(reply.options, messages, request_id=reply.request_id)
        request = replace(request, model=reply.model, sampling=reply.sampling or request.sampling)
        submitting = asyncio.ensure_future(asyncio.to_thread(self._engine.submit, request, inlet.put))
        try:
            await asyncio.shield(submitting)
        except asyncio.CancelledError:
            # The thread cannot be stopped; what it submits must not be written for nobody.
            submitting.add_done_callback(lambda done: self._engine.cancel(request.id) if not done.exception() else None)
            raise
        reply.submitted = True
        return messages, owners

    async def _receive(
        self, reply: Reply, inlet: Inlet, messages: Sequence[Message], owners: Sequence[int]
    ) -> GenerationStats:
        while True:
            for event in await inlet.take():
                if isinstance(event, GenerationFailed):
                    raise EngineError(event.message)
                if isinstance(event, base.PromptBuilt):
                    reply.prompt_tokens = event.n_tokens
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
            reply.tokens_per_second = inlet.tokens_per_second(reply.n_tokens)
            reply.changed.emit()
            self._store.journal.write(reply.message)
