"""llama.cpp's models: weights, vocabulary, metadata, chat template, over the documented low-level API.

This module, `adapters.py`, `context.py`, `sampler.py` and `embedding.py` are the only importers of llama_cpp. A Model
may be read from any thread; a Context belongs to one.
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

import llama_cpp

from localchat_ui.engine.base import ModelLoadError
from localchat_ui.engine.thinking import marks_in
from localchat_ui.engine.tool_support import support_of
from localchat_ui.text import N_, Text

logger = logging.getLogger("localchat_ui.llama_cpp")
GGML_LOG_LEVEL_ERROR = 4
CONTROL_ATTRIBUTES = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN


@dataclass(frozen=True)
class ModelOptions:
    """How weights are loaded, in llama.cpp's terms. None leaves the choice to llama.cpp.

    `tensor_split` is the share of each graphics card. Without `extra_buffers` no copy of the weights is made in
    a layout that suits this processor (AMX, repacked rows): less memory, slower prompts.
    """

    n_gpu_layers: int | None = None
    main_gpu: int | None = None
    tensor_split: tuple[float, ...] = ()
    use_mmap: bool | None = None
    use_mlock: bool = False
    extra_buffers: bool = True

    def apply(self, parameters: llama_cpp.llama_model_params) -> None:
        parameters.use_extra_bufts = self.extra_buffers
        if self.n_gpu_layers is not None:
            parameters.n_gpu_layers = self.n_gpu_layers
        if self.main_gpu is not None:
            parameters.main_gpu = self.main_gpu
            parameters.split_mode = llama_cpp.LLAMA_SPLIT_MODE_NONE
        if self.tensor_split:
            n_devices = llama_cpp.llama_max_devices()
            if len(self.tensor_split) > n_devices:
                raise ModelLoadError(
                    f"TENSOR_SPLIT has {len(self.tensor_split)} shares; {n_devices} devices are the most."
                )
            shares = [*self.tensor_split, *[0.0] * (n_devices - len(self.tensor_split))]
            parameters.tensor_split = (ctypes.c_float * n_devices)(*shares)
        if self.use_mmap is not None or self.use_mlock:
            parameters.load_mode = _LOAD_MODES[self.use_mmap is not False, self.use_mlock]


DEFAULT_OPTIONS = ModelOptions()
_LOAD_MODES = {
    (True, False): llama_cpp.LLAMA_LOAD_MODE_MMAP,
    (True, True): llama_cpp.LLAMA_LOAD_MODE_MMAP_MLOCK,
    (False, False): llama_cpp.LLAMA_LOAD_MODE_NONE,
    (False, True): llama_cpp.LLAMA_LOAD_MODE_MLOCK,
}


class Model:
    """The weights and the vocabulary of one GGUF file. Raises ModelLoadError with llama.cpp's reason."""

    def __init__(
        self,
        path: Path,
        options: ModelOptions = DEFAULT_OPTIONS,
        *,
        vocab_only: bool = False,
        chat_template: str | None = None,
        on_progress: Callable[[float], bool] = lambda share: True,
    ) -> None:
        """`chat_template` takes the place of the file's own one.

        `on_progress` gets shares of 1; when it returns False the load is given up.
        """
        _initialise()
        self.path = path
        self.options = options
        # Of LoRA, each with its scale.
        self.adapters: list[tuple[llama_cpp.llama_adapter_lora_p, float]] = []
        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = vocab_only
        options.apply(parameters)
        # Kept in a local until the load is over: ctypes does not keep the callback alive.
        callback = llama_cpp.llama_progress_callback(functools.partial(_report, on_progress))
        parameters.progress_callback = callback
        with errors_of_this_thread() as errors:
            handle = llama_cpp.llama_model_load_from_file(os.fsencode(path), parameters)
        if not handle:
            raise ModelLoadError(reason_of(path, errors))
        self.handle = handle
        self.vocab = llama_cpp.llama_model_get_vocab(handle)
        self.n_vocab: int = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.n_ctx_train: int = llama_cpp.llama_model_n_ctx_train(handle)
        self.metadata = _metadata(handle)
        self.chat_template = chat_template or self.metadata.get("tokenizer.chat_template") or None
        self.thinking_marks = marks_in(self.chat_template)
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
    def n_head(self) -> int:
        """Attention heads of a layer. Needs the weights, as `can_truncate` does."""
        return int(llama_cpp.llama_model_n_head(self.handle))

    @property
    def can_truncate(self) -> bool:
        """Whether its memory can be shortened; a recurrent state is one lump, which can only be dropped or replaced."""
        return not (llama_cpp.llama_model_is_recurrent(self.handle) or llama_cpp.llama_model_is_hybrid(self.handle))

    def kv_bytes_per_token(self, kv_type: str = "f16") -> int:
        """Bytes of KV cache for each token of context. `q8_0` takes 34 bytes for 32 numbers, `f16` 64."""
        n_bytes = kv_bytes_per_token(self.metadata)
        return n_bytes * 34 // 64 if kv_type == "q8_0" else n_bytes

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

    @functools.cached_property
    def ends(self) -> list[int]:
        """Tokens that end a reply."""
        return [token for token in range(self.n_vocab) if self.is_end(token)]

    def vocabulary(self) -> list[bytes]:
        """All tokens as bytes, control tokens as templates write them."""
        return [self.bytes_of(token) for token in range(self.n_vocab)]

    def bytes_of(self, token: int) -> bytes:
        """A token as bytes, a control token as templates write it."""
        return self._to_bytes(token, special=True)

    def control_text(self, token: int) -> str:
        """How a control token is written out in templates."""
        return self.bytes_of(token).decode("utf-8", errors="replace") if token >= 0 else ""

    @property
    def fim_tokens(self) -> tuple[int, int, int]:
        """Tokens before a text, before what follows it, and before what is to stand between; -1 for none."""
        functions = (llama_cpp.llama_vocab_fim_pre, llama_cpp.llama_vocab_fim_suf, llama_cpp.llama_vocab_fim_mid)
        before, after, middle = (int(function(self.vocab)) for function in functions)
        return before, after, middle

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

    @functools.cached_property
    def _shown(self) -> frozenset[int]:
        """Control tokens in the marks around thinking and calls: those have to be seen to be told apart."""
        marks = [*(self.thinking_marks.all if self.thinking_marks else ())]
        if self.chat_template:
            marks += support_of(self.chat_template, self.bos, self.eos).format.marks
        return frozenset(token for mark in marks for token in self.tokenize(mark))

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
            n_bytes_per_token=model.kv_bytes_per_token(),
        )
    finally:
        model.close()


def llama_cpp_version() -> str:
    return str(llama_cpp.__version__)


def build_features() -> str:
    """What llama.cpp was built with: `CPU : AVX2 = 1 | …`."""
    return str(llama_cpp.llama_print_system_info().decode(errors="replace")).strip(" |")


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
def errors_of_this_thread() -> Iterator[list[str]]:
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


def reason_of(path: Path, errors: Sequence[str]) -> str:
    if not path.is_file():
        return Text("{name} could not be loaded: there is no such file.", name=path.name)
    said = errors[0].partition(": ")[2].removeprefix("error loading model: ").rstrip(".") if errors else ""
    if "magic" in said:
        said = N_("it is not a GGUF file")
    reason = said or N_("llama.cpp gave no reason")
    return Text("{name} could not be loaded: {reason}.", name=path.name, reason=reason)
