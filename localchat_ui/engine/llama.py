"""llama.cpp, wrapped once: Model and Context with explicit lifetimes, over the documented low-level API.

This module, `sampler.py` and `grammar.py` are the only importers of llama_cpp. A Model may be read from any thread; a
Context belongs to one.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from localchat_ui.engine.base import EngineError, ModelLoadError
from localchat_ui.engine.thinking import marks_in
from localchat_ui.engine.threads import usable_cores

logger = logging.getLogger("localchat_ui.llama_cpp")
NO_KV_SLOT = 1
GGML_LOG_LEVEL_ERROR = 4
NO_EMBEDDING = (llama_cpp.LLAMA_POOLING_TYPE_NONE, llama_cpp.LLAMA_POOLING_TYPE_RANK)
CONTROL_ATTRIBUTES = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN


class Model:
    """The weights and the vocabulary of one GGUF file. Raises ModelLoadError with llama.cpp's reason."""

    def __init__(
        self,
        path: Path,
        *,
        n_gpu_layers: int | None = None,
        vocab_only: bool = False,
        on_progress: Callable[[float], bool] = lambda share: True,
    ) -> None:
        """`on_progress` gets shares of 1; when it returns False the load is given up."""
        _initialise()
        self.path = path
        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = vocab_only
        if n_gpu_layers is not None:
            parameters.n_gpu_layers = n_gpu_layers
        # Kept in a local until the load is over: ctypes does not keep the callback alive.
        callback = llama_cpp.llama_progress_callback(functools.partial(_report, on_progress))
        parameters.progress_callback = callback
        with _errors_of_this_thread() as errors:
            handle = llama_cpp.llama_model_load_from_file(os.fsencode(path), parameters)
        if not handle:
            raise ModelLoadError(_reason(path, errors))
        self.handle = handle
        self.vocab = llama_cpp.llama_model_get_vocab(handle)
        self.n_vocab: int = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.n_ctx_train: int = llama_cpp.llama_model_n_ctx_train(handle)
        self.metadata = _metadata(handle)
        self.thinking_marks = marks_in(self.chat_template)
        self._shown = self._tokens_of_marks()
        self.piece = functools.lru_cache(maxsize=None)(self._piece)

    def close(self) -> None:
        if self.handle:
            llama_cpp.llama_model_free(self.handle)
            self.handle = None

    @property
    def n_bytes(self) -> int:
        """Bytes of the weights."""
        return int(llama_cpp.llama_model_size(self.handle))

    @property
    def n_bytes_per_token(self) -> int:
        """Bytes of KV cache for each token of context."""
        return kv_bytes_per_token(self.metadata)

    @property
    def chat_template(self) -> str | None:
        return self.metadata.get("tokenizer.chat_template") or None

    def tokenize(self, text: str, *, add_special: bool = False, as_text: bool = False) -> list[int]:
        """Tokens of a rendered prompt. Control tokens written out in it are recognised, unless `as_text`."""
        data = text.encode("utf-8", errors="replace")
        room = len(data) + 2
        while True:
            tokens = (llama_cpp.llama_token * room)()
            n = llama_cpp.llama_tokenize(self.vocab, data, len(data), tokens, room, add_special, not as_text)
            if n >= 0:
                return list(tokens[:n])
            if -n <= room:
                raise ValueError(f"the prompt could not be turned into tokens (code {n})")
            room = -n

    def is_end(self, token: int) -> bool:
        """Whether this token ends a reply."""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocab, token))

    def is_control(self, token: int) -> bool:
        """Whether this token steers the model and stands for no text: `<|im_end|>` and its like."""
        return bool(llama_cpp.llama_vocab_get_attr(self.vocab, token) & CONTROL_ATTRIBUTES)

    def control_text(self, token: int) -> str:
        """How a control token is written out in templates."""
        return self._to_bytes(token, special=True).decode("utf-8", errors="replace") if token >= 0 else ""

    @property
    def adds_bos(self) -> bool:
        """Whether the model expects its beginning-of-text token in front of everything."""
        return bool(llama_cpp.llama_vocab_get_add_bos(self.vocab))

    @property
    def bos(self) -> str:
        return self.control_text(llama_cpp.llama_vocab_bos(self.vocab))

    @property
    def eos(self) -> str:
        return self.control_text(llama_cpp.llama_vocab_eos(self.vocab))

    def _piece(self, token: int) -> bytes:
        """The bytes a token stands for; none for control tokens. May end in the middle of a character."""
        return self._to_bytes(token, special=token in self._shown)

    def _tokens_of_marks(self) -> frozenset[int]:
        """Control tokens that the marks around thinking are made of: those have to be seen to be told apart."""
        marks = self.thinking_marks
        return frozenset(token for mark in marks.all for token in self.tokenize(mark)) if marks else frozenset()

    def _to_bytes(self, token: int, *, special: bool) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            n = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, room, 0, special)
            if n >= 0:
                return buffer.raw[:n]
            room = -n


def _report(on_progress: Callable[[float], bool], share: float, _: ctypes.c_void_p) -> bool:
    return on_progress(share)


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
        with _errors_of_this_thread() as errors:
            self.handle = llama_cpp.llama_init_from_model(model.handle, parameters)
        if not self.handle:
            raise ModelLoadError(
                f"{_reason(model.path, errors)} A context of {n_cells:,} tokens for all conversations together may not"
                " fit into memory: try a smaller N_CTX or PARALLEL."
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


def embed(
    model: Model, texts: Sequence[Sequence[int]], *, n_threads: int, go_on: Callable[[], bool]
) -> list[list[float]]:
    """A vector of length 1 for each text, in a context of its own. `go_on` is asked before each; fewer come when it
    says no. Raises EngineError when the model has no such vectors."""
    architecture = model.metadata.get("general.architecture", "")
    parameters = llama_cpp.llama_context_default_params()
    # All of a text has to be in one batch to be summed up.
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = max(len(tokens) for tokens in texts)
    parameters.n_seq_max = 1
    parameters.embeddings = True
    parameters.no_perf = True
    if f"{architecture}.pooling_type" not in model.metadata:
        # Made to chat, not to compare texts: the mean over its tokens is what there is.
        parameters.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_MEAN
    with _errors_of_this_thread() as errors:
        handle = llama_cpp.llama_init_from_model(model.handle, parameters)
    if not handle:
        raise EngineError(f"{model.path.stem} gives no embeddings: {(errors or ['llama.cpp gave no reason'])[0]}")
    try:
        if llama_cpp.llama_pooling_type(handle) in NO_EMBEDDING:
            raise EngineError(f"{model.path.stem} gives no embeddings: it has no vector for a whole text.")
        llama_cpp.llama_set_n_threads(handle, n_threads, n_threads)
        return [_embed_one(model, handle, tokens) for tokens in texts if go_on()]
    finally:
        llama_cpp.llama_free(handle)


def _embed_one(model: Model, handle: llama_cpp.llama_context_p, tokens: Sequence[int]) -> list[float]:
    memory = llama_cpp.llama_get_memory(handle)
    if memory:
        llama_cpp.llama_memory_clear(memory, True)
    row = (llama_cpp.llama_token * len(tokens))(*tokens)
    code = llama_cpp.llama_decode(handle, llama_cpp.llama_batch_get_one(row, len(tokens)))
    values = llama_cpp.llama_get_embeddings_seq(handle, 0) if code == 0 else None
    if not values:
        raise EngineError(f"{model.path.stem} gives no embeddings: llama.cpp cannot compute them (code {code}).")
    vector = np.ctypeslib.as_array(values, shape=(llama_cpp.llama_model_n_embd(model.handle),)).astype(np.float64)
    length = float(np.linalg.norm(vector))
    return [float(value) for value in (vector / length if length else vector)]


@dataclass(frozen=True)
class GgufMetadata:
    """What a GGUF file says of itself. `quantisation` is llama.cpp's name (Q4_K_M); counts are exact."""

    name: str
    architecture: str
    parameters: int | None
    quantisation: str
    context_length: int
    has_chat_template: bool
    n_bytes_per_token: int


def read_metadata(path: Path) -> GgufMetadata:
    """Read a file's metadata without its weights (0.05 to 0.2 s). Raises ModelLoadError."""
    model = Model(path, vocab_only=True)
    try:
        values = model.metadata
        file_type = values.get("general.file_type", "")
        return GgufMetadata(
            name=values.get("general.name", ""),
            architecture=values.get("general.architecture", ""),
            parameters=int(llama_cpp.llama_model_n_params(model.handle)) or None,
            quantisation=_quantisation(int(file_type)) if file_type.isdecimal() else "",
            context_length=int(values.get(f"{values.get('general.architecture')}.context_length", 0)),
            has_chat_template=model.chat_template is not None,
            n_bytes_per_token=model.n_bytes_per_token,
        )
    finally:
        model.close()


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


def supports_gpu() -> bool:
    """Whether this build of llama.cpp can compute on a graphics card."""
    return bool(llama_cpp.llama_supports_gpu_offload())


def kv_bytes_per_token(metadata: Mapping[str, str]) -> int:
    """Bytes of KV cache for each token of context, at llama.cpp's default of 16 bits a number. 0 when it is unknown."""

    def numbers(key: str, default: int = 0) -> list[int]:
        found = re.findall(r"\d+", metadata.get(f"{metadata.get('general.architecture')}.{key}", ""))
        return [int(number) for number in found] or [default]

    n_layers = numbers("block_count")[0]
    n_heads = max(1, *numbers("attention.head_count", 1))
    width = numbers("embedding_length")[0] // n_heads
    keys, values = numbers("attention.key_length", width)[0], numbers("attention.value_length", width)[0]
    # A list gives the heads layer by layer.
    heads = numbers("attention.head_count_kv", n_heads)
    n_kv_heads = sum(heads) if len(heads) == n_layers else n_layers * heads[0]
    return n_kv_heads * (keys + values) * 2


def render_chat(
    template: str, messages: Sequence[Mapping[str, object]], *, bos: str, eos: str, arguments: Mapping[str, object]
) -> str:
    """A conversation in the words of a chat template (Jinja, sandboxed). Raises what the template raises."""
    return str(_formatter(template, bos, eos)(messages=list(messages), **arguments).prompt)  # type: ignore[arg-type]


@functools.lru_cache(maxsize=8)
def _formatter(template: str, bos: str, eos: str) -> Jinja2ChatFormatter:
    return Jinja2ChatFormatter(template=template, bos_token=bos, eos_token=eos)


def _quantisation(file_type: int) -> str:
    name = llama_cpp.llama_ftype_name(file_type)
    # llama.cpp writes "Q4_K - Medium"; people and file names write Q4_K_M.
    size = {"Small": "_S", "Medium": "_M", "Large": "_L"}
    kind, _, suffix = (name or b"").decode().partition(" - ")
    return kind + size.get(suffix, "")


def _metadata(handle: llama_cpp.llama_model_p) -> dict[str, str]:
    values = {}
    for index in range(llama_cpp.llama_model_meta_count(handle)):
        key = _string(functools.partial(llama_cpp.llama_model_meta_key_by_index, handle, index))
        values[key] = _string(functools.partial(llama_cpp.llama_model_meta_val_str_by_index, handle, index))
    return values


def _string(fill: Callable[[ctypes.Array[ctypes.c_char], int], int]) -> str:
    room = 1024
    while True:
        buffer = ctypes.create_string_buffer(room)
        n = fill(buffer, room)
        if n < room:
            return buffer.value.decode("utf-8", errors="replace")
        room = n + 1


_errors = threading.local()


@contextmanager
def _errors_of_this_thread() -> Iterator[list[str]]:
    """Collects what llama.cpp logs as errors meanwhile: its only way to say why a load failed."""
    lines: list[str] = []
    _errors.lines = lines
    try:
        yield lines
    finally:
        del _errors.lines


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _: ctypes.c_void_p) -> None:
    line = text.decode("utf-8", errors="replace").strip()
    if level == GGML_LOG_LEVEL_ERROR:
        getattr(_errors, "lines", []).append(line)
    logger.debug("%s", line)


@functools.cache
def _initialise() -> None:
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()


def _reason(path: Path, errors: Sequence[str]) -> str:
    if not path.is_file():
        return f"{path.name} could not be loaded: there is no such file."
    said = errors[0].partition(": ")[2].removeprefix("error loading model: ").rstrip(".") if errors else ""
    if "magic" in said:
        said = "it is not a GGUF file"
    return f"{path.name} could not be loaded: {said or 'llama.cpp gave no reason'}."
