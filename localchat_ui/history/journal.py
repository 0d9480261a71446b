"""Replies on their way into the database: written behind their streams, never in their way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import update

from localchat_ui.conversation import Message
from localchat_ui.history import rows
from localchat_ui.history.database import Database, rows_changed
from localchat_ui.history.errors import HistoryError, UnknownMessageError
from localchat_ui.history.tables import MessageRow
from localchat_ui.text import Text

logger = logging.getLogger(__name__)

WRITE_SECONDS = 0.5
RETRY_SECONDS = 2.0
FINISH_SECONDS = 1.0
BUSY = "the database is busy"


class Journal:
    """Writes growing messages about twice a second: the newest text of each, all of them in one transaction.

    What could not be written stays in memory, where the store reads it from, and is tried again until it is written.
    Meanwhile `message.unsaved` says why. `on_change` is told a message whose `unsaved` has changed, `on_erased` one
    that is no longer in the database.
    """

    def __init__(self, database: Database) -> None:
        self.on_change: Callable[[Message], None] = lambda message: None
        self.on_erased: Callable[[Message], None] = lambda message: None
        self._database = database
        self._open: dict[str, Message] = {}
        self._pending: dict[str, Message] = {}
        # Those that grow no more. The result is whether the message is still in the database.
        self._finished: dict[str, asyncio.Future[bool]] = {}
        self._hurry = asyncio.Event()
        self._failed = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def open(self, message: Message) -> None:
        """Read this message from memory until it is finished and written, or discarded."""
        self._open[message.id] = message

    def write(self, message: Message) -> None:
        """Save what the message is now, soon; returns at once."""
        self.open(message)
        self._pending[message.id] = message
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_pending())

    async def finish(self, message: Message) -> None:
        """Save a message that grows no more; when that fails or takes a second, it goes on behind the caller.

        Raises UnknownMessageError when the message was erased.
        """
        written = self._finished.setdefault(message.id, asyncio.get_running_loop().create_future())
        self._failed.clear()
        self._hurry.set()
        self.write(message)
        failed = asyncio.ensure_future(self._failed.wait())
        either: list[asyncio.Future[Any]] = [written, failed]
        await asyncio.wait(either, timeout=FINISH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        failed.cancel()
        if not written.done():
            self._set_unsaved(message, message.unsaved or BUSY)
        elif not written.result():
            raise UnknownMessageError(message.id)

    async def written(self, message: Message) -> None:
        """Wait until a finished message is saved or erased, however long that takes."""
        if message.id in self._finished:
            await asyncio.shield(self._finished[message.id])

    async def flush(self, conversation_id: str) -> None:
        """Save the finished messages of a conversation now; raises HistoryError when that cannot be done yet."""
        for message in [self._open[message_id] for message_id in self._finished]:
            if message.conversation_id == conversation_id:
                await self.finish(message)
                if message.unsaved:
                    raise HistoryError(
                        Text("A reply in this conversation is not saved yet: {unsaved}.", unsaved=message.unsaved)
                    )

    def discard(self, message: Message) -> None:
        """Forget a message that is not to be saved after all."""
        self._open.pop(message.id, None)
        self._pending.pop(message.id, None)
        self._finished.pop(message.id, None)

    def newest(self, message: Message) -> Message:
        """The message as it is now, which may be more than what is stored of it."""
        return self._open.get(message.id, message)

    async def close(self, seconds: float) -> None:
        """Go on trying to save what is not saved yet, at most so long."""
        if self._writer is None or self._writer.done():
            return
        self._hurry.set()
        if any(message.unsaved for message in self._pending.values()):
            logger.warning("waiting up to %.0f s until all replies are saved", seconds)
        await asyncio.wait([self._writer], timeout=seconds)
        if not self._writer.done():
            self._writer.cancel()
            await asyncio.wait([self._writer])
            for message in self._pending.values():
                logger.error("the end of reply %s is lost: %s", message.id, message.unsaved)

    async def _write_pending(self) -> None:
        pause = WRITE_SECONDS
        while self._pending:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), pause)
            self._hurry.clear()
            try:
                await self._write(list(self._pending.values()))
                pause = WRITE_SECONDS
            except Exception as error:
                if not isinstance(error, HistoryError):
                    logger.exception("the journal could not be written")
                for message in list(self._pending.values()):
                    self._set_unsaved(message, error.reason if isinstance(error, HistoryError) else "see the log")
                self._failed.set()
                pause = RETRY_SECONDS

    async def _write(self, messages: Sequence[Message]) -> None:
        """One attempt for all of them; when it fails they stay pending."""
        erased = []
        try:
            async with self._database.transaction(of_all=True) as session:
                for message in messages:
                    self._pending.pop(message.id, None)  # what comes from now on is not in this statement
                    statement = update(MessageRow).where(MessageRow.id == message.id)
                    if not await rows_changed(session, statement.values(**rows.growing_values(message))):
                        erased.append(message)
        except BaseException:
            self._pending.update({message.id: message for message in messages if message.id in self._open})
            raise
        for message in messages:
            if message in erased:
                self._settle(message, is_stored=False)
                self.on_erased(message)
            elif message.id not in self._pending:
                self._settle(message, is_stored=True)

    def _settle(self, message: Message, *, is_stored: bool) -> None:
        finished = self._finished.get(message.id)
        if finished is not None or not is_stored:
            self.discard(message)
        if finished is not None:
            finished.set_result(is_stored)
        self._set_unsaved(message, None)

    def _set_unsaved(self, message: Message, reason: str | None) -> None:
        if message.unsaved == reason:
            return
        if reason and not message.unsaved:
            logger.warning("a reply is not saved yet: %s", reason)
        message.unsaved = reason
        self.on_change(message)
