"""GGUF files of all kinds, of a few kilobytes and with random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np

# Every byte is a token, so that any text can be read and written; then the end of a text.
TOKENS = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def write_gguf(
    path: Path,
    architecture: str,
    values: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    has_vocabulary: bool = True,
    tokens: list[bytes] = TOKENS,
) -> Path:
    """`values` are bools, numbers and strings by key; {arch} stands for the architecture. Weights are random."""
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in values.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        put: Any = add.get(type(value), writer.add_array)
        put(key.format(arch=architecture), value)
    if has_vocabulary:
        kinds = gguf.TokenType
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_scores([0.0] * len(tokens))
        n_plain = len(tokens) - len(TOKENS)
        writer.add_token_types(
            [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, *[kinds.BYTE] * 256, *[kinds.NORMAL] * n_plain]
        )
    for name, shape in shapes.items():
        writer.add_tensor(name, random.standard_normal(shape).astype(np.float32) * 0.05)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_llama(
    path: Path,
    *,
    n_layer: int = 2,
    n_embd: int = 32,
    n_head: int = 4,
    n_head_kv: int = 2,
    n_ff: int = 64,
    n_vocab: int = len(TOKENS),
    n_ctx: int = 32768,
    template: str | None = TEMPLATE,
    architecture: str = "llama",
    more: Mapping[str, Any] | None = None,
    more_tensors: Mapping[str, tuple[int, ...]] | None = None,
) -> Path:
    """A model that llama.cpp loads and runs; `architecture` may be one whose tensors are llama's."""
    values: dict[str, Any] = {
        "general.name": path.stem,
        "{arch}.context_length": n_ctx,
        "{arch}.embedding_length": n_embd,
        "{arch}.feed_forward_length": n_ff,
        "{arch}.block_count": n_layer,
        "{arch}.attention.head_count": n_head,
        "{arch}.attention.head_count_kv": n_head_kv,
        "{arch}.attention.layer_norm_rms_epsilon": 1e-5,
        "{arch}.rope.dimension_count": n_embd // n_head,
        **({"tokenizer.chat_template": template} if template else {}),
        **(more or {}),
    }
    n_kv = n_embd // n_head * n_head_kv
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (n_vocab, n_embd),
        "output.weight": (n_vocab, n_embd),
        "output_norm.weight": (n_embd,),
        **(more_tensors or {}),
    }
    for layer in range(n_layer):
        for name, shape in {
            "attn_norm.weight": (n_embd,),
            "attn_q.weight": (n_embd, n_embd),
            "attn_k.weight": (n_kv, n_embd),
            "attn_v.weight": (n_kv, n_embd),
            "attn_output.weight": (n_embd, n_embd),
            "ffn_norm.weight": (n_embd,),
            "ffn_gate.weight": (n_ff, n_embd),
            "ffn_up.weight": (n_ff, n_embd),
            "ffn_down.weight": (n_embd, n_ff),
        }.items():
            shapes[f"blk.{layer}.{name}"] = shape
    tokens = [*TOKENS, *(f"t{number}".encode() for number in range(n_vocab - len(TOKENS)))]
    return write_gguf(path, architecture, values, shapes, tokens=tokens)


def write_kind(path: Path, name: str) -> Path:
    """A file of a kind by its name in KINDS."""
    write, _ = KINDS[name]
    return write(path)


def _bare(
    architecture: str, values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> Callable[[Path], Path]:
    return partial(write_gguf, architecture=architecture, values=values, shapes=shapes, has_vocabulary=False)


# How a file of each kind is written, and what it is to be taken for.
KINDS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "chat model": (write_llama, "chat"),
    "base model": (partial(write_llama, template=None), "base"),
    "embedding model": (partial(write_llama, more={"{arch}.pooling_type": 3}), "embedding"),
    "embedding model that reads both ways": (
        partial(write_llama, template=None, more={"{arch}.attention.causal": False}),
        "embedding",
    ),
    "reranker": (partial(write_llama, more={"{arch}.pooling_type": 4}), "reranker"),
    "classifier": (partial(write_llama, more_tensors={"cls.output.weight": (1, 32)}), "reranker"),
    "LoRA": (
        _bare(
            "llama",
            {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 16.0},
            {"blk.0.attn_q.weight.lora_a": (4, 32), "blk.0.attn_q.weight.lora_b": (32, 4)},
        ),
        "adapter",
    ),
    "control vector": (_bare("controlvector", {}, {"direction.1": (32,)}), "adapter"),
    "mmproj": (_bare("clip", {"general.type": "mmproj"}, {"v.patch_embd.weight": (8, 3, 2, 2)}), "projector"),
    "older mmproj": (
        _bare("clip", {"clip.has_vision_encoder": True}, {"v.patch_embd.weight": (8, 3, 2, 2)}),
        "projector",
    ),
    "vocabulary": (
        partial(write_gguf, architecture="llama", values={"{arch}.context_length": 128}, shapes={}),
        "vocabulary",
    ),
    "importance matrix": (_bare("llama", {"general.type": "imatrix"}, {"blk.0.attn_q.weight.counts": (1,)}), "other"),
    "picture model": (_bare("flux", {}, {"double_blocks.0.img_mod.lin.weight": (8, 8)}), "other"),
    "nothing at all": (_bare("llama", {}, {}), "other"),
    "diffusion model": (partial(write_llama, architecture="llada", more={"diffusion.shift_logits": False}), "other"),
    "encoder and decoder": (partial(write_llama, architecture="t5", template=None), "other"),
}
