"""What pages and routes do to conversations."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from nicegui import Event

from localchat_ui.access.quotas import Quotas
from localchat_ui.chat.defaults import ChatDefaults
from localchat_ui.chat.errors import STILL_WRITING, ChatError
from localchat_ui.chat.prompt import PromptView, preview
from localchat_ui.chat.reply import Reply
from localchat_ui.chat.running import RunningReplies
from localchat_ui.chat.titles import TitleWriter
from localchat_ui.chat.token_scores import ScoredToken, score_tokens
from localchat_ui.conversation import (
    FILE_NAME_LENGTH,
    Attachment,
    ChatOptions,
    Conversation,
    Message,
    MessageState,
    RequestOptions,
    Role,
    Version,
    title_of,
)
from localchat_ui.engine.base import GenerationRequest, NoModelError, Turn
from localchat_ui.exchange import ImportReport, documents, export_file, import_file
from localchat_ui.history.search import SearchHit
from localchat_ui.history.store import HistoryStore
from localchat_ui.history.trash import Deleted
from localchat_ui.inference import Inference, ModelRef, ModelRegistry, Phase
from localchat_ui.library.model_file import displayable
from localchat_ui.text import Text

logger = logging.getLogger(__name__)


class ChatService:
    """Writes conversations, which are trees: an edit or another answer is a new branch, and no branch is ever lost.

    Methods raise ChatError or HistoryError with words for people; then nothing was changed. Events fire on the event
    loop: `list_changed` when the list of conversations did; `conversation_changed` with the id when messages, title or
    options of one did.
    """

    def __init__(
        self,
        inference: Inference,
        store: HistoryStore,
        models: ModelRegistry,
        defaults: ChatDefaults,
        quotas: Quotas | None = None,
        *,
        titles: TitleWriter | None = None,
    ) -> None:
        """Without `quotas` nobody is limited; without `titles` those stay that the first message gives."""
        self.defaults = defaults
        self.list_changed: Event[[]] = Event()
        self.conversation_changed: Event[[str]] = Event()
        self._inference = inference
        self._store = store
        self._models = models
        self.titles = titles
        self._replies = RunningReplies(
            inference, store, models, quotas, on_change=self._tell_both, on_complete=self._on_complete
        )
        if titles is not None:
            titles.is_busy = lambda: self._replies.any
            titles.on_title = self._tell_both

    async def start(self) -> None:
        """Mark what a crash left unfinished. Raises HistoryError."""
        interrupted = await self._store.interrupt_unfinished()
        if interrupted:
            logger.info("%d replies were interrupted when the program ended last", interrupted)

    async def close(self) -> None:
        """Stop all replies and keep what was written of them as interrupted."""
        if self.titles is not None:
            await self.titles.close()
        await self._replies.close()

    # Reading

    def new_conversation(self, model: ModelRef | None = None) -> Conversation:
        """A conversation with this model or the one in use, that is kept from its first message or setting on."""
        return Conversation(options=self.defaults.of(model) if model else self.defaults.current)

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
        reply = self._writing(conversation_id)
        if reply is None and any(message.state is MessageState.WRITING for message in messages):
            # It ended while the branch was read: what was read is older than what is stored now.
            messages = await self._store.branch(conversation_id, limit)
            reply = self._writing(conversation_id)
        return messages, reply if reply is not None and reply.message in messages else None

    def _writing(self, conversation_id: str) -> Reply | None:
        """The reply that is written there; one that is just being saved is none."""
        reply = self._replies.get(conversation_id)
        return reply if reply is not None and reply.message.state is MessageState.WRITING else None

    async def earlier(self, conversation_id: str, before: str, limit: int) -> list[Message]:
        """At most so many messages of the branch shown that stand above this one, root first."""
        return await self._store.branch(conversation_id, limit, before)

    async def versions(self, messages: Sequence[Message]) -> dict[str, Version]:
        """Which of its versions each of these messages is, by id."""
        return await self._store.versions(messages)

    async def preview(self, conversation: Conversation) -> PromptView:
        """What the model in use would read if the branch shown were answered now. Raises EngineError."""
        messages, _ = await self.messages(conversation.id)
        model = await self._models.ready()
        return await preview(self._inference, model, conversation.options, messages, self._models.context_length)

    async def read_file(self, name: str, data: bytes) -> Attachment:
        """A file as it can be sent with a message. Raises ChatError, or EngineError when it is too long for the model.

        Without a model nobody counts its tokens.
        """
        shown = " ".join(displayable(name).split())[-FILE_NAME_LENGTH:] or "file"
        try:
            text = await asyncio.to_thread(documents.text_of, data)
        except documents.UnreadableError as error:
            raise ChatError(Text("{file} {what}", file=shown, what=str(error))) from None
        file = Attachment(name=shown, size=len(data), text=text)
        is_loading = self._models.status.phase in (Phase.STARTING, Phase.LOADING)
        if self._models.current is None and not is_loading:
            return file  # a download may take an hour
        with_file, without = (
            GenerationRequest([Turn(Role.USER, text)]) for text in (f".\n\n{file.name}:\n{file.block}", ".")
        )
        try:
            model = await self._models.ready()
            n_tokens = (await self._inference.preview(model, with_file)).n_tokens
            n_tokens -= (await self._inference.preview(model, without)).n_tokens
        except NoModelError:
            return file
        return file.model_copy(update={"n_tokens": max(n_tokens, 0)})

    def is_writing(self, conversation_id: str) -> bool:
        return self._replies.get(conversation_id) is not None

    # Talking

    async def send(
        self,
        conversation: Conversation,
        text: str,
        *,
        attachments: Sequence[Attachment] = (),
        queue: bool = False,
        model: ModelRef | None = None,
        options: ChatOptions | None = None,
        sampling: RequestOptions | None = None,
    ) -> Reply | None:
        """Add a message and start the reply, with this `model` instead of the one in use.

        The conversation has these `options` from then on; `sampling` is for this one reply. While another reply is
        written that is an error; with `queue` the message is kept and answered after it, as the conversation says then.
        """
        if not text.strip() and not attachments:
            raise ChatError(Text("The message is empty."))
        question = Message(conversation.id, Role.USER, text.strip("\n"), attachments=tuple(attachments))
        async with self._replies.lock(conversation.id):
            writing = self._replies.get(conversation.id) is not None
            if writing and not queue:
                raise ChatError(STILL_WRITING)
            stored = await self._store.conversation(conversation.id) or conversation
            question.parent_id = stored.head_id
            if not writing:
                return await self._replies.ask(stored, question, model=model, options=options, sampling=sampling)
            await self._replies.ensure_stored(stored)
            question.state = MessageState.QUEUED
            await self._store.add_message(question)
        self.conversation_changed.emit(conversation.id)
        return None

    async def take_back(self, conversation: Conversation, message_id: str) -> None:
        """Delete a message that still waits for the reply before it; those behind it go on waiting."""
        async with self._replies.lock(conversation.id):
            message = await self._store.message(message_id)
            if message is None or message.state is not MessageState.QUEUED:
                raise ChatError(Text("This message was already sent."))
            await self._store.remove_message(message_id)
        self.conversation_changed.emit(conversation.id)

    async def retry(self, conversation: Conversation, model: ModelRef | None = None) -> Reply:
        """Answer the last question once more, with this `model` instead of the one in use.

        The reply it had stays in the tree.
        """
        async with self._replies.lock_idle(conversation.id):
            stored = await self._replies.ensure_stored(conversation)
            messages = await self._store.branch(stored.id)
            question = next((message for message in reversed(messages) if message.role is Role.USER), None)
            if question is None:
                raise ChatError(Text("There is no question to answer yet."))
            return await self._replies.answer(stored, messages, question, model)

    async def regenerate(self, conversation: Conversation, message_id: str) -> Reply:
        """Answer once more the question that this reply answered, or this question; other versions stay in the tree."""
        async with self._replies.lock_idle(conversation.id):
            stored, messages, index = await self._find(conversation, message_id)
            if messages[index].role is Role.ASSISTANT:
                index -= 1
            if index < 0:
                raise ChatError(Text("There is no question above this message."))
            return await self._replies.answer(stored, messages, messages[index])

    async def edit_question(self, conversation: Conversation, message_id: str, text: str) -> Reply:
        """Ask differently, about the same files, in a branch of its own."""
        async with self._replies.lock_idle(conversation.id):
            stored, messages, index = await self._find(conversation, message_id)
            before = messages[index]
            if not text.strip() and not before.attachments:
                raise ChatError(Text("The message is empty."))
            question = Message(stored.id, Role.USER, text.strip("\n"), before.parent_id, attachments=before.attachments)
            return await self._replies.ask(stored, question)

    async def edit_answer(self, conversation: Conversation, message_id: str, text: str) -> None:
        """Put other words into the model's mouth, or into the system's, in a branch of its own."""
        async with self._replies.lock_idle(conversation.id):
            stored, messages, index = await self._find(conversation, message_id)
            before = messages[index]
            edited = Message(stored.id, before.role, text, parent_id=before.parent_id, model=before.model)
            await self._store.add_message(edited)
        self.conversation_changed.emit(stored.id)

    async def token_scores(self, conversation: Conversation, message_id: str) -> list[ScoredToken]:
        """How likely each token of this reply is to the model that wrote it, which has to be the one in use."""
        _, messages, index = await self._find(conversation, message_id)
        message, model = messages[index], await self._models.ready()
        if message.model and message.model != model.id:
            raise ChatError(Text("Choose {model} first: it wrote this reply.", model=message.model))
        return await score_tokens(self._inference, model, conversation.options, messages[:index], message)

    async def branch_reply(self, conversation: Conversation, message_id: str, opening: str) -> Reply:
        """Go on with other words from somewhere in a reply, in a branch of its own."""
        async with self._replies.lock_idle(conversation.id):
            stored, messages, index = await self._find(conversation, message_id)
            before = messages[index]
            begun = Message(
                stored.id,
                Role.ASSISTANT,
                opening,
                parent_id=before.parent_id,
                model=before.model,
                thinking=before.thinking,
            )
            await self._store.add_message(begun)
            return await self._replies.continue_reply(stored, begun)

    async def continue_reply(self, conversation: Conversation, model: ModelRef | None = None) -> Reply:
        """Go on with the last reply where it ended, with this `model` instead of the one in use."""
        async with self._replies.lock_idle(conversation.id):
            stored = await self._replies.ensure_stored(conversation)
            messages = await self._store.branch(stored.id)
            if not messages or messages[-1].role is not Role.ASSISTANT:
                raise ChatError(Text("There is no reply to continue."))
            return await self._replies.continue_reply(stored, messages[-1], model)

    def stop(self, conversation_id: str) -> None:
        """End the reply being written, if any; what was written stays."""
        self._replies.stop(conversation_id)

    # The tree

    async def select_version(self, conversation: Conversation, message_id: str) -> None:
        """Show the branch through this version, down to where it was last."""
        async with self._replies.lock_idle(conversation.id):
            await self._store.select_version(conversation.id, message_id)
        self.conversation_changed.emit(conversation.id)

    async def delete_message(self, conversation: Conversation, message_id: str) -> None:
        """Move a message and what follows it to the trash."""
        async with self._replies.lock_idle(conversation.id):
            await self._store.delete_message(message_id)
        self._tell_both(conversation.id)

    async def restore_message(self, conversation: Conversation, message_id: str) -> None:
        async with self._replies.lock_idle(conversation.id):
            await self._store.restore_message(message_id)
        self._tell_both(conversation.id)

    async def fork(self, conversation_id: str, message_id: str) -> Conversation:
        """A new conversation that begins with a copy of this one up to that message."""
        forked = await self._store.fork(conversation_id, message_id)
        self.list_changed.emit()
        return forked

    # Conversations

    async def set_options(self, conversation: Conversation, options: ChatOptions) -> None:
        """Change the system prompt from the next reply on, and sampling from the next token on."""
        async with self._replies.lock(conversation.id):
            await self._replies.ensure_stored(conversation)
            await self._store.set_options(conversation.id, options)
        self._replies.change_options(conversation.id, options)
        self.conversation_changed.emit(conversation.id)

    async def rename(self, conversation_id: str, title: str) -> None:
        await self._store.rename(conversation_id, title_of(title))
        self.list_changed.emit()
        self.conversation_changed.emit(conversation_id)

    async def set_pinned(self, conversation_id: str, pinned: bool) -> None:
        await self._store.set_pinned(conversation_id, pinned)
        self.list_changed.emit()

    async def delete(self, conversation_id: str) -> None:
        """Move a conversation to the trash and end its reply."""
        await self._store.delete(conversation_id)
        self.stop(conversation_id)
        self._tell_both(conversation_id)

    async def restore(self, conversation_id: str) -> None:
        await self._store.restore(conversation_id)
        self._tell_both(conversation_id)

    async def deleted(self) -> list[Deleted]:
        """What is in the trash, the last deleted first."""
        return await self._store.deleted()

    async def empty_trash(self) -> None:
        await self._store.empty_trash()

    async def export(self, extension: str, conversation_id: str | None = None) -> tuple[str, str]:
        """Name and text of a file, "md" or "json", with one conversation or all."""
        return await export_file(self._store, extension, conversation_id)

    async def import_file(self, data: bytes) -> ImportReport:
        """Add the conversations of a file; raises ImportRefusedError when there are none in it."""
        try:
            return await import_file(self._store, data)
        finally:
            self.list_changed.emit()

    async def _find(self, conversation: Conversation, message_id: str) -> tuple[Conversation, list[Message], int]:
        """What is stored of a conversation, its branch, and where in it that message is."""
        stored = await self._replies.ensure_stored(conversation)
        messages = await self._store.branch(stored.id)
        index = next((index for index, message in enumerate(messages) if message.id == message_id), None)
        if index is None:
            raise ChatError(Text("This message is no longer shown; it may have been changed in another tab."))
        return stored, messages, index

    def _on_complete(self, reply: Reply) -> None:
        if self.titles is not None and reply.model is not None:
            self.titles.want(reply.message.conversation_id, reply.model)

    def _tell_both(self, conversation_id: str) -> None:
        """Whoever looks at the conversation, and whoever looks at the list."""
        self.conversation_changed.emit(conversation_id)
        self.list_changed.emit()
