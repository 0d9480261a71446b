"""How long models took to load here, and so how long others will."""

from __future__ import annotations

import statistics
from typing import Any

from localchat_ui.history.preferences import Preferences

KEY = "model.load_seconds"
# Whatever its size: the context is made, a prompt template is tried.
LEAST_SECONDS = 0.1


class LoadTimes:
    """Seconds by the id of the model, apart for files that were in the system's cache and such that came from disk."""

    def __init__(self, preferences: Preferences) -> None:
        self._preferences = preferences
        self._taken: dict[str, dict[str, tuple[int, float]]] = {"cached": {}, "disk": {}}

    async def open(self) -> None:
        """Read what was measured before. Raises HistoryError."""
        kept: dict[str, Any] = await self._preferences.get(KEY, {})
        for where, taken in self._taken.items():
            taken |= {name: (int(size), float(seconds)) for name, (size, seconds) in kept.get(where, {}).items()}

    async def note(self, model_id: str, size: int, seconds: float, *, cached: bool) -> None:
        """A model of so many bytes was loaded. Raises HistoryError."""
        self._taken[_where(cached)][model_id] = (size, round(seconds, 2))
        await self._preferences.set(KEY, self._taken)

    def expected(self, model_id: str, size: int, *, cached: bool) -> float | None:
        """Measured on this model, else by its size and what others took; None while nothing was measured."""
        taken = self._taken[_where(cached)]
        if model_id in taken and taken[model_id][0] == size:
            return taken[model_id][1]
        rates = [seconds / size for size, seconds in taken.values() if size and seconds > LEAST_SECONDS]
        return max(LEAST_SECONDS, size * statistics.median(rates)) if rates else None


def _where(cached: bool) -> str:
    return "cached" if cached else "disk"
