"""One prompt to several models: which of them write at once and which wait, who won, and what is kept of it."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from nicegui import Event

from localchat_ui.access import current_owner
from localchat_ui.access.quotas import Quotas
from localchat_ui.chat.comparison_runs import ComparisonRuns
from localchat_ui.chat.errors import STILL_WRITING, ChatError
from localchat_ui.chat.service import ChatService
from localchat_ui.comparison import MAX_COLUMNS, MIN_COLUMNS, Choice, Column, Comparison, Contestant, Vote, differences
from localchat_ui.conversation import (
    Attachment,
    ChatOptions,
    Conversation,
    Message,
    MessageState,
    Role,
    new_id,
    title_of,
)
from localchat_ui.history.comparisons import ComparisonStore
from localchat_ui.history.preferences import Preferences
from localchat_ui.history.rows import options_of
from localchat_ui.history.store import HistoryStore
from localchat_ui.inference import ModelRef, ModelRegistry
from localchat_ui.inference.local import LocalBackend
from localchat_ui.text import Text

logger = logging.getLogger(__name__)

KEY = "compare.columns"
WARM = 0.7


class ComparisonService:
    """Methods raise ChatError or HistoryError with words for people. `changed` fires with the id of a comparison when
    a column began, waits for something else, or ended, and when somebody voted."""

    def __init__(
        self,
        chat: ChatService,
        store: HistoryStore,
        models: ModelRegistry,
        local: LocalBackend,
        preferences: Preferences,
        *,
        quotas: Quotas | None = None,
    ) -> None:
        """Without `quotas` nobody is limited."""
        self.chat = chat
        self.comparisons = ComparisonStore(store.database)
        self.changed: Event[[str]] = Event()
        self._store = store
        self._models = models
        self._local = local
        self._preferences = preferences
        self.runs = ComparisonRuns(chat, store, models, local, quotas, on_change=self.changed.emit)

    async def new(self) -> Comparison:
        """With the columns that whoever asks has set up last, as far as their models are here."""
        stored = await self._preferences.get(_key(), [])
        columns = [
            Column(str(model), Conversation(options=options_of(options)))
            for model, options in (stored if isinstance(stored, list) else [])
            if self._models.find(str(model))
        ]
        return Comparison(columns[:MAX_COLUMNS] if len(columns) >= MIN_COLUMNS else self._first_columns())

    async def remember(self, columns: Sequence[Column]) -> None:
        """For the next comparison."""
        told = [[column.model, column.options.model_dump(mode="json")] for column in columns]
        await self._preferences.set(_key(), told)

    def _first_columns(self) -> list[Column]:
        """The model in use and another one, or itself with another temperature."""
        usable, current = self._usable, self._first_model
        first = Column(current.id if current else "", self.chat.new_conversation())
        other = next((model for model in usable if not model.is_same(current)), None)
        return [first, Column(other.id, self.chat.new_conversation()) if other else other_settings(first)]

    @property
    def _usable(self) -> list[ModelRef]:
        return [model for model in self._models.models if model.refusal is None and model.kind.can_chat]

    @property
    def _first_model(self) -> ModelRef | None:
        return self._models.current or next(iter(self._usable), None)

    async def ask(self, comparison: Comparison, text: str, attachments: Sequence[Attachment] = ()) -> None:
        """Send a prompt to all columns; a blind comparison is shuffled with its first one."""
        if not text.strip() and not attachments:
            raise ChatError(Text("The message is empty."))
        await self._require_kept(comparison)
        for column in comparison.columns:
            if not column.model and self._first_model:
                # The page was opened before any model was found.
                column.model = self._first_model.id
            self._require(column)
        if comparison.blind and not comparison.title and _are_alike(comparison):
            raise ChatError(Text("Both columns are the same. Choose another model or other settings."))
        run, title = self.runs.begin(comparison), comparison.title
        try:
            if not title:
                if comparison.blind:
                    random.shuffle(comparison.columns)
                comparison.title = title_of("\n".join([text, *(file.name for file in attachments)]))
                for column in comparison.columns:
                    column.conversation.title = title_of(f"{comparison.title} · {self.name_of(column)}")
            await self.comparisons.save(comparison)
            for column in comparison.columns:
                await self._add_question(column, text.strip("\n"), tuple(attachments))
        except BaseException:
            comparison.title = title
            self.runs.give_up(comparison)
            raise
        self.runs.start(comparison, run, comparison.columns)

    async def _add_question(self, column: Column, text: str, attachments: tuple[Attachment, ...]) -> None:
        conversation_id, last = column.conversation.id, await self._last(column)
        if last is not None and last.role is Role.USER:
            # It was stopped before it began. Every prompt has a reply, so that the columns stay side by side.
            last = Message(conversation_id, Role.ASSISTANT, "", last.id, MessageState.STOPPED)
            await self._store.add_message(last)
        question = Message(conversation_id, Role.USER, text, last.id if last else None, attachments=attachments)
        await self._store.add_message(question)

    async def retry(self, comparison: Comparison, column: Column, *, goes_on: bool = False) -> None:
        """Answer the last prompt once more in one column, or go on with its last reply."""
        await self._require_kept(comparison)
        self._require(column)
        self.runs.start(comparison, self.runs.begin(comparison), [column], goes_on=goes_on)

    async def set_options(self, comparison: Comparison, column: Column, options: ChatOptions) -> None:
        """From the next reply on."""
        if comparison.title:
            await self.chat.set_options(column.conversation, options)
        column.conversation.options = options

    async def vote(self, comparison: Comparison, choice: Choice) -> None:
        """Keep who won, and tell the names from now on."""
        if not await self.may_vote(comparison):
            raise ChatError(Text("Vote when both replies are finished."))
        a, b = [await self._contestant(comparison, column) for column in comparison.columns]
        await self.comparisons.vote(Vote(comparison.id, choice, a, b))
        comparison.vote = choice
        self.changed.emit(comparison.id)

    async def may_vote(self, comparison: Comparison) -> bool:
        """Whether it is blind, and there are two whole replies to judge."""
        if not comparison.is_secret or self.runs.is_running(comparison):
            return False
        replies = [await self._last(column) for column in comparison.columns]
        return all(reply and reply.role is Role.ASSISTANT and reply.text and not reply.error for reply in replies)

    async def keep(self, comparison: Comparison) -> Conversation:
        """A new conversation in which the replies to each prompt are versions; it shows those of the winner first."""
        if self.runs.is_running(comparison):
            raise ChatError(STILL_WRITING)
        await self._require_kept(comparison)
        winner = comparison.columns[1 if comparison.vote is Choice.B else 0]
        kept = Conversation(comparison.title, winner.options)
        messages: list[Message] = []
        latest = comparison.created_at
        for column in comparison.columns:
            above: str | None = None
            for place, message in enumerate(await self._store.branch(column.conversation.id)):
                if place == 0 and messages:
                    above = messages[0].id  # all were asked the same
                    continue
                copy = replace(message, id=new_id(), conversation_id=kept.id, parent_id=above, unsaved=None)
                if place == 1:
                    # Versions stand in the order of their moments, and shall stand in that of the columns.
                    copy.created_at = latest = max(copy.created_at, latest + timedelta.resolution)
                messages.append(copy)
                above = copy.id
            if column is winner:
                kept.head_id = above
        await self._store.add_tree(kept, messages)
        self.chat.list_changed.emit()
        return kept

    async def delete(self, comparison: Comparison) -> None:
        """With all that was said in it."""
        self.runs.stop(comparison)
        await self.comparisons.delete(comparison.id)

    def model_of(self, column: Column) -> ModelRef | None:
        """None when it is no longer here."""
        return self._models.find(column.model)

    def name_of(self, column: Column) -> str:
        model = self.model_of(column)
        return model.name if model else column.model

    async def _require_kept(self, comparison: Comparison) -> None:
        """Raises ChatError when it was begun and deleted since, in another tab."""
        if comparison.title and await self.comparisons.get(comparison.id) is None:
            raise ChatError(Text("This comparison was not found. It may have been deleted."))

    def _require(self, column: Column) -> ModelRef:
        """Raises ChatError when its model cannot answer."""
        model = self.model_of(column)
        if not column.model:
            raise ChatError(Text("Choose a model for each column."))
        if model is None:
            raise ChatError(Text("{model} is no longer here. Choose another model.", model=column.model))
        if model.refusal:
            raise ChatError(model.refusal)
        return model

    async def _last(self, column: Column) -> Message | None:
        branch = await self._store.branch(column.conversation.id, 1)
        return branch[-1] if branch else None

    async def _contestant(self, comparison: Comparison, column: Column) -> Contestant:
        """Called by its model, and by the settings in which the two differ."""
        others = [each.options for each in comparison.columns if each is not column]
        name = " · ".join([self.name_of(column), *differences(column.options, others)])
        reply, model = await self._last(column), self.model_of(column)
        speed = reply.stats.tokens_per_second if reply and reply.stats else None
        memory = self._local.memory_of(model.file) if model and model.file else None
        return Contestant(name, speed or None, memory)


def other_settings(column: Column) -> Column:
    """The same model, with a temperature that is plainly another."""
    options = column.options
    temperature = 0.2 if options.temperature > WARM else 1.2
    return Column(column.model, Conversation(options=options.model_copy(update={"temperature": temperature})))


def _are_alike(comparison: Comparison) -> bool:
    a, b = comparison.columns
    return (a.model, a.options) == (b.model, b.options)


def _key() -> str:
    owner = current_owner()
    return f"{KEY}.{owner}" if owner else KEY
