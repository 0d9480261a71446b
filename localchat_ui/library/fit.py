"""Whether a model fits into this machine's free memory, and what would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from localchat_ui.i18n import _
from localchat_ui.library.estimate import UNKNOWN, KvType, Memory, Shape, memory
from localchat_ui.library.model_file import ModelFile, readable_size

SMALLEST_CONTEXT = 512
# Below it there is no chat model worth the name.
SMALLEST_MODEL = 50 * 10**6
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
    fits: bool = True

    @property
    def text(self) -> str:
        """One line: `fits well: about 1.2 GB of memory`."""
        about, at_least = _("{words}: about {size} of memory"), _("{words}: at least {size} of memory")
        text = (about if self.is_known else at_least).format(words=self.words, size=readable_size(self.need))
        return f"{text}; {self.advice}" if self.advice else text


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

    def verdict(
        self, weights: int, shape: Shape = UNKNOWN, context_length: int = 0, *, free: int | None = None
    ) -> Verdict:
        """Of a file of so many bytes, on this machine, for the settings the program runs with.

        `free` are the bytes it may take, if that is not what is free now.
        """
        n_ctx = min(self.n_ctx or context_length, context_length or self.n_ctx)
        free = free_memory() if free is None else free

        def need(n_ctx: int, kv_type: KvType) -> int:
            return memory(weights, shape, n_ctx=n_ctx, parallel=self.parallel, kv_type=kv_type).total

        needed, is_known = need(n_ctx, self.kv_type), shape.n_embd > 0
        if needed <= free * SHARE_AT_EASE:
            return Verdict(_("fits well"), needed, is_known=is_known)
        if needed <= free:
            return Verdict(_("tight"), needed, is_known=is_known)
        return Verdict(_("too big"), needed, self._remedy(weights, n_ctx, free, need), is_known, fits=False)

    def _remedy(self, weights: int, n_ctx: int, free: int, need: Callable[[int, KvType], int]) -> str:
        """What would make it fit: what costs the least first."""
        if need(n_ctx, "q8_0") <= free:
            return _("fits with KV_TYPE=q8_0")
        for kv_type, words in (
            (self.kv_type, _("fits with N_CTX={n}")),
            ("q8_0", _("fits with N_CTX={n}, KV_TYPE=q8_0")),
        ):
            smaller = n_ctx
            while smaller >= 2 * SMALLEST_CONTEXT:
                smaller //= 2
                if need(smaller, kv_type) <= free:
                    return words.format(n=smaller)
        largest = free - (need(min(n_ctx, SMALLEST_CONTEXT), self.kv_type) - weights)
        if largest < SMALLEST_MODEL:
            return _("{free} are free; take a smaller quantisation or model").format(free=readable_size(free))
        text = _("{free} are free; take a smaller quantisation or model, of up to {largest}")
        return text.format(free=readable_size(free), largest=readable_size(largest))

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
