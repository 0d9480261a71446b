"""Conversations in motion: send, stop, and the one place where the engine's thread meets the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from nicegui import Event

from localchat_ui.conversation import (
    ChatOptions,
    Conversation,
    GenerationStats,
    Message,
    MessageState,
    RequestOptions,
    Role,
    SamplingOptions,
    new_id,
    title_of,
)
from localchat_ui.engine import base
from localchat_ui.engine.base import Engine, EngineError, GenerationDone, GenerationFailed, GenerationRequest, Turn
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.store import HistoryStore
from localchat_ui.model_manager import ModelManager

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.05
JOURNAL_SECONDS = 0.5
UNDO_TIME = timedelta(hours=1)


class ChatError(Exception):
    """Something the person at the page should read; nothing was changed."""


@dataclass(eq=False)
class Reply:
    """A reply being written. `changed` fires at most about 20 times a second, and once more at the end."""

    message: Message
    options: ChatOptions
    request_id: str = field(default_factory=new_id)
    changed: Event[[]] = field(default_factory=Event)
    n_tokens: int = 0
    place: int = 0
    prompt_read: base.PromptProgress | None = None
    unseen_messages: int = 0
    tokens_per_second: float = 0.0
    submitted: bool = False
    stopping: bool = False
    finished: bool = False
    # `work` may be cancelled at any time; `task` waits for it, keeps what was written, and never is.
    work: asyncio.Task[GenerationStats] | None = None
    task: asyncio.Task[None] | None = None


class ChatService:
    """Writes conversations: everything pages and routes do to them goes through here.

    Events fire on the event loop. `list_changed` when the list of conversations did; `conversation_changed` with the
    id when messages, title or options of one did.
    """

    def __init__(self, engine: Engine, store: HistoryStore, models: ModelManager, defaults: ChatOptions) -> None:
        self.defaults = defaults
        self.list_changed: Event[[]] = Event()
        self.conversation_changed: Event[[str]] = Event()
        self._engine = engine
        self._store = store
        self._models = models
        self._replies: dict[str, Reply] = {}
        self._taking_turns: set[str] = set()
        self._unsaved: dict[str, Message] = {}
        self._keeping = asyncio.Lock()
        self._started = asyncio.Event()

    async def start(self) -> None:
        """Mark what a crash left unfinished, and forget what was deleted for good. Raises HistoryError."""
        interrupted = await self._store.interrupt_unfinished()
        if interrupted:
            logger.info("%d replies were interrupted when the program ended last", interrupted)
        await self._store.purge(UNDO_TIME)
        self._started.set()

    async def started(self) -> None:
        """Wait until conversations can be read: a page may be asked for before that."""
        await self._started.wait()

    async def close(self) -> None:
        """Stop all replies and keep what was written of them as interrupted."""
        tasks = []
        for reply in list(self._replies.values()):
            if reply.work is not None and reply.task is not None:
                reply.work.cancel()
                tasks.append(reply.task)
        await asyncio.gather(*tasks)

    def new_conversation(self) -> Conversation:
        """A conversation that is kept from its first message or setting on."""
        return Conversation(options=self.defaults)

    async def conversations(self, limit: int = 50, offset: int = 0) -> list[Conversation]:
        return await self._store.conversations(limit, offset)

    async def open(self, conversation_id: str) -> Conversation | None:
        return await self._store.conversation(conversation_id)

    async def messages(self, conversation_id: str) -> tuple[list[Message], Reply | None]:
        """The branch shown, root first, and the reply if its last message is being written.

        Text and events join without a gap for whoever subscribes before the next `await`.
        """
        messages = await self._store.branch(conversation_id)
        if messages and messages[-1].state is MessageState.WRITING and conversation_id not in self._replies:
            # It ended while the branch was read: what was read is older than what is stored now.
            messages = await self._store.branch(conversation_id)
        messages = [self._unsaved.get(message.id, message) for message in messages]
        reply = self._replies.get(conversation_id)
        if reply is None or not messages or messages[-1].id != reply.message.id:
            return messages, None
        messages[-1] = reply.message
        return messages, reply if reply.message.state is MessageState.WRITING else None

    def is_writing(self, conversation_id: str) -> bool:
        return conversation_id in self._replies

    async def send(self, conversation: Conversation, text: str) -> Reply:
        """Add a message and start the reply. Raises ChatError or HistoryError; then nothing was sent."""
        if not text.strip():
            raise ChatError("The message is empty.")
        async with self._turn(conversation.id):
            stored = await self._keep(conversation)
            question = Message(stored.id, Role.USER, text.strip("\n"), parent_id=stored.head_id)
            return await self._begin_reply(stored, question.id, question)

    async def retry(self, conversation: Conversation) -> Reply:
        """Answer the last question once more; the reply it had stays in the tree. Raises ChatError or HistoryError."""
        async with self._turn(conversation.id):
            stored = await self._keep(conversation)
            messages = await self._store.branch(stored.id)
            question = next((message for message in reversed(messages) if message.role is Role.USER), None)
            if question is None:
                raise ChatError("There is no question to answer yet.")
            return await self._begin_reply(stored, question.id)

    def stop(self, conversation_id: str) -> None:
        """End the reply being written, if any; what was written stays."""
        reply = self._replies.get(conversation_id)
        if reply is None or reply.stopping:
            return
        reply.stopping = True
        if reply.submitted:
            self._engine.cancel(reply.request_id)
        elif reply.work is not None:
            reply.work.cancel()

    async def set_options(self, conversation: Conversation, options: ChatOptions) -> None:
        """Change sampling or system prompt from the next reply on."""
        await self._keep(conversation)
        await self._store.set_options(conversation.id, options)
        self.conversation_changed.emit(conversation.id)

    async def rename(self, conversation_id: str, title: str) -> None:
        await self._store.rename(conversation_id, title_of(title))
        self.list_changed.emit()
        self.conversation_changed.emit(conversation_id)

    async def delete(self, conversation_id: str) -> None:
        """Delete a conversation; `restore` brings it back for an hour."""
        self.stop(conversation_id)
        await self._store.delete(conversation_id)
        self.list_changed.emit()

    async def restore(self, conversation_id: str) -> None:
        await self._store.restore(conversation_id)
        self.list_changed.emit()

    async def _give_title(self, conversation_id: str, title: str) -> None:
        try:
            await self._store.rename(conversation_id, title)
        except HistoryError as error:
            # The message is sent by now, and better without a title than twice.
            logger.warning("the conversation got no title: %s", error)

    @asynccontextmanager
    async def _turn(self, conversation_id: str) -> AsyncIterator[None]:
        """One reply at a time in a conversation, however often somebody presses."""
        reply = self._replies.get(conversation_id)
        if reply is not None and reply.task is not None and reply.message.state is not MessageState.WRITING:
            # It is written and just being saved: whoever is so quick should not be refused.
            await asyncio.wait([reply.task])
        if conversation_id in self._replies or conversation_id in self._taking_turns:
            raise ChatError("A reply is still being written. Stop it, or wait until it is finished.")
        self._taking_turns.add(conversation_id)
        try:
            yield
        finally:
            self._taking_turns.discard(conversation_id)

    async def _keep(self, conversation: Conversation) -> Conversation:
        """What is stored of a conversation; a new one is stored now."""
        async with self._keeping:
            stored = await self._store.conversation(conversation.id)
            if stored is None:
                await self._store.add_conversation(conversation)
        for message in [m for m in self._unsaved.values() if m.conversation_id == conversation.id]:
            await self._store.update_message(message)
            del self._unsaved[message.id]
        return stored or conversation

    async def _begin_reply(self, conversation: Conversation, parent_id: str, *before: Message) -> Reply:
        """Add the reply, together with the messages `before` it, and start to write it."""
        message = Message(conversation.id, Role.ASSISTANT, "", parent_id=parent_id, state=MessageState.WRITING)
        reply = Reply(message, conversation.options)
        self._replies[conversation.id] = reply
        try:
            await self._store.add_message(*before, message)
        except BaseException:
            del self._replies[conversation.id]
            raise
        reply.work = asyncio.create_task(self._generate(reply))
        reply.task = asyncio.create_task(self._write(reply))
        if before and not conversation.title:
            await self._give_title(conversation.id, title_of(before[0].text))
        self.conversation_changed.emit(conversation.id)
        self.list_changed.emit()
        return reply

    async def _write(self, reply: Reply) -> None:
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
            message.error = "Something went wrong inside the program. The log says what; please try again."
        message.state = state
        try:
            await self._store.update_message(message)
        except HistoryError as error:
            message.error = f"The reply could not be saved: {error}"
            self._unsaved[message.id] = message
        reply.finished = True
        del self._replies[message.conversation_id]
        reply.changed.emit()
        self.conversation_changed.emit(message.conversation_id)
        self.list_changed.emit()

    async def _generate(self, reply: Reply) -> GenerationStats:
        """Run one request; the reply's text grows meanwhile, and is journalled about twice a second."""
        await self._models.ready()
        inlet = _Inlet(asyncio.get_running_loop())
        await self._submit(reply, inlet)
        if reply.stopping:
            self._engine.cancel(reply.request_id)
        try:
            return await self._receive(reply, inlet)
        except asyncio.CancelledError:
            self._engine.cancel(reply.request_id)
            raise

    async def _submit(self, reply: Reply, inlet: _Inlet) -> None:
        message = reply.message
        branch = await self._store.branch(message.conversation_id)
        message.model = self._engine.model.path.stem if self._engine.model else None
        sampling = RequestOptions.model_validate(reply.options.model_dump(include=set(SamplingOptions.model_fields)))
        turns = _turns(reply.options.system_prompt, [other for other in branch if other.id != message.id])
        request = GenerationRequest(turns, sampling, id=reply.request_id)
        submitting = asyncio.ensure_future(asyncio.to_thread(self._engine.submit, request, inlet.put))
        try:
            await asyncio.shield(submitting)
        except asyncio.CancelledError:
            # The thread cannot be stopped; what it submits must not be written for nobody.
            submitting.add_done_callback(lambda done: self._engine.cancel(request.id) if not done.exception() else None)
            raise
        reply.submitted = True

    async def _receive(self, reply: Reply, inlet: _Inlet) -> GenerationStats:
        loop = asyncio.get_running_loop()
        journalled = loop.time()
        while True:
            for event in await inlet.take():
                if isinstance(event, GenerationFailed):
                    raise EngineError(event.message)
                if isinstance(event, base.PromptBuilt):
                    reply.unseen_messages = event.n_dropped
                elif isinstance(event, base.Queued):
                    reply.place = event.place
                elif isinstance(event, base.PromptProgress):
                    reply.place, reply.prompt_read = 0, event
                else:
                    reply.place = 0
                    reply.message.text += event.text
                    if isinstance(event, GenerationDone):
                        return event.stats.model_copy(update={"unseen_messages": reply.unseen_messages})
                    reply.n_tokens += 1
            reply.tokens_per_second = inlet.tokens_per_second(reply.n_tokens)
            reply.changed.emit()
            if loop.time() - journalled > JOURNAL_SECONDS:
                journalled = loop.time()
                await self._journal(reply)

    async def _journal(self, reply: Reply) -> None:
        try:
            await self._store.update_message(reply.message)
        except HistoryError as error:
            logger.warning("the growing reply could not be journalled: %s", error)


class _Inlet:
    """Carries events from the engine's thread to the event loop, in batches at most about 20 times a second.

    Waking the loop for every token would make it compete with the engine for the interpreter's lock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._events: list[base.Event] = []
        self._arrived = asyncio.Event()
        self._taken_at = 0.0
        self._first_at = 0.0

    def put(self, event: base.Event) -> None:
        """Called on the engine's thread."""
        with self._lock:
            self._events.append(event)
            if len(self._events) > 1:
                return
        self._loop.call_soon_threadsafe(self._arrived.set)

    async def take(self) -> list[base.Event]:
        """All events since the last call, at least one; the first comes at once, later ones are gathered a while."""
        await self._arrived.wait()
        pause = self._taken_at + FLUSH_SECONDS - self._loop.time()
        if pause > 0:
            await asyncio.sleep(pause)
        with self._lock:
            events, self._events = self._events, []
            self._arrived.clear()
        self._taken_at = self._loop.time()
        self._first_at = self._first_at or self._taken_at
        return events

    def tokens_per_second(self, n_tokens: int) -> float:
        elapsed = self._taken_at - self._first_at
        return (n_tokens - 1) / elapsed if elapsed > 0 and n_tokens > 1 else 0.0


def _turns(system_prompt: str, messages: Sequence[Message]) -> list[Turn]:
    turns = [Turn(Role.SYSTEM, system_prompt.strip())] if system_prompt.strip() else []
    for message in messages:
        if turns and turns[-1].role is message.role:
            # The question before was never answered. Many templates insist on roles that alternate.
            turns[-1] = Turn(message.role, f"{turns[-1].text}\n\n{message.text}")
        elif message.text:
            turns.append(Turn(message.role, message.text))
    return turns
