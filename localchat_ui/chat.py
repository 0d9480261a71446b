"""Conversations in motion: what pages and routes do to them all goes through here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from nicegui import Event

from localchat_ui.access import acting_as, current_visitor
from localchat_ui.access.quotas import Claim, Quotas
from localchat_ui.access.refusal import Refusal
from localchat_ui.conversation import (
    ChatOptions,
    Conversation,
    GenerationStats,
    Message,
    MessageState,
    Preset,
    RequestOptions,
    Role,
    Version,
    title_of,
)
from localchat_ui.engine.base import Engine, EngineError, GenerationRequest, Turn
from localchat_ui.exchange import transfer
from localchat_ui.exchange.transfer import ImportReport
from localchat_ui.history.errors import HistoryError, UnknownMessageError
from localchat_ui.history.search import SearchHit
from localchat_ui.history.store import HistoryStore
from localchat_ui.model_manager import ModelManager
from localchat_ui.reply import Reply, ReplyWriter, n_unseen, request_for

logger = logging.getLogger(__name__)

UNDO_TIME = timedelta(hours=1)
DEFAULTS = "chat.defaults"
MAX_WAITING = 256


class ChatError(Exception):
    """Something the person at the page should read; nothing was changed."""


class RefusedError(ChatError):
    """Whoever asks has as much under way as one may have, or the engine has; nothing was changed."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@dataclass(frozen=True)
class PromptView:
    """What the model would read for the next reply, of `n_ctx` tokens that it can.

    `message_tokens` is by id; the first `n_unseen` messages are not read.
    """

    text: str
    n_tokens: int
    n_ctx: int
    system_tokens: int
    message_tokens: dict[str, int]
    n_unseen: int


class ChatService:
    """Writes conversations, which are trees: an edit or another answer is a new branch, and no branch is ever lost.

    Methods raise ChatError or HistoryError with words for people; then nothing was changed. Events fire on the event
    loop: `list_changed` when the list of conversations did; `conversation_changed` with the id when messages, title or
    options of one did.
    """

    def __init__(
        self,
        engine: Engine,
        store: HistoryStore,
        models: ModelManager,
        defaults: ChatOptions,
        quotas: Quotas | None = None,
    ) -> None:
        """Without `quotas` nobody is limited."""
        self.configured = defaults
        self._quotas = quotas
        self._defaults: dict[str | None, ChatOptions] = {}
        self.list_changed: Event[[]] = Event()
        self.conversation_changed: Event[[str]] = Event()
        self._engine = engine
        self._store = store
        self._models = models
        self._writer = ReplyWriter(engine, store)
        self._replies: dict[str, Reply] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unsaved: dict[str, Message] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = asyncio.Event()
        self._closing = False

    async def start(self) -> None:
        """Mark what a crash left unfinished, and forget what was deleted for good. Raises HistoryError."""
        interrupted = await self._store.interrupt_unfinished()
        if interrupted:
            logger.info("%d replies were interrupted when the program ended last", interrupted)
        await self._store.purge(UNDO_TIME)
        self._started.set()

    async def started(self) -> None:
        """Wait until conversations can be read and made: a page may be asked for before that."""
        await self._started.wait()
        if self._store.owner not in self._defaults:
            own = await self._store.preference(self._defaults_key(), {})
            self._defaults[self._store.owner] = self.configured.model_copy(update=own)

    @property
    def defaults(self) -> ChatOptions:
        """What a new conversation starts with."""
        return self._defaults.get(self._store.owner, self.configured)

    async def close(self) -> None:
        """Stop all replies and keep what was written of them as interrupted."""
        self._closing = True
        tasks = list(self._tasks)
        for reply in list(self._replies.values()):
            if reply.work is not None and reply.task is not None:
                reply.work.cancel()
                tasks.append(reply.task)
        await asyncio.gather(*tasks, return_exceptions=True)

    # Reading

    def new_conversation(self) -> Conversation:
        """A conversation that is kept from its first message or setting on."""
        return Conversation(options=self.defaults)

    async def conversations(self, limit: int = 50, offset: int = 0) -> list[Conversation]:
        """Pinned ones first, then the newest."""
        return await self._store.conversations(limit, offset)

    async def search(self, query: str, limit: int = 20, offset: int = 0) -> list[SearchHit]:
        """Titles and messages in which the words of the query occur."""
        return await self._store.search(query, limit, offset)

    async def open(self, conversation_id: str) -> Conversation | None:
        return await self._store.conversation(conversation_id)

    async def messages(self, conversation_id: str, limit: int | None = None) -> tuple[list[Message], Reply | None]:
        """The branch shown, root first, or its last so many messages; and the reply if one of them is being written.

        Text and events join without a gap for whoever subscribes before the next `await`.
        """
        messages = await self._store.branch(conversation_id, limit)
        if any(m.state is MessageState.WRITING for m in messages) and conversation_id not in self._replies:
            # It ended while the branch was read: what was read is older than what is stored now.
            messages = await self._store.branch(conversation_id, limit)
        reply = self._replies.get(conversation_id)
        growing = {reply.message.id: reply.message} if reply else {}
        messages = [growing.get(message.id) or self._unsaved.get(message.id, message) for message in messages]
        if reply is None or reply.message not in messages or reply.message.state is not MessageState.WRITING:
            return messages, None
        return messages, reply

    async def earlier(self, conversation_id: str, before: str, limit: int) -> list[Message]:
        """At most so many messages of the branch shown that stand above this one, root first."""
        return await self._store.branch(conversation_id, limit, before)

    async def versions(self, messages: Sequence[Message]) -> dict[str, Version]:
        """Which of its versions each of these messages is, by id."""
        return await self._store.versions(messages)

    async def preview(self, conversation: Conversation) -> PromptView:
        """What the model in use would read if the branch shown were answered now. Raises EngineError."""
        messages, _ = await self.messages(conversation.id)
        request, owners = request_for(conversation.options, messages)
        built = await asyncio.to_thread(self._engine.preview, request)
        n_system = len(request.turns) - len(owners)
        tokens = built.turn_tokens[n_system:]
        by_id: dict[str, int] = {}
        rest = iter(messages)
        for n_messages, n_tokens in zip(owners, tokens, strict=True):
            for index in range(n_messages):
                by_id[next(rest).id] = n_tokens if index == 0 else 0
        return PromptView(
            built.text,
            built.n_tokens,
            self._models.context_length,
            sum(built.turn_tokens[:n_system]),
            by_id,
            n_unseen(owners, built.n_dropped),
        )

    async def count_tokens(self, text: str) -> int:
        """Tokens that a text would add to a message. Raises EngineError, also when it could not be sent at all."""
        request = GenerationRequest([Turn(Role.USER, text)])
        return (await asyncio.to_thread(self._engine.preview, request)).turn_tokens[-1]

    def is_writing(self, conversation_id: str) -> bool:
        return conversation_id in self._replies

    # Talking

    async def send(
        self,
        conversation: Conversation,
        text: str,
        *,
        queue: bool = False,
        model: Path | None = None,
        options: ChatOptions | None = None,
        sampling: RequestOptions | None = None,
    ) -> Reply | None:
        """Add a message and start the reply, with this `model` instead of the one in use.

        The conversation has these `options` from then on; `sampling` is for this one reply. While another reply is
        written that is an error; with `queue` the message is kept and answered after it, as the conversation says then.
        """
        if not text.strip():
            raise ChatError("The message is empty.")
        question = Message(conversation.id, Role.USER, text.strip("\n"))
        async with self._alone(conversation.id):
            writing = conversation.id in self._replies
            if writing and not queue:
                raise ChatError(STILL_WRITING)
            stored = await self._store.conversation(conversation.id) or conversation
            question.parent_id = stored.head_id
            if not writing:
                reply = self._reply_to(question)
                return await self._begin(stored, reply, question, model=model, options=options, sampling=sampling)
            await self._keep(stored)
            question.state = MessageState.QUEUED
            await self._store.add_message(question)
        self.conversation_changed.emit(conversation.id)
        return None

    async def take_back(self, conversation: Conversation, message_id: str) -> None:
        """Delete a message that still waits for the reply before it, and those that wait behind it."""
        async with self._alone(conversation.id):
            message = await self._store.message(message_id)
            if message is None or message.state is not MessageState.QUEUED:
                raise ChatError("This message has been sent by now.")
            await self._store.delete_message(message_id)
        self.conversation_changed.emit(conversation.id)

    async def retry(self, conversation: Conversation) -> Reply:
        """Answer the last question once more; the reply it had stays in the tree."""
        async with self._changing(conversation.id):
            stored = await self._keep(conversation)
            messages = await self._store.branch(stored.id)
            question = next((message for message in reversed(messages) if message.role is Role.USER), None)
            if question is None:
                raise ChatError("There is no question to answer yet.")
            return await self._answer(stored, messages, question)

    async def regenerate(self, conversation: Conversation, message_id: str) -> Reply:
        """Answer once more the question that this reply answered, or this question; other versions stay in the tree."""
        async with self._changing(conversation.id):
            stored, messages, index = await self._find(conversation, message_id)
            if messages[index].role is Role.ASSISTANT:
                index -= 1
            if index < 0:
                raise ChatError("There is no question above this message.")
            return await self._answer(stored, messages, messages[index])

    async def edit_question(self, conversation: Conversation, message_id: str, text: str) -> Reply:
        """Ask differently, in a branch of its own."""
        if not text.strip():
            raise ChatError("The message is empty.")
        async with self._changing(conversation.id):
            stored, messages, index = await self._find(conversation, message_id)
            question = Message(stored.id, Role.USER, text.strip("\n"), parent_id=messages[index].parent_id)
            return await self._begin(stored, self._reply_to(question), question)

    async def edit_answer(self, conversation: Conversation, message_id: str, text: str) -> None:
        """Put other words into the model's mouth, in a branch of its own."""
        async with self._changing(conversation.id):
            stored, messages, index = await self._find(conversation, message_id)
            before = messages[index]
            edited = Message(stored.id, Role.ASSISTANT, text, parent_id=before.parent_id, model=before.model)
            await self._store.add_message(edited)
        self.conversation_changed.emit(stored.id)

    async def continue_reply(self, conversation: Conversation) -> Reply:
        """Go on with the last reply where it ended."""
        async with self._changing(conversation.id):
            stored = await self._keep(conversation)
            messages = await self._store.branch(stored.id)
            if not messages or messages[-1].role is not Role.ASSISTANT:
                raise ChatError("There is no reply to go on with.")
            return await self._begin(stored, messages[-1])

    def stop(self, conversation_id: str) -> None:
        """End the reply being written, if any; what was written stays."""
        reply = self._replies.get(conversation_id)
        if reply is None or reply.stopping:
            return
        reply.stopping = True
        if reply.submitted:
            self._writer.stop(reply)
        elif reply.work is not None:
            reply.work.cancel()

    # The tree

    async def select_version(self, conversation: Conversation, message_id: str) -> None:
        """Show the branch through this version, down to where it was last."""
        async with self._changing(conversation.id):
            await self._store.select_version(conversation.id, message_id)
        self.conversation_changed.emit(conversation.id)

    async def delete_message(self, conversation: Conversation, message_id: str) -> None:
        """Hide a message and what follows it; `restore_message` brings it back for an hour."""
        async with self._changing(conversation.id):
            await self._store.delete_message(message_id)
        self.conversation_changed.emit(conversation.id)
        self.list_changed.emit()

    async def restore_message(self, conversation: Conversation, message_id: str) -> None:
        async with self._changing(conversation.id):
            await self._store.restore_message(message_id)
        self.conversation_changed.emit(conversation.id)
        self.list_changed.emit()

    async def fork(self, conversation_id: str, message_id: str) -> Conversation:
        """A new conversation that begins with a copy of this one up to that message."""
        forked = await self._store.fork(conversation_id, message_id)
        self.list_changed.emit()
        return forked

    # Conversations

    async def set_options(self, conversation: Conversation, options: ChatOptions) -> None:
        """Change sampling or system prompt from the next reply on."""
        async with self._alone(conversation.id):
            await self._keep(conversation)
            await self._store.set_options(conversation.id, options)
        self.conversation_changed.emit(conversation.id)

    async def set_defaults(self, options: ChatOptions | None) -> None:
        """What new conversations start with from now on; None is what the settings say."""
        own = options.model_dump(mode="json") if options else None
        await self._store.set_preference(self._defaults_key(), own)
        self._defaults[self._store.owner] = options or self.configured

    def _defaults_key(self) -> str:
        return f"{DEFAULTS}.{self._store.owner}" if self._store.owner else DEFAULTS

    async def rename(self, conversation_id: str, title: str) -> None:
        await self._store.rename(conversation_id, title_of(title))
        self.list_changed.emit()
        self.conversation_changed.emit(conversation_id)

    async def set_pinned(self, conversation_id: str, pinned: bool) -> None:
        await self._store.set_pinned(conversation_id, pinned)
        self.list_changed.emit()

    async def delete(self, conversation_id: str) -> None:
        """Delete a conversation; `restore` brings it back for an hour."""
        self.stop(conversation_id)
        await self._store.delete(conversation_id)
        self.conversation_changed.emit(conversation_id)
        self.list_changed.emit()

    async def restore(self, conversation_id: str) -> None:
        await self._store.restore(conversation_id)
        self.conversation_changed.emit(conversation_id)
        self.list_changed.emit()

    async def export(self, extension: str, conversation_id: str | None = None) -> tuple[str, str]:
        """Name and text of a file, "md" or "json", with one conversation or all."""
        conversation = await self._store.conversation(conversation_id) if conversation_id else None
        write = transfer.export_json if extension == "json" else transfer.export_markdown
        text = await write(self._store, conversation_id)
        return transfer.file_name(conversation, extension), text

    async def import_file(self, data: bytes) -> ImportReport:
        """Add the conversations of a file; raises ImportRefusedError when there are none in it."""
        try:
            return await transfer.import_file(self._store, data)
        finally:
            self.list_changed.emit()

    async def presets(self) -> list[Preset]:
        """System prompts with names, by name."""
        return await self._store.presets()

    async def save_preset(self, name: str, text: str) -> None:
        await self._store.save_preset(name, text)

    async def delete_preset(self, name: str) -> None:
        await self._store.delete_preset(name)

    # How a reply is written

    async def _answer(self, conversation: Conversation, branch: Sequence[Message], question: Message) -> Reply:
        """Answer a question of the branch; what waited to be sent counts as sent now."""
        waiting = [message for message in branch if message.state is MessageState.QUEUED]
        return await self._begin(conversation, self._reply_to(question), waiting=waiting)

    def _reply_to(self, question: Message) -> Message:
        return Message(question.conversation_id, Role.ASSISTANT, "", parent_id=question.id)

    async def _begin(
        self,
        conversation: Conversation,
        message: Message,
        *before: Message,
        waiting: Sequence[Message] = (),
        model: Path | None = None,
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
            await self._keep(conversation)
            for each in waiting:
                await self._store.update_message(replace(each, state=MessageState.COMPLETE))
            if goes_on:
                await self._store.update_message(message)
            else:
                await self._store.add_message(*before, message, options=options)
        except BaseException:
            message.state = state_before
            del self._replies[conversation.id]
            if claim:
                claim.release()
            raise
        # Nobody's page or request says in these tasks for whom they work.
        with acting_as(current_visitor()):
            reply.work = asyncio.create_task(self._generate(reply))
            reply.task = asyncio.create_task(self._write(reply, claim))
        if before and not conversation.title:
            await self._give_title(conversation.id, title_of(before[0].text))
        self.conversation_changed.emit(conversation.id)
        self.list_changed.emit()
        return reply

    async def _claim(self) -> Claim | None:
        """The right to one more reply, for whoever asks; None where nobody is limited. Raises RefusedError."""
        try:
            if self._engine.figures.waiting >= MAX_WAITING:
                raise Refusal(429, "queue_full", "Too many requests are waiting. Try again soon.", {"Retry-After": "5"})
            visitor = current_visitor()
            if self._quotas is None or visitor is None:
                return None
            claim = await self._quotas.claim(visitor)
            claim.take()
            return claim
        except Refusal as refusal:
            raise RefusedError(refusal) from None

    async def _generate(self, reply: Reply) -> GenerationStats:
        if reply.model is None:
            await self._models.ready()
        return await self._writer.write(reply)

    async def _write(self, reply: Reply, claim: Claim | None) -> None:
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
        except UnknownMessageError:
            logger.info("a reply ended because its conversation was erased")
        except HistoryError as error:
            message.error = f"The reply could not be saved: {error}"
            self._unsaved[message.id] = message
        reply.finished = True
        del self._replies[message.conversation_id]
        if claim:
            claim.release()
        reply.changed.emit()
        self.conversation_changed.emit(message.conversation_id)
        self.list_changed.emit()
        if state in (MessageState.COMPLETE, MessageState.STOPPED):
            self._start(self._answer_queued(message.conversation_id))

    async def _answer_queued(self, conversation_id: str) -> None:
        """Answer what was sent while the reply before was written."""
        async with self._alone(conversation_id):
            conversation = await self._store.conversation(conversation_id)
            if conversation is None or conversation_id in self._replies or self._closing:
                return
            messages = await self._store.branch(conversation_id)
            if not messages or messages[-1].state is not MessageState.QUEUED:
                return
            try:
                await self._answer(conversation, messages, messages[-1])
                return
            except RefusedError as refused:
                # Nobody waits for an answer who could be told; the place of the reply says it, and has a Retry.
                for message in messages:
                    if message.state is MessageState.QUEUED:
                        await self._store.update_message(replace(message, state=MessageState.COMPLETE))
                unanswered = replace(self._reply_to(messages[-1]), state=MessageState.FAILED, error=str(refused))
                await self._store.add_message(unanswered)
        self.conversation_changed.emit(conversation_id)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._closing:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a queued message could not be answered", exc_info=task.exception())

    async def _give_title(self, conversation_id: str, title: str) -> None:
        try:
            await self._store.rename(conversation_id, title)
        except HistoryError as error:
            # The message is sent by now, and better without a title than twice.
            logger.warning("the conversation got no title: %s", error)

    @asynccontextmanager
    async def _alone(self, conversation_id: str) -> AsyncIterator[None]:
        """One change at a time in a conversation, however often somebody presses."""
        lock = self._locks.setdefault(conversation_id, asyncio.Lock())
        async with lock:
            reply = self._replies.get(conversation_id)
            if reply is not None and reply.task is not None and reply.message.state is not MessageState.WRITING:
                # It is written and just being saved: whoever is so quick should not be refused.
                await asyncio.wait([reply.task])
            yield

    @asynccontextmanager
    async def _changing(self, conversation_id: str) -> AsyncIterator[None]:
        """A change that cannot be made while a reply is written."""
        if conversation_id in self._replies and self._replies[conversation_id].message.state is MessageState.WRITING:
            raise ChatError(STILL_WRITING)
        async with self._alone(conversation_id):
            if conversation_id in self._replies:
                raise ChatError(STILL_WRITING)
            yield

    async def _find(self, conversation: Conversation, message_id: str) -> tuple[Conversation, list[Message], int]:
        """What is stored of a conversation, its branch, and where in it that message is."""
        stored = await self._keep(conversation)
        messages = await self._store.branch(stored.id)
        index = next((index for index, message in enumerate(messages) if message.id == message_id), None)
        if index is None:
            raise ChatError("This message is no longer shown; it may have been changed in another tab.")
        return stored, messages, index

    async def _keep(self, conversation: Conversation) -> Conversation:
        """What is stored of a conversation; a new one is stored now."""
        stored = await self._store.conversation(conversation.id)
        if stored is None:
            await self._store.add_conversation(conversation)
        for message in [m for m in self._unsaved.values() if m.conversation_id == conversation.id]:
            await self._store.update_message(message)
            del self._unsaved[message.id]
        return stored or conversation


STILL_WRITING = "A reply is still being written. Stop it, or wait until it is finished."
