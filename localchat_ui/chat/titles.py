"""Titles of conversations by the model that answered in them, written while nobody waits for anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from localchat_ui.access import Visitor, acting_as, current_owner, current_visitor
from localchat_ui.chat.prompt import request_for
from localchat_ui.chat.title_text import STOP, title_from, title_turns
from localchat_ui.conversation import Message, MessageState, RequestOptions, Role
from localchat_ui.engine.base import EngineError, GenerationDone, GenerationFailed, Token
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.preferences import Preferences
from localchat_ui.history.store import HistoryStore
from localchat_ui.inference import Inference, ModelRef

logger = logging.getLogger(__name__)

KEY = "chat.titles"
# Somebody who reads a reply may ask on at once.
IDLE_SECONDS = 0.5
# Bytes of a file. Smaller models write a reply and a title about another thing than they were asked.
TRUSTED_BYTES = 1_000_000_000
MAX_TRIES = 3
SAMPLING = RequestOptions(temperature=0.2, max_tokens=24, deterministic=False, thinking_budget=0)


class TitleWriter:
    """Has one title written at a time, and lets everything else go first: a title that is interrupted is begun anew.

    The model goes on from the conversation as it lies in the KV cache, which is left as it was; a title for which the
    cache was needed is not written.
    """

    def __init__(
        self,
        inference: Inference,
        store: HistoryStore,
        preferences: Preferences,
        *,
        configured: bool | None = None,
        is_busy: Callable[[], bool] = lambda: False,
        on_title: Callable[[str], None] = lambda conversation_id: None,
    ) -> None:
        """`configured` is what the settings say: None is for models on this machine alone.

        `on_title` is told the conversation that has a title now.
        """
        self._inference = inference
        self._store = store
        self._preferences = preferences
        self._configured = configured
        self.is_busy = is_busy
        self.on_title = on_title
        self._wanted: dict[str, tuple[ModelRef, Visitor | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def is_on(self) -> bool:
        """Whether whoever asks has them written. Raises HistoryError."""
        return bool(await self._preferences.get(_key(), self._configured is not False))

    async def switch(self, on: bool) -> None:
        """Whoever asks has them written from now on, or not. Raises HistoryError."""
        await self._preferences.set(_key(), on)

    def want(self, conversation_id: str, model: ModelRef) -> None:
        """This model has just answered there: let it write the title soon, where there is only a draft."""
        if model.leaves_machine and not self._configured:
            return
        self._wanted.pop(conversation_id, None)
        self._wanted[conversation_id] = model, current_visitor()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="titles")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while self._wanted:
            await asyncio.sleep(IDLE_SECONDS)
            if self.is_busy() or not self._inference.is_idle:
                continue
            conversation_id, (model, visitor) = self._wanted.popitem()
            with acting_as(visitor):
                try:
                    was_interrupted = not await self._write(conversation_id, model)
                except (EngineError, HistoryError) as error:
                    logger.debug("no title was written: %s", error)
                    continue
                except Exception:
                    logger.exception("a title could not be written")
                    continue
            if was_interrupted:
                self._wanted.setdefault(conversation_id, (model, visitor))

    async def _write(self, conversation_id: str, model: ModelRef) -> bool:
        """Whether there is nothing left to do. Raises EngineError and HistoryError."""
        conversation = await self._store.conversation(conversation_id)
        branch = await self._store.branch(conversation_id)
        ended = branch and branch[-1].role is Role.ASSISTANT and branch[-1].state is MessageState.COMPLETE
        if conversation is None or not ended or not conversation.title_is_draft or not await self.is_on():
            return True
        if model.path is not None and not self._inference.local.engine.holds(model.path):
            return True
        request, _ = request_for(conversation.options, branch, model)
        turns = [*request.turns, *title_turns(can_begin=model.is_local)]
        asked = replace(request, turns=turns, sampling=SAMPLING, stop=STOP, may_drop=False, ephemeral=True)
        written, reason = "", ""
        async with self._inference.generate(model, asked) as stream:
            async for events in stream:
                for event in events:
                    if isinstance(event, GenerationFailed):
                        raise EngineError(event.message)
                    if isinstance(event, Token | GenerationDone):
                        written += event.text
                    if isinstance(event, GenerationDone):
                        reason = event.stats.finish_reason
        if reason == "cancelled":
            return False
        title = title_from(written, _said(branch, model)) if reason == "stop" else None
        n_questions = sum(message.role is Role.USER for message in branch)
        # Many begin with "hi", and say later what it is about.
        is_final = title is not None or n_questions >= MAX_TRIES
        if is_final and await self._store.settle_title(conversation_id, title) and title:
            self.on_title(conversation_id)
        return True


def _said(branch: list[Message], model: ModelRef) -> str:
    """What a title may be about."""
    is_small = model.file is not None and model.file.size_bytes < TRUSTED_BYTES
    heard = [message for message in branch if message.role is Role.USER or not is_small]
    names = [file.name for message in heard for file in message.attachments]
    return "\n".join([*names, *(message.text for message in heard)])


def _key() -> str:
    owner = current_owner()
    return f"{KEY}.{owner}" if owner else KEY
