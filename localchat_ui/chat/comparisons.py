"""One prompt to several models: which of them write at once and which wait, who won, and what is kept of it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nicegui import Event

from localchat_ui.access import acting_as, current_owner, current_visitor
from localchat_ui.access.quotas import Quotas
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
from localchat_ui.engine.base import EngineError
from localchat_ui.history.comparisons import ComparisonStore
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.preferences import Preferences
from localchat_ui.history.rows import options_of
from localchat_ui.history.store import HistoryStore
from localchat_ui.i18n import _, ngettext
from localchat_ui.inference import ModelRef, ModelRegistry
from localchat_ui.inference.local import LocalBackend

logger = logging.getLogger(__name__)

KEY = "compare.columns"
WARM = 0.7


@dataclass(eq=False)
class Run:
    """The replies to one prompt. `waiting` has the columns that have not begun, and why not."""

    waiting: list[tuple[Column, str]]
    writing: dict[asyncio.Task[None], Column] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


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
        self._quotas = quotas
        self._runs: dict[str, Run] = {}

    async def close(self) -> None:
        """Begin nothing more; what is written ends with the chat service."""
        tasks = [task for run in self._runs.values() for task in (run.task, *run.writing) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def new(self) -> Comparison:
        """With the columns that whoever asks has set up last, as far as their models are here."""
        stored = await self._preferences.get(_key(), [])
        columns = [
            Column(str(model), Conversation(options=options_of(options)))
            for model, options in (stored if isinstance(stored, list) else [])
            if self._models.find(str(model))
        ]
        return Comparison(columns[:MAX_COLUMNS] if len(columns) >= MIN_COLUMNS else self._first_columns())

    async def open(self, comparison_id: str) -> Comparison | None:
        """None when it is unknown."""
        return await self.comparisons.get(comparison_id)

    async def remember(self, columns: Sequence[Column]) -> None:
        """For the next comparison."""
        told = [[column.model, column.options.model_dump(mode="json")] for column in columns]
        await self._preferences.set(_key(), told)

    def _first_columns(self) -> list[Column]:
        """The model in use and another one, or itself with another temperature."""
        usable = [model for model in self._models.models if model.refusal is None and model.kind.can_chat]
        current = self._models.current or next(iter(usable), None)
        first = Column(current.id if current else "", self.chat.new_conversation())
        other = next((model for model in usable if not model.is_same(current)), None)
        return [first, Column(other.id, self.chat.new_conversation()) if other else other_settings(first)]

    def is_running(self, comparison: Comparison) -> bool:
        return comparison.id in self._runs

    def reason_to_wait(self, comparison: Comparison, column: Column) -> str | None:
        """Why a column has not begun, in words; None when it does not wait."""
        run = self._runs.get(comparison.id)
        waiting = run.waiting if run else ()
        return next((why for each, why in waiting if each.conversation.id == column.conversation.id), None)

    def is_preparing(self, comparison: Comparison, column: Column) -> bool:
        """Whether its model is on its way into memory."""
        run = self._runs.get(comparison.id)
        ids = [each.conversation.id for each in run.writing.values()] if run else []
        return column.conversation.id in ids and not self.chat.is_writing(column.conversation.id)

    async def ask(self, comparison: Comparison, text: str, attachments: Sequence[Attachment] = ()) -> None:
        """Send a prompt to all columns; a blind comparison is shuffled with its first one."""
        if not text.strip() and not attachments:
            raise ChatError(_("The message is empty."))
        for column in comparison.columns:
            self._require(column)
        if comparison.blind and not comparison.title and _are_alike(comparison):
            raise ChatError(_("Both columns are the same. Choose another model or other settings."))
        run = self._begin(comparison)
        try:
            if not comparison.title:
                if comparison.blind:
                    random.shuffle(comparison.columns)
                comparison.title = title_of("\n".join([text, *(file.name for file in attachments)]))
                for column in comparison.columns:
                    column.conversation.title = title_of(f"{comparison.title} · {self.name_of(column)}")
            await self.comparisons.save(comparison)
            for column in comparison.columns:
                await self._add_question(column, text.strip("\n"), tuple(attachments))
        except BaseException:
            del self._runs[comparison.id]
            raise
        run.waiting = [(column, "") for column in comparison.columns]
        self._start(comparison, run)

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
        self._require(column)
        run = self._begin(comparison)
        run.waiting = [(column, "")]
        self._start(comparison, run, goes_on=goes_on)

    def stop(self, comparison: Comparison, column: Column | None = None) -> None:
        """End one column, or all; what was written stays."""
        run = self._runs.get(comparison.id)
        if run is None:
            return
        wanted = {each.conversation.id for each in ([column] if column else comparison.columns)}
        run.waiting = [(each, why) for each, why in run.waiting if each.conversation.id not in wanted]
        for task, each in run.writing.items():
            if each.conversation.id not in wanted:
                continue
            if self.chat.is_writing(each.conversation.id):
                self.chat.stop(each.conversation.id)
            else:
                task.cancel()
        self.changed.emit(comparison.id)

    async def set_options(self, comparison: Comparison, column: Column, options: ChatOptions) -> None:
        """From the next reply on."""
        if comparison.title:
            await self.chat.set_options(column.conversation, options)
        column.conversation.options = options

    async def vote(self, comparison: Comparison, choice: Choice) -> None:
        """Keep who won, and tell the names from now on."""
        if not await self.may_vote(comparison):
            raise ChatError(_("Vote when both replies are finished."))
        a, b = [await self._contestant(comparison, column) for column in comparison.columns]
        await self.comparisons.vote(Vote(comparison.id, choice, a, b))
        comparison.vote = choice
        self.changed.emit(comparison.id)

    async def may_vote(self, comparison: Comparison) -> bool:
        """Whether it is blind, and there are two whole replies to judge."""
        if not comparison.is_secret or self.is_running(comparison):
            return False
        replies = [await self._last(column) for column in comparison.columns]
        return all(reply and reply.role is Role.ASSISTANT and reply.text and not reply.error for reply in replies)

    async def keep(self, comparison: Comparison) -> Conversation:
        """A new conversation in which the replies to each prompt are versions; it shows those of the winner first."""
        if self.is_running(comparison):
            raise ChatError(STILL_WRITING)
        winner = comparison.columns[1 if comparison.vote is Choice.B else 0]
        kept = Conversation(comparison.title, winner.options)
        messages: list[Message] = []
        for column in comparison.columns:
            above: str | None = None
            for place, message in enumerate(await self._store.branch(column.conversation.id)):
                if place == 0 and messages:
                    above = messages[0].id  # all were asked the same
                    continue
                copy = replace(message, id=new_id(), conversation_id=kept.id, parent_id=above, unsaved=None)
                messages.append(copy)
                above = copy.id
            if column is winner:
                kept.head_id = above
        await self._store.add_tree(kept, messages)
        self.chat.list_changed.emit()
        return kept

    async def delete(self, comparison: Comparison) -> None:
        """With all that was said in it."""
        self.stop(comparison)
        await self.comparisons.delete(comparison.id)

    def model_of(self, column: Column) -> ModelRef | None:
        """None when it is no longer here."""
        return self._models.find(column.model)

    def name_of(self, column: Column) -> str:
        model = self.model_of(column)
        return model.name if model else column.model

    def _require(self, column: Column) -> ModelRef:
        """Raises ChatError when its model cannot answer."""
        model = self.model_of(column)
        if model is None:
            raise ChatError(_("{model} is no longer here. Choose another model.").format(model=column.model))
        if model.refusal:
            raise ChatError(model.refusal)
        return model

    def _begin(self, comparison: Comparison) -> Run:
        """One prompt at a time."""
        if self.is_running(comparison):
            raise ChatError(STILL_WRITING)
        run = self._runs[comparison.id] = Run([])
        return run

    def _start(self, comparison: Comparison, run: Run, *, goes_on: bool = False) -> None:
        # Nobody's page says in these tasks for whom they work.
        with acting_as(current_visitor()):
            run.task = asyncio.create_task(self._write_all(comparison, run, goes_on))
        self.changed.emit(comparison.id)

    async def _write_all(self, comparison: Comparison, run: Run, goes_on: bool) -> None:
        """Begin whatever can begin, again whenever a reply ends."""
        try:
            while run.waiting or run.writing:
                waiting, run.waiting = run.waiting, []
                for column, _before in waiting:
                    why = await self._obstacle(comparison, column, list(run.writing.values()))
                    if why:
                        run.waiting.append((column, why))
                    else:
                        run.writing[asyncio.create_task(self._write(column, goes_on))] = column
                self.changed.emit(comparison.id)
                if run.writing:
                    done, _pending = await asyncio.wait(run.writing, return_when=asyncio.FIRST_COMPLETED)
                    run.writing = {task: column for task, column in run.writing.items() if task not in done}
        except HistoryError:
            logger.warning("a comparison ended because the limits could not be read")
        finally:
            del self._runs[comparison.id]
            self.changed.emit(comparison.id)

    async def _obstacle(self, comparison: Comparison, column: Column, writing: Sequence[Column]) -> str:
        """Why this column cannot begin beside those that are writing, in words that do not tell which model it is."""
        if not writing:
            return ""
        limit = await self._limit()
        if limit and len(writing) >= limit:
            return ngettext(
                "Waits: {n} reply may be written at a time.", "Waits: {n} replies may be written at a time.", limit
            ).format(n=limit)
        wanted, busy = self.model_of(column), [self.model_of(each) for each in writing]
        files = {model.path: model.file for model in busy if model and model.file}
        if wanted is None or wanted.file is None or wanted.path in files or not files:
            return ""
        if self._local.fit_together([*files.values(), wanted.file]):
            return ""
        letters = ", ".join(
            comparison.letter(each) for each, model in zip(writing, busy, strict=True) if model and model.file
        )
        return _("Waits for {letters}: these models do not fit into memory together.").format(letters=letters)

    async def _limit(self) -> int:
        """Replies that whoever asks may have written at a time; 0 is unlimited."""
        visitor = current_visitor()
        if self._quotas is None or visitor is None:
            return 0
        return (await self._quotas.of(visitor)).generations_per_user or 0

    async def _write(self, column: Column, goes_on: bool) -> None:
        """Have one reply written, however it ends."""
        try:
            model = await self._models.prepare(column.model)
            begin = self.chat.continue_reply if goes_on else self.chat.retry
            reply = await begin(column.conversation, model)
            if reply.task is not None:
                await asyncio.wait([reply.task])
        except (ChatError, EngineError, HistoryError) as error:
            await self._note_failure(column, str(error))
        except Exception:
            logger.exception("a column of a comparison failed")
            await self._note_failure(column, _("Something went wrong. The log has the details; please try again."))

    async def _note_failure(self, column: Column, error: str) -> None:
        """Say in the place of the reply why there is none."""
        try:
            branch = await self._store.branch(column.conversation.id, 2)
            question = next((message for message in reversed(branch) if message.role is Role.USER), None)
            if question is not None:
                failed = Message(question.conversation_id, Role.ASSISTANT, "", question.id, MessageState.FAILED)
                await self._store.add_message(replace(failed, error=error, model=column.model))
            self.chat.conversation_changed.emit(column.conversation.id)
        except HistoryError as trouble:
            logger.warning("a column of a comparison failed, which could not be kept: %s", trouble)

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
