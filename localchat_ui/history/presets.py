"""System prompts with a name."""

from __future__ import annotations

from pydantic import ValidationError
from sqlalchemy import delete, select

from localchat_ui.conversation import PRESET_NAME_LENGTH, SYSTEM_PROMPT_LENGTH, Preset
from localchat_ui.history.database import Database
from localchat_ui.history.errors import PresetRefusedError
from localchat_ui.history.tables import PresetRow


class Presets:
    """Those of whoever asks. Methods may raise HistoryError when the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Preset]:
        """By name."""
        statement = select(PresetRow).where(PresetRow.owner_id == self._owner_id)
        async with self._database.transaction() as session:
            found = [Preset(name=row.name, text=row.text) for row in await session.scalars(statement)]
            return sorted(found, key=lambda preset: (preset.name.casefold(), preset.name))

    async def save(self, name: str, text: str) -> None:
        """Keep a system prompt under a name, in place of the one that had it; raises PresetRefusedError."""
        try:
            preset = Preset(name=name, text=text)
        except ValidationError:
            raise PresetRefusedError(PRESET_NAME_LENGTH, SYSTEM_PROMPT_LENGTH) from None
        async with self._database.transaction() as session:
            await session.merge(PresetRow(owner_id=self._owner_id, name=preset.name, text=preset.text))

    async def delete(self, name: str) -> None:
        """Forget a preset; one that is not there does no harm."""
        theirs = (PresetRow.owner_id == self._owner_id, PresetRow.name == name.strip())
        async with self._database.transaction() as session:
            await session.execute(delete(PresetRow).where(*theirs))

    @property
    def _owner_id(self) -> str:
        return self._database.owner or ""
