"""Will a model run here, and how fast: what is told of every model before it is loaded, or even downloaded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from localchat_ui.conversation import GenerationStats
from localchat_ui.engine.llama import supports_gpu
from localchat_ui.library.calibration import Calibration
from localchat_ui.library.estimate import UNKNOWN, KvType, Shape
from localchat_ui.library.fit import MemoryCheck, Verdict, free_memory
from localchat_ui.library.model_file import ModelFile
from localchat_ui.library.speed import Speed, Work, work_of
from localchat_ui.settings import Settings
from localchat_ui.text import N_, Text

LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Forecast:
    """None is what cannot be told: of memory on a graphics card, of speed before anything was seen or measured."""

    verdict: Verdict | None = None
    speed: Speed | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """`fits well: about 1.2 GB of memory` and `about 40 tokens per second`; no speed of what does not fit."""
        if self.verdict and not self.verdict.fits:
            return (self.verdict.text,)
        return tuple(known.text for known in (self.verdict, self.speed) if known)

    @property
    def text(self) -> Text:
        """All in one line."""
        return Text.joined(" · ", self.lines)

    @property
    def sheet(self) -> dict[str, str]:
        """As names and values for people."""
        rows = {N_("Memory here"): self.verdict.text} if self.verdict else {}
        return rows | ({N_("Speed here"): self.speed.details} if self.speed else {})

    @property
    def short(self) -> Text:
        """As `text`, without what is to be done."""
        speed = self.speed.text if self.speed and (self.verdict is None or self.verdict.fits) else ""
        return Text.joined(" · ", (self.verdict.words if self.verdict else "", speed))


class Forecaster:
    """For the settings that the program runs with."""

    def __init__(
        self,
        memory: MemoryCheck | None,
        calibration: Calibration,
        *,
        n_ctx: int = 0,
        kv_type: KvType = "f16",
        reclaimable: Callable[[], int] = lambda: 0,
    ) -> None:
        """Without `memory` nothing is said of what fits. `reclaimable` bytes are free as soon as they are needed."""
        self.calibration = calibration
        self._memory = memory
        self._n_ctx = n_ctx
        self._kv_type: KvType = kv_type
        self._reclaimable = reclaimable
        self._free = 0
        self._looked_at = 0.0

    @property
    def can_measure(self) -> bool:
        """Whether a measurement would tell something that is not known: it computes without a graphics card."""
        return self._memory is not None and not self.calibration.is_measured

    def of(self, weights: int, shape: Shape = UNKNOWN, context_length: int = 0) -> Forecast:
        """Of a file of so many bytes, wherever it is."""
        verdict = self._memory.verdict(weights, shape, context_length, free=self._free_now()) if self._memory else None
        return Forecast(verdict, self.calibration.forecast("", self._work(weights, shape, context_length)))

    def of_file(self, model: ModelFile, *, is_loaded: bool = False) -> Forecast:
        """Of a file that is here. One that is loaded has its memory already."""
        speed = self.calibration.forecast(_key(model), self._work_of(model))
        if is_loaded or self._memory is None:
            return Forecast(None, speed)
        verdict = self._memory.verdict(model.size_bytes, model.shape, model.context_length, free=self._free_now())
        return Forecast(verdict, speed)

    def learn(self, model: ModelFile, stats: GenerationStats) -> None:
        """From a reply that nothing else was computed beside. May be called from any thread."""
        self.calibration.learn(_key(model), self._work_of(model), stats)

    def _work_of(self, model: ModelFile) -> Work:
        return self._work(model.size_bytes, model.shape, model.context_length)

    def _work(self, weights: int, shape: Shape, context_length: int) -> Work:
        n_ctx = min(self._n_ctx or context_length, context_length or self._n_ctx)
        return work_of(weights, shape, n_ctx=n_ctx, kv_type=self._kv_type)

    def _free_now(self) -> int:
        # Lists ask for every model, and often.
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._free, self._looked_at = free_memory() + self._reclaimable(), time.monotonic()
        return self._free


def _key(model: ModelFile) -> str:
    return f"{model.name}:{model.size_bytes}"


def new_forecaster(settings: Settings, reclaimable: Callable[[], int] = lambda: 0) -> Forecaster:
    kind = f"{settings.n_gpu_layers} {settings.flash_attention} {settings.kv_type}"
    calibration = Calibration(settings.data_dir / "speed.json", n_threads=settings.n_threads, kind=kind)
    return Forecaster(
        memory_check(settings), calibration, n_ctx=settings.n_ctx, kv_type=settings.kv_type, reclaimable=reclaimable
    )


def memory_check(settings: Settings) -> MemoryCheck | None:
    """None where a graphics card takes what it can hold, which is not ours to say."""
    if settings.n_gpu_layers != 0 and supports_gpu():
        return None
    return MemoryCheck(settings.n_ctx, settings.parallel, settings.kv_type)
