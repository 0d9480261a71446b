"""The replies of a comparison: which columns write at once, and which wait, and why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from localchat_ui.access import acting_as, current_visitor
from localchat_ui.access.quotas import Quotas
from localchat_ui.chat.errors import STILL_WRITING, ChatError
from localchat_ui.chat.service import ChatService
from localchat_ui.comparison import Column, Comparison
from localchat_ui.conversation import Message, MessageState, Role
from localchat_ui.engine.base import EngineError
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.store import HistoryStore
from localchat_ui.inference import ModelRef, ModelRegistry
from localchat_ui.inference.local import LocalBackend
from localchat_ui.text import N_, Text, counted

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Run:
    """The replies to one prompt. `waiting` has the columns that have not begun, and why not; `stopped` the ids of the
    conversations of those that must not begin any more."""

    waiting: list[tuple[Column, str]]
    writing: dict[asyncio.Task[None], Column] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    task: asyncio.Task[None] | None = None


class ComparisonRuns:
    """At most one prompt in a comparison. Each column begins as soon as it can beside those that write."""

    def __init__(
        self,
        chat: ChatService,
        store: HistoryStore,
        models: ModelRegistry,
        local: LocalBackend,
        quotas: Quotas | None,
        *,
        on_change: Callable[[str], None],
    ) -> None:
        """Without `quotas` nobody is limited. `on_change` is told the comparison whenever a column began, waits for
        something else, or ended."""
        self._chat = chat
        self._store = store
        self._models = models
        self._local = local
        self._quotas = quotas
        self._on_change = on_change
        self._runs: dict[str, Run] = {}

    async def close(self) -> None:
        """Begin nothing more; what is written ends with the chat service."""
        tasks = [task for run in self._runs.values() for task in (run.task, *run.writing) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
        return column.conversation.id in ids and not self._chat.is_writing(column.conversation.id)

    def stop(self, comparison: Comparison, column: Column | None = None) -> None:
        """End one column, or all; what was written stays."""
        run = self._runs.get(comparison.id)
        if run is None:
            return
        wanted = {each.conversation.id for each in ([column] if column else comparison.columns)}
        run.stopped |= wanted
        run.waiting = [(each, why) for each, why in run.waiting if each.conversation.id not in wanted]
        for task, each in run.writing.items():
            if each.conversation.id not in wanted:
                continue
            if self._chat.is_writing(each.conversation.id):
                self._chat.stop(each.conversation.id)
            else:
                task.cancel()
        self._on_change(comparison.id)

    def begin(self, comparison: Comparison) -> Run:
        """One prompt at a time."""
        if self.is_running(comparison):
            raise ChatError(STILL_WRITING)
        run = self._runs[comparison.id] = Run([])
        return run

    def give_up(self, comparison: Comparison) -> None:
        """What was begun does not start."""
        del self._runs[comparison.id]

    def start(self, comparison: Comparison, run: Run, columns: Sequence[Column], *, goes_on: bool = False) -> None:
        """Have the last prompt answered in these columns, or their last replies continued."""
        run.waiting = [(column, "") for column in columns]
        # Nobody's page says in these tasks for whom they work.
        with acting_as(current_visitor()):
            run.task = asyncio.create_task(self._write_all(comparison, run, goes_on))
        self._on_change(comparison.id)

    async def _write_all(self, comparison: Comparison, run: Run, goes_on: bool) -> None:
        """Begin whatever can begin, again whenever a reply ends."""
        try:
            while run.waiting or run.writing:
                waiting, run.waiting = run.waiting, []
                for column, _before in waiting:
                    why = await self._obstacle(comparison, column, list(run.writing.values()))
                    if column.conversation.id in run.stopped:
                        continue
                    if why:
                        run.waiting.append((column, why))
                    else:
                        run.writing[asyncio.create_task(self._write(column, goes_on))] = column
                self._on_change(comparison.id)
                if run.writing:
                    done, _pending = await asyncio.wait(run.writing, return_when=asyncio.FIRST_COMPLETED)
                    run.writing = {task: column for task, column in run.writing.items() if task not in done}
        except HistoryError:
            logger.warning("a comparison ended because the limits could not be read")
        finally:
            del self._runs[comparison.id]
            self._on_change(comparison.id)

    async def _obstacle(self, comparison: Comparison, column: Column, writing: Sequence[Column]) -> str:
        """Why this column cannot begin beside those that are writing, in words that do not tell which model it is."""
        if not writing:
            return ""
        limit = await self._limit()
        if limit and len(writing) + self._elsewhere(writing) >= limit:
            return counted(
                "Waits: {n} reply may be written at a time.", "Waits: {n} replies may be written at a time.", limit
            )
        wanted, busy = self._model_of(column), [self._model_of(each) for each in writing]
        files = {model.path: model.file for model in busy if model and model.file}
        if wanted is None or wanted.file is None or wanted.path in files or not files:
            return ""
        if self._local.fit_together([*files.values(), wanted.file]):
            return ""
        letters = ", ".join(
            comparison.letter(each) for each, model in zip(writing, busy, strict=True) if model and model.file
        )
        return Text("Waits for {letters}: these models do not fit into memory together.", letters=letters)

    def _elsewhere(self, writing: Sequence[Column]) -> int:
        """Replies that are written for whoever asks and are not of these columns."""
        visitor = current_visitor()
        if self._quotas is None or visitor is None:
            return 0
        own = sum(self._chat.is_writing(each.conversation.id) for each in writing)
        return max(0, self._quotas.running(visitor) - own)

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
            begin = self._chat.continue_reply if goes_on else self._chat.retry
            reply = await begin(column.conversation, model)
            if reply.task is not None:
                await asyncio.wait([reply.task])
        except (ChatError, EngineError, HistoryError) as error:
            await self._note_failure(column, str(error))
        except Exception:
            logger.exception("a column of a comparison failed")
            await self._note_failure(column, N_("Something went wrong. The log has the details; please try again."))

    async def _note_failure(self, column: Column, error: str) -> None:
        """Say in the place of the reply why there is none."""
        try:
            branch = await self._store.branch(column.conversation.id, 2)
            question = next((message for message in reversed(branch) if message.role is Role.USER), None)
            if question is not None:
                failed = Message(question.conversation_id, Role.ASSISTANT, "", question.id, MessageState.FAILED)
                await self._store.add_message(replace(failed, error=error, model=column.model))
            self._chat.conversation_changed.emit(column.conversation.id)
        except HistoryError as trouble:
            logger.warning("a column of a comparison failed, which could not be kept: %s", trouble)

    def _model_of(self, column: Column) -> ModelRef | None:
        return self._models.find(column.model)
