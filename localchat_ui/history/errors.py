"""What can go wrong with the history, in words for people."""

from __future__ import annotations

import errno
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from localchat_ui.text import N_, PlainError, Text


class HistoryError(PlainError):
    """The history could not be read or written; its text can be shown as it is, and `reason` is the short of it."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = (reason or message).partition(";")[0].rstrip(".")


class UnknownConversationError(HistoryError, LookupError):
    def __init__(self, conversation_id: str) -> None:
        super().__init__(
            Text(
                "There is no conversation {conversation_id}; it may have been deleted.", conversation_id=conversation_id
            )
        )


class UnknownMessageError(HistoryError, LookupError):
    def __init__(self, message_id: str) -> None:
        super().__init__(
            Text(
                "There is no message {message_id} in this conversation; it may have been deleted.",
                message_id=message_id,
            )
        )


class PresetRefusedError(HistoryError, ValueError):
    def __init__(self, name_length: int, text_length: int) -> None:
        super().__init__(
            Text(
                "A preset needs a name of 1 to {name_length} characters and at most {text_length} of text.",
                name_length=name_length,
                text_length=text_length,
            )
        )


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn whatever the database, its driver or the disk raises into a HistoryError that names `place`."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, CommandError, OSError, ImportError) as error:
        reason = _reason(error, Path(place))
        raise HistoryError(
            Text("The conversation history in {place} cannot be used: {reason}.", place=place, reason=reason), reason
        ) from error


def damaged(database: Path) -> str:
    """That a file is damaged, and what can be done about it."""
    backup = next(iter(backups_of(database)), None)
    if backup is None:
        return DAMAGED
    return Text("{damaged}, or put the newest backup in its place: {backup}", damaged=DAMAGED, backup=backup)


def backups_of(database: Path) -> list[Path]:
    """The backups of a SQLite file, the newest first."""
    return sorted((database.parent / "backups").glob(f"{database.stem}-????-??-??{database.suffix}"), reverse=True)


SMALLEST_WRITE_BYTES = 64 * 2**10
FULL = Text("the disk is full; free some space and try again")
DAMAGED = Text("the file is damaged; stop the program and run `python -m localchat_ui database recover`")

# What the message of a driver contains, and what it means. The first that fits counts.
_REASONS = {
    "disk is full": FULL,
    "No space left": FULL,
    "Disk quota exceeded": FULL,
    "database is locked": N_("another program is writing to it for too long; close that program and try again"),
    "readonly database": N_("it is read-only; make the file and its folder writable"),
    "unable to open database file": N_("the file cannot be opened; check that the folder exists and is writable"),
    "file is not a database": N_("the file is not a SQLite database; move it away or choose another DATABASE_URL"),
    "QueuePool limit": N_("too much is read and written at the same time; try again"),
    "requires an async driver": N_("DATABASE_URL needs an asynchronous driver, such as postgresql+asyncpg"),
    "No module named 'asyncpg'": N_("PostgreSQL needs one more package; pip install asyncpg"),
}


def _reason(error: Exception, database: Path) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FULL
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    # A SQLAlchemy error repeats the statement; the driver's own error under it is the short one.
    text = re.sub("^<class '.*?'>: ", "", str(error.orig if isinstance(error, DBAPIError) else error))
    if "disk I/O error" in text and _is_disk_full(database):
        return FULL  # SQLite says so when there is no room for the index of its write-ahead log
    if "malformed" in text:
        return damaged(database)
    known = next((reason for part, reason in _REASONS.items() if part in text), "")
    return known or next(iter(text.strip().splitlines()), type(error).__name__).rstrip(".")


def _is_disk_full(database: Path) -> bool:
    return database.parent.is_dir() and shutil.disk_usage(database.parent).free < SMALLEST_WRITE_BYTES
