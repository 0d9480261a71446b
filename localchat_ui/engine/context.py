"""What a model computes in: the KV cache, and the batch that one decode takes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

from localchat_ui.engine.base import ModelLoadError
from localchat_ui.engine.llama import Model, errors_of_this_thread, reason_of
from localchat_ui.engine.threads import usable_cores

NO_KV_SLOT = 1


class Context:
    """The KV cache and the compute buffers of one model: `n_cells` tokens, shared by `n_sequences` sequences."""

    def __init__(self, model: Model, *, n_cells: int, n_sequences: int, n_batch: int) -> None:
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = n_cells
        parameters.n_seq_max = n_sequences
        parameters.n_batch = parameters.n_ubatch = n_batch
        parameters.kv_unified = True
        # A sliding-window cache that is kept whole can be cut and reused like any other.
        parameters.swa_full = True
        parameters.no_perf = True
        with errors_of_this_thread() as errors:
            self.handle = llama_cpp.llama_init_from_model(model.handle, parameters)
        if not self.handle:
            raise ModelLoadError(
                f"{reason_of(model.path, errors)} A context of {n_cells:,} tokens for all conversations may not fit"
                " into memory: try a smaller N_CTX or PARALLEL."
            )
        self.n_batch = n_batch
        self._n_vocab = model.n_vocab
        self._memory = llama_cpp.llama_get_memory(self.handle)
        self._batch = Batch(n_batch)
        self._n_threads = 0
        self.can_cut = self._ask_whether_it_can_be_cut()

    def _ask_whether_it_can_be_cut(self) -> bool:
        """A recurrent state is one lump: it can be dropped, but not shortened or shared in part.

        llama.cpp only tells about a sequence that holds something, so two tokens are read.
        """
        self.add([0, 0], position=0, sequence=0, wants_logits=False)
        code = self.decode(usable_cores())
        can_cut = code == 0 and self.cut(0, 1)
        llama_cpp.llama_memory_clear(self._memory, True)
        return can_cut

    def close(self) -> None:
        if self.handle:
            llama_cpp.llama_free(self.handle)
            self.handle = None

    def add(self, tokens: Sequence[int], *, position: int, sequence: int, wants_logits: bool) -> int:
        """Put tokens of one sequence into the batch; returns the row of the last one, for the sampler."""
        return self._batch.add(tokens, position, sequence, wants_logits)

    @property
    def n_pending(self) -> int:
        """Tokens in the batch that was not decoded yet."""
        return self._batch.n_tokens

    def decode(self, n_threads: int) -> int:
        """Run the batch to its end and empty it. 0 is success, NO_KV_SLOT a full cache, else the batch failed."""
        if n_threads != self._n_threads:
            self._n_threads = n_threads
            llama_cpp.llama_set_n_threads(self.handle, n_threads, n_threads)
        code: int = llama_cpp.llama_decode(self.handle, self._batch.take())
        llama_cpp.llama_synchronize(self.handle)
        return code

    def logits(self, row: int) -> npt.NDArray[np.float32]:
        """Scores of all tokens behind that row of the batch decoded last; a view that the next decode overwrites."""
        scores = llama_cpp.llama_get_logits_ith(self.handle, row)
        return np.ctypeslib.as_array(scores, shape=(self._n_vocab,))

    def cut(self, sequence: int, length: int) -> bool:
        """Keep the first `length` tokens of a sequence; False when this kind of memory cannot be cut there."""
        return bool(llama_cpp.llama_memory_seq_rm(self._memory, sequence, length, -1))

    def copy(self, source: int, target: int, length: int) -> None:
        """Let an empty sequence share the first `length` tokens of another; costs no memory."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, length)


class Batch:
    """What one decode computes, row by row. Owns the memory that llama.cpp reads it from."""

    def __init__(self, size: int) -> None:
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._sequences = np.zeros(size, np.int32)
        self._wants_logits = np.zeros(size, np.int8)
        self._one_each = np.ones(size, np.int32)
        # llama.cpp takes a list of sequences for every row: an address for each.
        self._lists = (self._sequences.ctypes.data + 4 * np.arange(size)).astype(np.uintp)
        self._struct = llama_cpp.llama_batch(
            token=_pointer(self._tokens, ctypes.c_int32),
            pos=_pointer(self._positions, ctypes.c_int32),
            n_seq_id=_pointer(self._one_each, ctypes.c_int32),
            seq_id=_pointer(self._lists, ctypes.POINTER(ctypes.c_int32)),
            logits=_pointer(self._wants_logits, ctypes.c_int8),
        )
        self.n_tokens = 0

    def add(self, tokens: Sequence[int], position: int, sequence: int, wants_logits: bool) -> int:
        start, last = self.n_tokens, self.n_tokens + len(tokens) - 1
        if start < last:
            self._tokens[start:last] = tokens[:-1]
            self._positions[start:last] = range(position, position + last - start)
            self._sequences[start:last] = sequence
            self._wants_logits[start:last] = False
        # One row is filled faster like this, and most are alone.
        self._tokens[last] = tokens[-1]
        self._positions[last] = position + last - start
        self._sequences[last] = sequence
        self._wants_logits[last] = wants_logits
        self.n_tokens = last + 1
        return last

    def take(self) -> llama_cpp.llama_batch:
        """What has been added; then begin anew."""
        self._struct.n_tokens, self.n_tokens = self.n_tokens, 0
        return self._struct


def _pointer(rows: npt.NDArray[Any], kind: Any) -> Any:
    return ctypes.cast(rows.ctypes.data, ctypes.POINTER(kind))


def try_model(path: Path, on_progress: Callable[[float], None]) -> None:
    """Load a file and compute one token with it. Raises ModelLoadError; a hostile file may end the process."""

    def report(share: float) -> bool:
        on_progress(share)
        return True

    model = Model(path, on_progress=report)
    try:
        context = Context(model, n_cells=64, n_sequences=1, n_batch=16)
        try:
            context.add([0], position=0, sequence=0, wants_logits=True)
            code = context.decode(1)
        finally:
            context.close()
    finally:
        model.close()
    if code != 0:
        raise ModelLoadError(f"{path.name} could not be loaded: llama.cpp cannot compute with it (code {code}).")
