"""How much memory a model takes, computed from what its file says of its shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from localchat_ui.library.gguf_header import GgufHeader, Value

KvType = Literal["f16", "q8_0"]
BYTES_A_NUMBER = {"f16": 2.0, "q8_0": 34 / 32}
N_BATCH = 512
# Measured on five models: a token with its text and merges, and what llama.cpp's threads work in.
BYTES_A_TOKEN_OF_VOCABULARY = 160
WORK_BYTES = 32 * 10**6
# The most that attention's scores may take at once: longer contexts are read in smaller batches.
MOST_SCORE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Shape:
    """What the memory of a model depends on beside its weights. 0 is unknown.

    `kv_width` counts the numbers that all layers together keep for each token, `state_width` those they keep for each
    conversation.
    """

    n_vocab: int = 0
    n_embd: int = 0
    n_ff: int = 0
    n_head: int = 0
    kv_width: int = 0
    state_width: int = 0


UNKNOWN = Shape()


@dataclass(frozen=True)
class Memory:
    """Bytes: the weights, the context of all conversations, and room to compute."""

    weights: int
    context: int
    compute: int

    @property
    def total(self) -> int:
        return self.weights + self.context + self.compute


def memory(weights: int, shape: Shape, *, n_ctx: int, parallel: int, kv_type: KvType = "f16") -> Memory:
    """What a model of `weights` bytes takes with `parallel` conversations of `n_ctx` tokens each.

    The weights count once: where llama.cpp keeps a copy of them to compute with, the pages of the file may leave.
    """
    keys_and_values = shape.kv_width * BYTES_A_NUMBER[kv_type] * n_ctx
    scores = min(shape.n_head * n_ctx * N_BATCH * 4, MOST_SCORE_BYTES)
    activations = N_BATCH * 4 * (4 * shape.n_embd + 2 * shape.n_ff + n_ctx)
    logits = parallel * shape.n_vocab * 4
    vocabulary = shape.n_vocab * BYTES_A_TOKEN_OF_VOCABULARY
    return Memory(
        weights,
        context=round(parallel * (keys_and_values + 4 * shape.state_width)),
        compute=scores + activations + logits + vocabulary + WORK_BYTES,
    )


def shape_of(header: GgufHeader) -> Shape:
    """From the metadata alone: by layers, heads and head sizes, which may differ from layer to layer."""

    def numbers(key: str, default: int = 0) -> list[int]:
        return _numbers(header.of_architecture(key)) or [default]

    n_layer = numbers("block_count")[0]
    n_embd = numbers("embedding_length")[0]
    heads = numbers("attention.head_count")
    kv_heads = _by_layer(numbers("attention.head_count_kv", heads[0]), n_layer)
    # Some models let their last layers use the keys and values of earlier ones.
    kv_heads = kv_heads[: n_layer - numbers("attention.shared_kv_layers")[0]]
    width = n_embd // max(1, *heads)
    size = numbers("attention.key_length", width)[0] + numbers("attention.value_length", width)[0]
    size_in_window = numbers("attention.key_length_swa")[0] + numbers("attention.value_length_swa")[0] or size
    is_window = _by_layer(numbers("attention.sliding_window_pattern"), n_layer) if size_in_window != size else []
    sizes = [size_in_window if is_window[layer : layer + 1] == [1] else size for layer in range(n_layer)]
    n_recurrent = n_layer - sum(1 for count in kv_heads if count) if numbers("ssm.state_size")[0] else 0
    inner = numbers("ssm.inner_size")[0]
    state = inner * numbers("ssm.state_size")[0] + inner * max(0, numbers("ssm.conv_kernel")[0] - 1)
    return Shape(
        n_vocab=_count(header.values.get("tokenizer.ggml.tokens")),
        n_embd=n_embd,
        n_ff=max(numbers("feed_forward_length")),
        n_head=max(heads),
        kv_width=sum(count * size for count, size in zip(kv_heads, sizes, strict=False)),
        state_width=n_recurrent * state,
    )


def _numbers(value: Value | None) -> list[int]:
    listed = value if isinstance(value, tuple) else (value,)
    return [int(number) for number in listed if isinstance(number, (int, float)) and number >= 0]


def _by_layer(values: list[int], n_layer: int) -> list[int]:
    return values if len(values) == n_layer else values[:1] * n_layer


def _count(value: Value | None) -> int:
    return value if isinstance(value, int) else 0
