"""Which model is used where none was chosen yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from localchat_ui.history.preferences import Preferences
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.model_file import ModelFile

if TYPE_CHECKING:
    from localchat_ui.inference.remote import RemoteServer

START_SECONDS = 2.0
LAST_USED = "model.last_used"


class StartOrder:
    def __init__(
        self,
        catalog: Catalog,
        preferences: Preferences,
        remotes: Sequence[RemoteServer],
        ref_of: Callable[[ModelFile], ModelRef],
    ) -> None:
        self._catalog = catalog
        self._preferences = preferences
        self._remotes = remotes
        self._ref_of = ref_of

    async def candidates(self) -> list[ModelRef]:
        """The model used last, then the user's own files, the starter, and the smallest of other programs."""
        last_used = str(await self._preferences.get(LAST_USED, "") or "-")
        usable = [self._ref_of(file) for file in self._catalog.models if file.refusal is None]
        file = self._catalog.find(last_used)
        first = self._ref_of(file) if file else await self.remote(last_used)
        others = sorted((model for model in usable if model != first), key=_belongs_to_others)
        return [first, *others] if first and (first in usable or not first.is_local) else others

    async def remote(self, name: str) -> ModelRef | None:
        """A model of a server that is set up; asks that server what it has."""
        for remote in self._remotes:
            if name.startswith(f"{remote.name}/"):
                # A server that is slow to say what it has must not hold up the files.
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(remote.refresh(), START_SECONDS)
                models = remote.models
                return next((model for model in models if model.id == name or model.error), None)
        return None


def _belongs_to_others(model: ModelRef) -> tuple[bool, bool, int]:
    """A key that sorts what nobody put here for us behind what somebody did."""
    is_foreign = bool(model.file and model.file.origin)
    return is_foreign, model.is_starter, model.file.size_bytes if model.file and is_foreign else 0
