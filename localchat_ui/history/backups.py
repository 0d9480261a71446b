"""Copies of the SQLite file in a folder `backups` beside it, one a day, of which the last three are kept."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from localchat_ui.conversation import utc_now
from localchat_ui.history.errors import HistoryError, backups_of, explained
from localchat_ui.history.integrity import problem_in

KEPT = 3
PAGES_AT_A_TIME = 1000
DAY_SECONDS = 24 * 60 * 60
# What a backup leaves free of the disk.
RESERVE_BYTES = 64 * 2**20


def is_due(database: Path) -> bool:
    """Whether the newest backup is a day old."""
    newest = next(iter(backups_of(database)), None)
    return newest is None or time.time() - newest.stat().st_mtime >= DAY_SECONDS


def back_up(database: Path, target: Path | None = None, is_stopped: Callable[[], bool] = lambda: False) -> Path:
    """Copy the database while it is in use, check the copy, and drop the oldest backups; returns where it is.

    Nobody waits for it: it reads one state of the file, and others write meanwhile. A copy that is damaged is not kept,
    and replaces nothing. Raises HistoryError.
    """
    made = target or _folder(database) / f"{database.stem}-{utc_now():%Y-%m-%d}{database.suffix}"
    unfinished = made.with_name(f".{made.name}.unfinished")
    with explained(str(made)):
        made.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.disk_usage(made.parent).free < database.stat().st_size + RESERVE_BYTES:
            raise HistoryError(f"There is too little space for a backup in {made.parent}.")
        try:
            unfinished.touch(mode=0o600)
            _copy(database, unfinished, is_stopped)
            if problem := problem_in(unfinished):
                raise HistoryError(f"No backup was made, because {database} is damaged: {problem}.")
            unfinished.replace(made)
        finally:
            unfinished.unlink(missing_ok=True)
        if target is None:
            left_by_a_crash = made.parent.glob(".*.unfinished")
            for old in (*backups_of(database)[KEPT:], *left_by_a_crash):
                old.unlink()
    return made


def _copy(database: Path, target: Path, is_stopped: Callable[[], bool]) -> None:
    def look(_status: int, _remaining: int, _total: int) -> None:
        if is_stopped():
            raise HistoryError("The program is shutting down.")

    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(target)) as copy:
        # One state of the file for all steps: a write in between would start the copy again, and again.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(copy, pages=PAGES_AT_A_TIME, progress=look)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, that can be moved and copied


def _folder(database: Path) -> Path:
    return database.parent / "backups"
