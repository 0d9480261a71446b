"""What a model computes in: the KV cache, a stream of it for every sequence, and the batch that one decode takes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import llama_cpp
import numpy as np
import numpy.typing as npt

from localchat_ui.engine.adapters import attach
from localchat_ui.engine.base import ModelLoadError
from localchat_ui.engine.llama import Model, errors_of_this_thread, reason_of, supports_gpu
from localchat_ui.text import Text

KvType = Literal["f16", "q8_0"]
State = npt.NDArray[np.uint8]
KV_TYPES = {"f16": llama_cpp.GGML_TYPE_F16, "q8_0": llama_cpp.GGML_TYPE_Q8_0}
# Without flash attention the scores of a whole batch against the whole context are held at once: no more than this.
MOST_SCORE_BYTES = 512 * 2**20
# llama.cpp's kernels compute rows in groups of up to so many; cut elsewhere, the same rows are rounded in another way.
# Flash attention has a kernel of its own for so many rows and more.
BLOCK = 16
FLASH_BLOCK = 64
# Behind more tokens than this it divides what a row looks at among the threads, unless others are decoded with it.
UNDIVIDED = 256


@dataclass(frozen=True)
class ContextOptions:
    """`n_ctx` tokens for each of `n_sequences`; `n_batch` is the most that one decode takes.

    `flash_attention` None is automatic: on a CPU it is only used where the KV cache is quantised. `unified` lets all
    sequences share one stream of the cache.
    """

    n_ctx: int
    n_sequences: int
    n_batch: int
    n_threads: int
    kv_type: KvType = "f16"
    flash_attention: bool | None = None
    on_gpu: bool = False
    unified: bool = False

    @property
    def uses_flash_attention(self) -> bool:
        """Nothing else can read a quantised cache; on a GPU it is the faster one."""
        return (
            bool(self.flash_attention)
            or self.kv_type != "f16"
            or (self.flash_attention is None and self.computes_on_gpu)
        )

    @property
    def has_choice(self) -> bool:
        """Whether nothing but speed decides about flash attention."""
        return self.flash_attention is None and not self.uses_flash_attention

    @property
    def computes_on_gpu(self) -> bool:
        return self.on_gpu and supports_gpu()


class Context:
    """The KV cache and the compute buffers of one model. Belongs to the engine's thread.

    Every sequence has a stream of its own in the cache: what the others hold costs it nothing. The scores behind up to
    `longest_independent` tokens of one may be the same whatever is decoded with it.
    """

    def __init__(self, model: Model, options: ContextOptions) -> None:
        """Raises ModelLoadError when there is not enough memory."""
        flash = options.uses_flash_attention
        bytes_per_row = 0 if flash else model.n_head * options.n_ctx * 4
        self.n_batch = _bounded(options.n_batch, bytes_per_row)
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = options.n_ctx * options.n_sequences
        parameters.n_seq_max = options.n_sequences
        parameters.n_batch = parameters.n_ubatch = self.n_batch
        parameters.n_threads = parameters.n_threads_batch = options.n_threads
        parameters.type_k = parameters.type_v = KV_TYPES[options.kv_type]
        parameters.flash_attn_type = (
            llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        parameters.kv_unified = options.unified
        # A sliding-window cache that is kept whole can be truncated and reused like any other.
        parameters.swa_full = True
        parameters.no_perf = True
        with errors_of_this_thread() as errors:
            self.handle = llama_cpp.llama_init_from_model(model.handle, parameters)
        if not self.handle:
            raise ModelLoadError(
                f"{reason_of(model.path, errors)} A context of {parameters.n_ctx:,} tokens for all conversations may"
                " not fit into memory: try a smaller N_CTX or PARALLEL."
            )
        attach(model, self.handle)
        # A quantised cache has neither that kernel nor the one that divides a long sequence among threads.
        has_kernels = flash and options.kv_type == "f16"
        self.block = FLASH_BLOCK if has_kernels else BLOCK
        self.longest_independent = UNDIVIDED if has_kernels and options.n_threads > 1 else options.n_ctx
        if flash and options.computes_on_gpu:
            self.longest_independent = 0
        self.can_truncate = model.can_truncate
        self._n_vocab = model.n_vocab
        self._memory = llama_cpp.llama_get_memory(self.handle)
        self._batch = Batch(self.n_batch)

    def close(self) -> None:
        if self.handle:
            llama_cpp.llama_free(self.handle)
            self.handle = None

    def add(self, tokens: Sequence[int], *, position: int, sequence: int, n_logits: int) -> int:
        """Put tokens of one sequence into the batch, the last `n_logits` of them with logits; returns the last row."""
        return self._batch.add(tokens, position, sequence, n_logits)

    @property
    def n_pending(self) -> int:
        """Tokens in the batch that was not decoded yet."""
        return self._batch.n_tokens

    def decode(self) -> int:
        """Run the batch to its end and empty it. 0 is success."""
        code: int = llama_cpp.llama_decode(self.handle, self._batch.take())
        llama_cpp.llama_synchronize(self.handle)
        return code

    def logits(self, row: int) -> npt.NDArray[np.float32]:
        """Scores of all tokens behind that row of the batch decoded last; a view that the next decode overwrites."""
        scores = llama_cpp.llama_get_logits_ith(self.handle, row)
        return np.ctypeslib.as_array(scores, shape=(self._n_vocab,))

    def truncate(self, sequence: int, length: int) -> bool:
        """Keep the first `length` tokens of a sequence; False when this kind of memory cannot do that."""
        return bool(llama_cpp.llama_memory_seq_rm(self._memory, sequence, length, -1))

    def join(self, source: int, target: int) -> None:
        """Let a sequence hold what another one does, in addition. Both have to share a stream."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        self.truncate(source, 0)

    def save(self, sequence: int, *, checkpoint: bool = False) -> State:
        """What the cache holds of a sequence; of a `checkpoint` only the part that cannot be truncated."""
        flags = llama_cpp.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY if checkpoint else 0
        state = np.empty(llama_cpp.llama_state_seq_get_size_ext(self.handle, sequence, flags), np.uint8)
        n_bytes = llama_cpp.llama_state_seq_get_data_ext(self.handle, _bytes(state), len(state), sequence, flags)
        return state[:n_bytes]

    def restore(self, sequence: int, state: State, *, checkpoint: bool = False) -> bool:
        """Let a sequence hold what was saved of any. False when that failed, and it holds nothing then."""
        flags = llama_cpp.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY if checkpoint else 0
        if llama_cpp.llama_state_seq_set_data_ext(self.handle, _bytes(state), len(state), sequence, flags):
            return True
        self.truncate(sequence, 0)
        return False


def _bounded(n_batch: int, bytes_per_row: int) -> int:
    return max(FLASH_BLOCK, min(n_batch, MOST_SCORE_BYTES // max(1, bytes_per_row) // FLASH_BLOCK * FLASH_BLOCK))


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

    def add(self, tokens: Sequence[int], position: int, sequence: int, n_logits: int) -> int:
        start, end = self.n_tokens, self.n_tokens + len(tokens)
        self.n_tokens = end
        if len(tokens) == 1:
            # One row is filled faster like this, and most are alone.
            self._tokens[start], self._positions[start] = tokens[0], position
            self._sequences[start], self._wants_logits[start] = sequence, n_logits
            return start
        self._tokens[start:end] = tokens
        self._positions[start:end] = range(position, position + len(tokens))
        self._sequences[start:end] = sequence
        self._wants_logits[start : end - n_logits] = 0
        self._wants_logits[end - n_logits : end] = 1
        return end - 1

    def take(self) -> llama_cpp.llama_batch:
        """What has been added; then begin anew."""
        self._struct.n_tokens, self.n_tokens = self.n_tokens, 0
        return self._struct


def _bytes(state: State) -> Any:
    return _pointer(state, ctypes.c_uint8)


def _pointer(rows: npt.NDArray[Any], kind: Any) -> Any:
    return ctypes.cast(rows.ctypes.data, ctypes.POINTER(kind))


def try_model(path: Path, on_progress: Callable[[float], None]) -> None:
    """Load a file and compute with it, a batch and a token. Raises ModelLoadError; a hostile file may end the process.

    A batch takes other kernels than a token, and those may be the ones that this build of llama.cpp gets wrong.
    """

    def report(share: float) -> bool:
        on_progress(share)
        return True

    model = Model(path, on_progress=report)
    try:
        context = Context(model, ContextOptions(n_ctx=256, n_sequences=1, n_batch=FLASH_BLOCK, n_threads=2))
        try:
            context.add([0] * FLASH_BLOCK, position=0, sequence=0, n_logits=0)
            code = context.decode()
            context.add([0], position=FLASH_BLOCK, sequence=0, n_logits=1)
            code = code or context.decode()
        finally:
            context.close()
    finally:
        model.close()
    if code != 0:
        raise ModelLoadError(
            Text(
                "{name} could not be loaded: llama.cpp cannot compute with it (code {code}).",
                name=path.name,
                code=str(code),
            )
        )
