"""The replies being written: begun, stopped, kept when they end, and what was sent meanwhile answered after them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from weakref import WeakValueDictionary

from localchat_ui.access import AccessError, acting_as, current_visitor
from localchat_ui.access.quotas import Claim, Quotas
from localchat_ui.chat.errors import STILL_WRITING, ChatError, RefusedError
from localchat_ui.chat.reply import Reply, ReplyWriter
from localchat_ui.conversation import (
    ChatOptions,
    Conversation,
    Message,
    MessageState,
    RequestOptions,
    Role,
    SamplingOptions,
    title_of,
)
from localchat_ui.engine.base import EngineError
from localchat_ui.history.errors import HistoryError, UnknownMessageError
from localchat_ui.history.store import HistoryStore
from localchat_ui.inference import Inference, ModelRef, ModelRegistry, QueueFullError
from localchat_ui.text import Text

logger = logging.getLogger(__name__)

# systemd's unit and most container runtimes kill a program that takes 10 to 30 s to end.
SAVING_SECONDS = 10.0


class RunningReplies:
    """At most one reply in a conversation. Each belongs to whoever asked for it, and is kept however it ends.

    What changes a conversation, a new reply too, happens within `lock` or `lock_idle`.
    """

    def __init__(
        self,
        inference: Inference,
        store: HistoryStore,
        models: ModelRegistry,
        quotas: Quotas | None,
        *,
        on_change: Callable[[str], None],
        on_complete: Callable[[Reply], None] = lambda reply: None,
    ) -> None:
        """Without `quotas` nobody is limited.

        `on_change` is told the conversation whenever a reply began or ended there, or could not begin; `on_complete`
        the reply once it is whole and saved.
        """
        self._inference = inference
        self._store = store
        self._quotas = quotas
        self._on_change = on_change
        self._on_complete = on_complete
        self._writer = ReplyWriter(inference, models, store)
        self._journal = store.journal
        self._journal.on_change = self._on_unsaved
        self._journal.on_erased = lambda message: self.stop(message.conversation_id)
        self._replies: dict[str, Reply] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def any(self) -> bool:
        """Whether any reply is written, waits, or is just being saved."""
        return bool(self._replies)

    def get(self, conversation_id: str) -> Reply | None:
        """The reply that is written there, or just being saved."""
        return self._replies.get(conversation_id)

    async def ask(
        self,
        conversation: Conversation,
        question: Message,
        *,
        model: ModelRef | None = None,
        options: ChatOptions | None = None,
        sampling: RequestOptions | None = None,
    ) -> Reply:
        """Add a question and answer it, with this `model` instead of the one in use. Raises RefusedError.

        The first one names the conversation, which has these `options` from then on; `sampling` is for this one reply.
        """
        # What still waits after a restart counts as sent now.
        waiting = _waiting(await self._store.branch(conversation.id))
        reply = await self._begin(
            conversation,
            _reply_to(question),
            question,
            waiting=waiting,
            model=model,
            options=options,
            sampling=sampling,
        )
        if not conversation.title:
            names = [file.name for file in question.attachments]
            await self._give_title(conversation.id, title_of("\n".join([question.text, *names])))
        self._on_change(conversation.id)
        return reply

    async def answer(
        self, conversation: Conversation, branch: Sequence[Message], question: Message, model: ModelRef | None = None
    ) -> Reply:
        """Answer a question of the branch; what waited to be sent counts as sent now. Raises RefusedError."""
        reply = await self._begin(conversation, _reply_to(question), waiting=_waiting(branch), model=model)
        self._on_change(conversation.id)
        return reply

    async def continue_reply(
        self, conversation: Conversation, message: Message, model: ModelRef | None = None
    ) -> Reply:
        """Write on where this reply ended; raises RefusedError."""
        reply = await self._begin(conversation, message, model=model)
        self._on_change(conversation.id)
        return reply

    def change_options(self, conversation_id: str, options: ChatOptions) -> None:
        """Let the reply being written, if any, go on with other sampling from its next token on."""
        reply = self._replies.get(conversation_id)
        if reply is not None and reply.sampling is None:
            sampling = options.model_dump(include=set(SamplingOptions.model_fields))
            self._writer.change(reply, reply.options.model_copy(update=sampling))

    def stop(self, conversation_id: str) -> None:
        """End the reply being written, if any; what was written stays."""
        reply = self._replies.get(conversation_id)
        if reply is None or reply.stopping:
            return
        reply.stopping = True
        if reply.stream is not None:
            reply.stream.cancel()
        elif reply.work is not None:
            reply.work.cancel()

    async def ensure_stored(self, conversation: Conversation) -> Conversation:
        """What is stored of a conversation; a new one is stored now, and so is a reply that could not be when it ended.

        Raises HistoryError.
        """
        stored = await self._store.conversation(conversation.id)
        if stored is None:
            await self._store.add_conversation(conversation)
        await self._journal.flush(conversation.id)
        return stored or conversation

    @asynccontextmanager
    async def lock(self, conversation_id: str) -> AsyncIterator[None]:
        """One change at a time in a conversation, however often somebody presses."""
        lock = self._locks.setdefault(conversation_id, asyncio.Lock())
        async with lock:
            reply = self._replies.get(conversation_id)
            if reply is not None and reply.task is not None and reply.message.state is not MessageState.WRITING:
                # It is written and just being saved: whoever is so quick should not be refused.
                await asyncio.wait([reply.task])
            yield

    @asynccontextmanager
    async def lock_idle(self, conversation_id: str) -> AsyncIterator[None]:
        """A change that cannot be made while a reply is written; raises ChatError."""
        if conversation_id in self._replies and self._replies[conversation_id].message.state is MessageState.WRITING:
            raise ChatError(STILL_WRITING)
        async with self.lock(conversation_id):
            if conversation_id in self._replies:
                raise ChatError(STILL_WRITING)
            yield

    async def close(self) -> None:
        """Stop all replies and keep what was written of them as interrupted.

        Takes up to ten seconds more when the database cannot be written.
        """
        self._closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()  # what was sent meanwhile waits for the next start
        for reply in list(self._replies.values()):
            if reply.work is not None and reply.task is not None:
                reply.work.cancel()
                tasks.append(reply.task)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._journal.close(SAVING_SECONDS)

    async def _begin(
        self,
        conversation: Conversation,
        message: Message,
        *before: Message,
        waiting: Sequence[Message] = (),
        model: ModelRef | None = None,
        options: ChatOptions | None = None,
        sampling: RequestOptions | None = None,
    ) -> Reply:
        """Start to write a new reply, added together with the messages `before` it, or go on with an old one.

        A new conversation is stored with them, and so are changed `options`. Messages that were `waiting` count as sent
        now. Raises RefusedError.
        """
        claim = await self._claim()
        goes_on = bool(message.text or message.thinking)
        state_before, message.state, message.error = message.state, MessageState.WRITING, None
        reply = Reply(message, options or conversation.options, model, sampling)
        self._replies[conversation.id] = reply
        try:
            await self.ensure_stored(conversation)
            self._journal.open(message)
            for each in waiting:
                await self._store.update_message(replace(each, state=MessageState.COMPLETE))
            if goes_on:
                await self._store.update_message(message)
            else:
                await self._store.add_message(*before, message, options=options)
        except BaseException:
            message.state = state_before
            self._journal.discard(message)
            del self._replies[conversation.id]
            if claim:
                claim.release()
            raise
        # Nobody's page or request says in these tasks for whom they work.
        with acting_as(current_visitor()):
            reply.work = asyncio.create_task(self._writer.write(reply))
            reply.task = asyncio.create_task(self._finish(reply, claim))
        return reply

    async def _claim(self) -> Claim | None:
        """The right to one more reply, for whoever asks; None where nobody is limited. Raises RefusedError."""
        try:
            self._inference.admit()
            visitor = current_visitor()
            if self._quotas is None or visitor is None:
                return None
            claim = await self._quotas.claim(visitor)
            claim.take()
            return claim
        except AccessError as refusal:
            raise RefusedError(refusal) from None
        except QueueFullError as full:
            raise RefusedError(AccessError(429, "queue_full", str(full), {"Retry-After": "5"})) from None

    async def _finish(self, reply: Reply, claim: Claim | None) -> None:
        """Wait for the reply to end, however it does, and keep it."""
        message = reply.message
        assert reply.work is not None
        try:
            message.stats = await reply.work
            cancelled = message.stats.finish_reason == "cancelled"
            state = MessageState.STOPPED if cancelled else MessageState.COMPLETE
        except EngineError as error:
            state, message.error = MessageState.FAILED, str(error)
        except asyncio.CancelledError:
            state = MessageState.STOPPED if reply.stopping else MessageState.INTERRUPTED
        except Exception:
            logger.exception("a reply failed")
            state = MessageState.FAILED
            message.error = Text("Something went wrong. The log has the details; please try again.")
        message.state = state
        reply.changed.emit()  # the last words need not wait until they are saved
        try:
            await self._journal.finish(message)
        except UnknownMessageError:
            logger.info("a reply ended because its conversation was erased")
            message.state = MessageState.FAILED
            message.error = Text("The conversation was erased while this was written.")
        reply.finished = True
        del self._replies[message.conversation_id]
        if claim:
            claim.release()
        reply.changed.emit()
        self._on_change(message.conversation_id)
        if message.state is MessageState.COMPLETE:
            self._on_complete(reply)
        if not self._closing:
            task = asyncio.create_task(self._answer_queued(message))
            self._tasks.add(task)
            task.add_done_callback(self._on_queue_done)

    def _on_unsaved(self, message: Message) -> None:
        """A message can no longer be saved, or is saved after all."""
        reply = self._replies.get(message.conversation_id)
        if reply is not None and reply.message.id == message.id:
            reply.changed.emit()
        else:
            self._on_change(message.conversation_id)

    async def _answer_queued(self, reply: Message) -> None:
        """Answer what was sent while this reply was written, however it ended, once it is saved."""
        await self._journal.written(reply)
        conversation_id = reply.conversation_id
        async with self.lock(conversation_id):
            conversation = await self._store.conversation(conversation_id)
            if conversation is None or conversation_id in self._replies or self._closing:
                return
            messages = await self._store.branch(conversation_id)
            if not messages or messages[-1].state is not MessageState.QUEUED:
                return
            try:
                await self.answer(conversation, messages, messages[-1])
                return
            except RefusedError as refused:
                # Nobody waits for an answer who could be told; the place of the reply says it, and has a Retry.
                for message in messages:
                    if message.state is MessageState.QUEUED:
                        await self._store.update_message(replace(message, state=MessageState.COMPLETE))
                unanswered = replace(_reply_to(messages[-1]), state=MessageState.FAILED, error=str(refused))
                await self._store.add_message(unanswered)
        self._on_change(conversation_id)

    def _on_queue_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a queued message could not be answered", exc_info=task.exception())

    async def _give_title(self, conversation_id: str, title: str) -> None:
        try:
            await self._store.rename(conversation_id, title, is_draft=True)
        except HistoryError as error:
            # The message is sent by now, and better without a title than twice.
            logger.warning("the conversation got no title: %s", error)


def _waiting(branch: Sequence[Message]) -> list[Message]:
    return [message for message in branch if message.state is MessageState.QUEUED]


def _reply_to(question: Message) -> Message:
    return Message(question.conversation_id, Role.ASSISTANT, "", parent_id=question.id)
