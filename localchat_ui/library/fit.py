"""Whether a model fits into this machine's free memory, and what would."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from localchat_ui.library.estimate import UNKNOWN, KvType, Memory, Shape, memory
from localchat_ui.library.model_file import ModelFile, readable_size

SMALLEST_CONTEXT = 512
# Of the free memory; above it other programs feel it.
SHARE_AT_EASE = 0.75
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Verdict:
    """Whether a model runs here, in a few words, and what would make it fit.

    Where the shape is not known, its context is not counted: it needs at least so many bytes.
    """

    words: str
    need: int
    advice: str = ""
    is_known: bool = True

    @property
    def text(self) -> str:
        """One line: `fits well: about 1.2 GB of memory`."""
        about = "about" if self.is_known else "at least"
        return f"{self.words}: {about} {readable_size(self.need)} of memory{f'; {self.advice}' if self.advice else ''}"


@dataclass(frozen=True)
class MemoryCheck:
    """Compares models with the free memory, for the settings the program runs with."""

    n_ctx: int
    parallel: int
    kv_type: KvType = "f16"

    def refusal(self, model: ModelFile, others: Sequence[ModelFile] = (), reclaimable: int = 0) -> str | None:
        """Why it would not fit, with the numbers and what would fit instead; None when it fits.

        `reclaimable` bytes would be free if models that nobody needs left.
        """
        free = free_memory() + reclaimable
        need = self.need(model)
        if need.total <= free:
            return None
        return (
            f"{model.name} does not fit into memory: it needs about {readable_size(need.total)}"
            f" ({readable_size(need.weights)} for the model, {readable_size(need.context)} for"
            f" {self.parallel} × {self._context_of(model):,} tokens of context), and {readable_size(free)} are free."
            f" {self._advice(model, others, free)}"
        )

    def fit_together(self, models: Sequence[ModelFile], reclaimable: int = 0) -> bool:
        """Whether all of these can be loaded beside what is in memory now."""
        return sum(self.need(model).total for model in models) <= free_memory() + reclaimable

    def verdict(self, weights: int, shape: Shape = UNKNOWN, context_length: int = 0) -> Verdict:
        """Of a file of so many bytes, on this machine, for the settings the program runs with."""
        n_ctx = min(self.n_ctx or context_length, context_length or self.n_ctx)
        free = free_memory()

        def need(n_ctx: int, kv_type: KvType) -> int:
            return memory(weights, shape, n_ctx=n_ctx, parallel=self.parallel, kv_type=kv_type).total

        needed = need(n_ctx, self.kv_type)
        if needed <= free * SHARE_AT_EASE:
            return Verdict("fits well", needed, is_known=shape != UNKNOWN)
        if needed <= free:
            return Verdict("tight", needed, is_known=shape != UNKNOWN)
        if need(n_ctx, "q8_0") <= free:
            return Verdict("too big", needed, "fits with KV_TYPE=q8_0")
        while n_ctx >= 2 * SMALLEST_CONTEXT:
            n_ctx //= 2
            if need(n_ctx, self.kv_type) <= free:
                return Verdict("too big", needed, f"fits with N_CTX={n_ctx}")
        return Verdict("too big", needed, f"{readable_size(free)} are free; take a smaller quantisation or model")

    def need(self, model: ModelFile, n_ctx: int | None = None) -> Memory:
        return memory(
            model.size_bytes,
            model.shape,
            n_ctx=n_ctx or self._context_of(model),
            parallel=self.parallel,
            kv_type=self.kv_type,
        )

    def _context_of(self, model: ModelFile) -> int:
        own = model.context_length
        return min(self.n_ctx or own, own or self.n_ctx)

    def _advice(self, model: ModelFile, others: Sequence[ModelFile], free: int) -> str:
        n_ctx = self._context_of(model)
        while n_ctx >= 2 * SMALLEST_CONTEXT:
            n_ctx = n_ctx // 2 // SMALLEST_CONTEXT * SMALLEST_CONTEXT
            if self.need(model, n_ctx).total <= free:
                return f"It would fit with N_CTX={n_ctx}."
        fitting = [other for other in others if other.refusal is None and self.need(other).total <= free]
        if fitting:
            largest = max(fitting, key=lambda other: other.size_bytes)
            return f"{largest.name} ({readable_size(largest.size_bytes)}) would fit."
        return "Close other programs, or choose a smaller file."


def free_memory() -> int:
    """Bytes that can be had without pushing anything out, within the limit of a container if there is one."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        # Cached files count as used there, and leave when room is needed.
        cached = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(cached.get("inactive_file", 0)))
    return max(0, free)
