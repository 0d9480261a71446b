"""Models with random weights, of kinds that nobody packs for tests: llama.cpp runs them as it runs real ones."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

N_EMBD, N_INNER, N_STATE, N_CONV, N_RANK, N_LAYER, N_HEAD = 16, 32, 8, 4, 2, 2, 2
# Every byte is a token, so that any text can be read and written; then the end of a text.
TOKENS = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]


def write_mamba(path: Path) -> Path:
    """A recurrent model: its state is one lump, which llama.cpp refuses to shorten."""
    writer = _writer(path, "mamba")
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(N_CONV)
    writer.add_ssm_inner_size(N_INNER)
    writer.add_ssm_state_size(N_STATE)
    writer.add_ssm_time_step_rank(N_RANK)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (len(TOKENS), N_EMBD),
        "output.weight": (len(TOKENS), N_EMBD),
        "output_norm.weight": (N_EMBD,),
    }
    for layer in range(N_LAYER):
        for name, shape in {
            "attn_norm.weight": (N_EMBD,),
            "ssm_in.weight": (2 * N_INNER, N_EMBD),
            "ssm_conv1d.weight": (N_INNER, N_CONV),
            "ssm_conv1d.bias": (N_INNER,),
            "ssm_x.weight": (N_RANK + 2 * N_STATE, N_INNER),
            "ssm_dt.weight": (N_INNER, N_RANK),
            "ssm_dt.bias": (N_INNER,),
            "ssm_a": (N_INNER, N_STATE),
            "ssm_d": (N_INNER,),
            "ssm_out.weight": (N_EMBD, N_INNER),
        }.items():
            shapes[f"blk.{layer}.{name}"] = shape
    return _finish(writer, path, shapes)


def write_lfm2(path: Path) -> Path:
    """A hybrid model: a layer with a convolution whose state is one lump, and one with attention."""
    writer = _writer(path, "lfm2")
    writer.add_feed_forward_length(N_INNER)
    writer.add_head_count(N_HEAD)
    writer.add_head_count_kv([0, N_HEAD])
    writer.add_shortconv_l_cache(N_CONV)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (len(TOKENS), N_EMBD),
        "token_embd_norm.weight": (N_EMBD,),
    }
    attention = {f"attn_{name}.weight": (N_EMBD, N_EMBD) for name in ("q", "k", "v", "output")}
    norms = {f"attn_{name}_norm.weight": (N_EMBD // N_HEAD,) for name in ("q", "k")}
    convolution = {
        "shortconv.conv.weight": (N_EMBD, N_CONV),
        "shortconv.in_proj.weight": (3 * N_EMBD, N_EMBD),
        "shortconv.out_proj.weight": (N_EMBD, N_EMBD),
    }
    for layer, own in enumerate([convolution, attention | norms]):
        common = {
            "attn_norm.weight": (N_EMBD,),
            "ffn_norm.weight": (N_EMBD,),
            "ffn_gate.weight": (N_INNER, N_EMBD),
            "ffn_up.weight": (N_INNER, N_EMBD),
            "ffn_down.weight": (N_EMBD, N_INNER),
        }
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in (common | own).items()}
    return _finish(writer, path, shapes)


def _writer(path: Path, architecture: str) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(4096)
    writer.add_embedding_length(N_EMBD)
    writer.add_block_count(N_LAYER)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(TOKENS)
    writer.add_token_scores([0.0] * len(TOKENS))
    kinds = gguf.TokenType
    writer.add_token_types([kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, *[kinds.BYTE] * 256])
    return writer


def _finish(writer: gguf.GGUFWriter, path: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    random = np.random.default_rng(1)
    for name, shape in shapes.items():
        weights = random.standard_normal(shape).astype(np.float32)
        # The state of Mamba fades only when this is negative.
        writer.add_tensor(name, -np.abs(weights) if name.endswith("ssm_a") else weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
