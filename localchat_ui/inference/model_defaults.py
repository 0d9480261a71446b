"""What is kept of a model: its name for people, how it is loaded, and what chats with it start with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from localchat_ui.conversation import ChatOptions
from localchat_ui.engine.load_changes import NO_CHANGES, LoadChanges
from localchat_ui.history.preferences import Preferences

logger = logging.getLogger(__name__)

KEY = "model.defaults"
LONGEST_NAME = 80


class ModelDefaults(BaseModel):
    """What differs from the defaults of the program. `chat` has fields of ChatOptions."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field("", max_length=LONGEST_NAME)
    load: LoadChanges = NO_CHANGES
    chat: dict[str, Any] = {}

    @field_validator("name")
    @classmethod
    def _one_line(cls, value: str) -> str:
        return " ".join(value.split())

    @field_validator("chat")
    @classmethod
    def _allowed(cls, value: dict[str, Any]) -> dict[str, Any]:
        allowed = ChatOptions.model_validate(value)
        return {name: getattr(allowed, name) for name in value}


NOTHING = ModelDefaults()


class KeptDefaults:
    """By the ids of models: they stay with a file that is moved to another folder, and with one that is replaced."""

    def __init__(self, preferences: Preferences) -> None:
        self._preferences = preferences
        self._kept: dict[str, ModelDefaults] = {}
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        """Read what was kept before. Raises HistoryError."""
        self._kept = dict(_valid(await self._preferences.get(KEY, {})))

    def of(self, model_id: str) -> ModelDefaults:
        return self._kept.get(model_id, NOTHING)

    async def set(self, model_id: str, defaults: ModelDefaults) -> None:
        """Raises HistoryError."""
        async with self._writing:
            kept = {**self._kept, model_id: defaults}
            if defaults == NOTHING:
                del kept[model_id]
            written = {name: each.model_dump(mode="json", exclude_defaults=True) for name, each in kept.items()}
            await self._preferences.set(KEY, written)
            self._kept = kept


def _valid(kept: Mapping[str, Any]) -> list[tuple[str, ModelDefaults]]:
    valid = []
    for name, value in kept.items():
        try:
            valid.append((name, ModelDefaults.model_validate(value)))
        except ValidationError as error:
            # Another version of the program may have allowed it.
            logger.warning("what was kept of the model %s cannot be read: %s", name, error)
    return valid
