"""Where models are, and what it costs to use another one next."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from localchat_ui.engine.llama import supports_gpu
from localchat_ui.engine.load_changes import LoadChanges
from localchat_ui.history.errors import HistoryError
from localchat_ui.inference.load_times import LoadTimes
from localchat_ui.inference.local import LoadForecast, LocalBackend
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.library.model_file import ModelFile
from localchat_ui.library.page_cache import is_cached

logger = logging.getLogger(__name__)


class Place(str, Enum):
    """`MEMORY`: loaded. `CACHED`: the system holds its file in memory. `ELSEWHERE`: on a server."""

    MEMORY = "memory"
    CACHED = "cached"
    DISK = "disk"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Cost:
    """What it costs to use a model next: seconds, None while none were measured, and the models that leave memory."""

    place: Place
    seconds: float | None = None
    leaving: tuple[Path, ...] = ()


class Placement:
    """`cached` are the files that the system held in memory at the last `look`."""

    def __init__(self, local: LocalBackend, times: LoadTimes) -> None:
        self._local = local
        self._times = times
        self.cached: frozenset[Path] = frozenset()

    async def look(self, files: Sequence[ModelFile]) -> bool:
        """See which files the system holds in memory; whether they are others than before."""
        paths = [file.path for file in files if file.is_loadable]
        cached = await asyncio.to_thread(lambda: frozenset(path for path in paths if is_cached(path)))
        changed, self.cached = cached != self.cached, cached
        return changed

    def place(self, model: ModelRef) -> Place:
        if model.path is None:
            return Place.ELSEWHERE
        if model.path in self._local.engine.figures.models:
            return Place.MEMORY
        return Place.CACHED if model.path in self.cached else Place.DISK

    def cost(self, model: ModelRef) -> Cost:
        place = self.place(model)
        if model.file is None or place is Place.MEMORY:
            return Cost(place)
        seconds = self._times.expected(model.id, model.file.size_bytes, cached=place is Place.CACHED)
        return Cost(place, seconds, self._local.leaving(model.file))

    @property
    def memory_in_use(self) -> int:
        """Bytes of all models that are loaded."""
        return sum(self._local.engine.figures.sizes)

    def memory_of(self, model: ModelRef) -> int:
        """Bytes that a model takes now."""
        figures = self._local.engine.figures
        return sum(size for path, size in zip(figures.models, figures.sizes, strict=False) if path == model.path)

    def forecast(self, model: ModelRef, changes: LoadChanges) -> LoadForecast | None:
        """The memory it would take if it were loaded in that way; None where that is not ours to say."""
        return self._local.forecast(model.file, changes) if model.file else None

    @property
    def has_gpu(self) -> bool:
        """Whether llama.cpp can compute on a graphics card here."""
        return supports_gpu()

    @asynccontextmanager
    async def timing(self, model: ModelRef) -> AsyncIterator[None]:
        """Measure a load that happens within this block, if there is one."""
        if model.file is None or self._local.engine.holds(model.file.path):
            yield
            return
        cached = await asyncio.to_thread(is_cached, model.file.path)
        begun = time.monotonic()
        yield
        try:
            await self._times.note(model.id, model.file.size_bytes, time.monotonic() - begun, cached=cached)
        except HistoryError as error:
            logger.warning("how long the model took to load could not be kept: %s", error)
