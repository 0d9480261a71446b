"""Whether a SQLite file is whole."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

OPCODES_BETWEEN_LOOKS = 20_000


def problem_in(database: Path, seconds: float | None = None) -> str:
    """What is damaged, or "" when nothing is, or nothing was found in so many `seconds`.

    Raises sqlite3.Error when the file cannot be read for another reason.
    """
    deadline = time.monotonic() + seconds if seconds is not None else None
    with closing(sqlite3.connect(database)) as connection:
        if deadline is not None:
            connection.set_progress_handler(lambda: time.monotonic() > deadline, OPCODES_BETWEEN_LOOKS)
        try:
            [[found]] = connection.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.DatabaseError as error:
            if "malformed" in str(error):
                return str(error)
            if "interrupted" in str(error):
                return ""
            raise
    return "" if found == "ok" else str(found).replace("\n", " ")
