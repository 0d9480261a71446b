"""Choices that outlive the program: JSON values under keys."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

from localchat_ui.history.database import Database, rows_changed
from localchat_ui.history.tables import PreferenceRow


class Preferences:
    """They are the installation's; a key of one person has to name that person. Methods may raise HistoryError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, key: str, default: Any = None) -> Any:
        """The value kept under this key; `default` when there is none, or it is None."""
        async with self._database.transaction() as session:
            value = await session.scalar(select(PreferenceRow.value).where(PreferenceRow.key == key))
            return default if value is None else value

    async def set(self, key: str, value: Any) -> None:
        async with self._database.transaction() as session:
            changed = update(PreferenceRow).where(PreferenceRow.key == key).values(value=value)
            if not await rows_changed(session, changed):
                session.add(PreferenceRow(key=key, value=value))
