"""Brings a model into memory: makes room, tries the file in a child process, and tells how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from localchat_ui.engine.base import Engine, ModelLoadError
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.fit import MemoryCheck
from localchat_ui.library.model_file import ModelFile

PROGRESS_SECONDS = 0.2
# Of the progress told for a file that is loaded for the first time, so much is its trial in a child process.
TRIAL_SHARE = 0.5


class ModelLoader:
    """One model at a time is loaded; files are tried beside it, one at a time too."""

    def __init__(self, engine: Engine, catalog: Catalog, memory: MemoryCheck | None = None) -> None:
        """Without `memory` a model is loaded whether it fits or not: on a graphics card it is not ours to say."""
        self._engine = engine
        self._catalog = catalog
        self._memory = memory
        self._share = 0.0
        self._preparing = asyncio.Lock()

    async def load(self, model: ModelFile, on_share: Callable[[float], None]) -> None:
        """Load the model that is in use from now on. Raises ModelLoadError.

        `on_share` is told on the event loop, every 0.2 s, how much is done, from 0 to 1.
        """
        self._share = 0.0
        if not self._is_loaded(model):
            await self._check(model, on_share)
        await self._bring(model, on_share, first_share=self._share)

    async def prepare(self, model: ModelFile) -> None:
        """See to it that the engine can load this model beside the one in use. Raises ModelLoadError."""
        async with self._preparing:
            if not self._is_loaded(model):
                await self._make_room(model)
                if error := await self._catalog.try_load(model, lambda share: None):
                    raise ModelLoadError(error)

    def _is_loaded(self, model: ModelFile) -> bool:
        return self._engine.holds(model.path)

    async def _check(self, model: ModelFile, on_share: Callable[[float], None]) -> None:
        """Raises ModelLoadError for a file that does not fit, or does not survive its first load in a child process."""
        await self._make_room(model)
        trial = asyncio.create_task(self._catalog.try_load(model, lambda share: self._reach(share * TRIAL_SHARE)))
        try:
            await self._follow(trial, on_share)
        finally:
            # Its child process ends with it, and must not outlive the app.
            trial.cancel()
            await asyncio.gather(trial, return_exceptions=True)
        if error := trial.result():
            raise ModelLoadError(error)

    async def _make_room(self, model: ModelFile) -> None:
        """Raises ModelLoadError for a model that does not fit, even when those leave that nobody needs."""
        if self._memory is None:
            return
        unused = self._engine.figures.unused_bytes
        if reason := self._memory.refusal(model, self._catalog.models, reclaimable=unused):
            raise ModelLoadError(reason)
        if self._memory.refusal(model):
            await asyncio.to_thread(self._engine.make_room)

    async def _bring(self, model: ModelFile, on_share: Callable[[float], None], first_share: float) -> None:
        def reach(share: float) -> None:
            self._reach(first_share + share * (1 - first_share))

        load = asyncio.create_task(asyncio.to_thread(self._engine.load, model.path, reach))
        try:
            await self._follow(load, on_share)
            load.result()
        except asyncio.CancelledError:
            # The thread cannot be stopped from here; it ends when the engine closes, and nobody asks how.
            load.add_done_callback(lambda done: done.exception())
            raise

    async def _follow(self, work: asyncio.Task[Any], on_share: Callable[[float], None]) -> None:
        while not work.done():
            on_share(self._share)
            await asyncio.wait([work], timeout=PROGRESS_SECONDS)

    def _reach(self, share: float) -> None:
        # Called on the loading thread; read by the loop that waits for it.
        self._share = share
