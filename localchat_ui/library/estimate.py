"""What a model takes of a machine, computed from what its file says of its shape: memory, and work for each token."""

from __future__ import annotations

from collections.abc import Callable
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
# No model has more of anything, or more layers; a file may say so.
MOST, MOST_LAYERS, MOST_WEIGHTS = 10**7, 10**4, 10**13
# Tables of which a token takes a row; the first is the output's as well where that has none of its own.
ROWS = ("token_embd.", "per_layer_token_embd.", "position_embd.", "token_types.")
TIED = ("token_embd.weight",)


@dataclass(frozen=True)
class Shape:
    """What the memory of a model depends on beside its weights. 0 is unknown.

    `kv_width` counts the numbers that all layers together keep for each token, `state_width` those they keep for each
    conversation. `active_weights` are those that each token is multiplied with, and `read_share` of the file's bytes
    are read for that: of a mixture of experts only some, of a table of embeddings a row.
    """

    n_vocab: int = 0
    n_embd: int = 0
    n_ff: int = 0
    n_head: int = 0
    kv_width: int = 0
    state_width: int = 0
    active_weights: int = 0
    read_share: float = 1.0


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
    """From the metadata alone: by layers, heads and head sizes, which may differ from layer to layer.

    Where the tensors are known as well, the work is counted and not computed.
    """
    layers = _Layers(header)
    active, share = _counted_work(header, layers) if header.tensors and not _is_split(header) else layers.work()
    return Shape(
        n_vocab=layers.n_vocab,
        n_embd=layers.n_embd,
        n_ff=layers.n_ff,
        n_head=max(layers.heads),
        kv_width=sum(heads * size for heads, size in zip(layers.kv_heads, layers.sizes, strict=False)),
        state_width=layers.n_recurrent * layers.state,
        active_weights=active,
        read_share=share,
    )


class _Layers:
    """The layers of a model, as its metadata describe them; a file may say anything, so nothing is taken for sure."""

    def __init__(self, header: GgufHeader) -> None:
        def numbers(key: str, default: int = 0) -> list[int]:
            return _numbers(header.of_architecture(key)) or [default]

        def number(key: str, default: int = 0) -> int:
            return numbers(key, default)[0]

        self.n_layer = min(number("block_count"), MOST_LAYERS)
        self.n_embd = number("embedding_length")
        self.n_vocab = _count(header.values.get("tokenizer.ggml.tokens"))
        self.n_ff = max(numbers("feed_forward_length"))
        self.heads = numbers("attention.head_count")
        width = self.n_embd // max(1, *self.heads)
        self.size = number("attention.key_length", width) + number("attention.value_length", width)
        size_in_window = number("attention.key_length_swa") + number("attention.value_length_swa") or self.size
        is_window = numbers("attention.sliding_window_pattern") if size_in_window != self.size else []
        is_window = _by_layer(is_window, self.n_layer) if is_window else []
        self.sizes = [
            size_in_window if is_window[layer : layer + 1] == [1] else self.size for layer in range(self.n_layer)
        ]
        kv_heads = _by_layer(numbers("attention.head_count_kv", self.heads[0]), self.n_layer)
        if interval := number("full_attention_interval"):
            kv_heads = [heads if layer % interval == 0 else 0 for layer, heads in enumerate(kv_heads, start=1)]
        self.state = _state(number, self.n_embd)
        self.n_recurrent = sum(1 for heads in kv_heads if not heads) if self.state else 0
        # Some models let their last layers use the keys and values of earlier ones.
        self.kv_heads = kv_heads[: max(0, self.n_layer - number("attention.shared_kv_layers"))]
        self.n_expert = number("expert_count")
        self.n_expert_used = min(number("expert_used_count"), self.n_expert)
        self.n_ff_expert = number("expert_feed_forward_length", self.n_ff)
        self.n_dense = min(number("leading_dense_block_count"), self.n_layer)

    def work(self) -> tuple[int, float]:
        """Weights that a token is multiplied with, and their share of all."""
        attention = sum(self.n_embd * (max(self.heads) + heads) * self.size for heads in self.kv_heads)
        others = self.n_vocab * self.n_embd + attention
        n_sparse = self.n_layer - self.n_dense if self.n_expert else 0
        others += (self.n_layer - n_sparse) * 3 * self.n_embd * self.n_ff
        expert = n_sparse * 3 * self.n_embd * self.n_ff_expert
        active, total = others + self.n_expert_used * expert, others + self.n_expert * expert
        return active, active / total if total else 1.0


def _counted_work(header: GgufHeader, layers: _Layers) -> tuple[int, float]:
    """As `_Layers.work`, of the tensors that are there."""
    active = n_read = n_bytes = 0.0
    for name, tensor in header.tensors.items():
        share = 1.0
        if "_exps." in name and layers.n_expert:
            share = layers.n_expert_used / layers.n_expert
        elif name.startswith(ROWS) and (name not in TIED or "output.weight" in header.tensors):
            share = 0.0
        active += min(tensor.n_weights, MOST_WEIGHTS) * share
        n_read += tensor.n_bytes * share
        n_bytes += tensor.n_bytes
    return round(active), n_read / n_bytes if n_bytes else 1.0


def _is_split(header: GgufHeader) -> bool:
    return max(_numbers(header.values.get("split.count")), default=0) > 1


def _state(number: Callable[[str], int], n_embd: int) -> int:
    """Numbers that a layer without keys and values keeps for each conversation, of whichever kind it is."""
    inner, size, groups = number("ssm.inner_size"), number("ssm.state_size"), number("ssm.group_count")
    mamba = inner * size + max(0, number("ssm.conv_kernel") - 1) * (inner + 2 * groups * size)
    rwkv = n_embd * (number("wkv.head_size") + number("token_shift_count"))
    convolution = n_embd * max(0, number("shortconv.l_cache") - 1)
    return mamba if inner and size else rwkv if number("wkv.head_size") else convolution


def _numbers(value: Value | None) -> list[int]:
    listed = value if isinstance(value, tuple) else (value,)
    numbers = (number for number in listed if isinstance(number, (int, float)))
    return [int(number) for number in numbers if 0 <= number <= MOST]


def _by_layer(values: list[int], n_layer: int) -> list[int]:
    return values if len(values) == n_layer else values[:1] * n_layer


def _count(value: Value | None) -> int:
    return min(value, MOST) if isinstance(value, int) and value > 0 else 0
