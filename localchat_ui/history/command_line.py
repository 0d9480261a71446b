"""`python -m localchat_ui database …`: look whether the file is whole, back it up, recover what can be read of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from localchat_ui.history import backups
from localchat_ui.history.database import sqlite_file
from localchat_ui.history.errors import HistoryError, damaged, explained
from localchat_ui.history.integrity import problem_in
from localchat_ui.history.recovery import recover
from localchat_ui.settings import load_settings

EPILOG = "Settings that say where the database is (--data-dir, --database-url) may follow."


def run(arguments: list[str]) -> None:
    """Do what the arguments say. Raises HistoryError or BadSettingError; argparse may leave by itself."""
    options, rest = _parser().parse_known_args(arguments)
    url = load_settings(rest).resolved_database_url
    with explained("DATABASE_URL"):
        database = sqlite_file(url)
    if database is None:
        raise HistoryError("This is for SQLite files; PostgreSQL has pg_dump and pg_restore.")
    if not database.is_file():
        raise HistoryError(f"There is no database {database}.")
    sys.stdout.write(f"{_act(options, database)}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m localchat_ui database", description="The file with the conversations.", epilog=EPILOG
    )
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("check", help="see whether the file is whole", epilog=EPILOG)
    for name, text in (
        ("backup", "copy it while it may be in use"),
        ("recover", "write what can be read of a damaged file to a new one"),
    ):
        action = actions.add_parser(name, help=text, description=text, epilog=EPILOG)
        action.add_argument("--to", type=Path, metavar="FILE", help="the file to write")
    return parser


def _act(options: argparse.Namespace, database: Path) -> str:
    if options.action == "check":
        with explained(str(database)):
            problem = problem_in(database)
        if problem:
            raise HistoryError(f"{database}: {damaged(database)}. SQLite says: {problem}")
        return f"{database} is whole."
    if options.action == "backup":
        return f"Copied to {backups.back_up(database, options.to)}."
    target = options.to or database.with_name(f"{database.stem}-recovered{database.suffix}")
    counts = recover(database, target)
    return (
        f"Recovered to {target}: conversations: {counts['conversations']:,}, messages: {counts['messages']:,}.\n"
        f"To use it, stop the program, move {database} and the files {database.name}-wal and {database.name}-shm away,"
        f" and rename it to {database.name}."
    )
