"""`python -m localchat_ui.library.measure THREADS` computes for less than a second, to see how fast this machine is.

Writes an empty line when it is ready, then a line of JSON: a list of `Measured`. What is computed with are models of
nothing but zeros, packed in the common ways: llama.cpp takes as long for them as for any other weights, and on disk
they take no room.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localchat_ui.engine.timing import time_model
from localchat_ui.library.child import speaking
from localchat_ui.library.gguf_header import ALIGNMENT, MAGIC, VERSIONS

SECONDS_EACH = 0.2
N_PROMPT = 32
N_VOCAB, N_EMBD, N_HEAD, N_FF = 256, 2048, 16, 6144


@dataclass(frozen=True)
class Packing:
    """A way to pack weights: its number in GGUF, the bytes of so many weights, and of how many layers a trial is."""

    name: str
    number: int
    block_bytes: int
    block_weights: int
    n_layer: int


PACKINGS = (
    Packing("Q4_K", 12, 144, 256, 4),
    Packing("Q8_0", 8, 34, 32, 3),
    Packing("F16", 1, 2, 1, 2),
)
F32 = Packing("F32", 0, 4, 1, 0)


@dataclass(frozen=True)
class Measured:
    """A trial: what a token took, and tokens per second. `prompt` is 0 where it was not measured.

    `share` of the cores is what it had, as in `Timing`.
    """

    name: str
    n_bytes: int
    n_weights: int
    decode: float
    prompt: float = 0.0
    share: float = 1.0


def main(arguments: Sequence[str]) -> None:
    with speaking(arguments) as (say, [n_threads]):
        say(json.dumps([dataclasses.asdict(each) for each in measure(int(n_threads))]))


def measure(n_threads: int) -> Iterator[Measured]:
    with tempfile.TemporaryDirectory() as folder:
        for packing in PACKINGS:
            path = Path(folder) / f"{packing.name}.gguf"
            n_bytes, n_weights = write_zeros(path, packing)
            n_prompt = N_PROMPT if packing is PACKINGS[0] else 0
            timing = time_model(path, n_threads=n_threads, seconds=SECONDS_EACH, n_prompt=n_prompt)
            path.unlink()
            yield Measured(packing.name, n_bytes, n_weights, timing.decode, timing.prompt, timing.share)


def write_zeros(path: Path, packing: Packing) -> tuple[int, int]:
    """A model of zeros as a file with a hole; returns the bytes and the number of the weights that a token needs."""
    values: dict[str, Any] = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "none",
        "llama.vocab_size": N_VOCAB,
        "llama.context_length": 4096,
        "llama.embedding_length": N_EMBD,
        "llama.feed_forward_length": N_FF,
        "llama.block_count": packing.n_layer,
        "llama.attention.head_count": N_HEAD,
        "llama.rope.dimension_count": N_EMBD // N_HEAD,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
    }
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (N_EMBD, N_VOCAB), "output_norm.weight": (N_EMBD,)}
    for layer in range(packing.n_layer):
        own: dict[str, tuple[int, ...]] = {f"attn_{name}": (N_EMBD, N_EMBD) for name in ("q", "k", "v", "output")}
        own |= {"ffn_gate": (N_EMBD, N_FF), "ffn_up": (N_EMBD, N_FF), "ffn_down": (N_FF, N_EMBD)}
        own |= {"attn_norm": (N_EMBD,), "ffn_norm": (N_EMBD,)}
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in own.items()}
    header = MAGIC + struct.pack("<IQQ", max(VERSIONS), len(shapes), len(values))
    header += b"".join(_value(key, value) for key, value in values.items())
    offset = n_all = 0
    for name, shape in shapes.items():
        n_weights = math.prod(shape)
        how = packing if len(shape) > 1 else F32
        header += _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, how.number, offset)
        offset += n_weights // how.block_weights * how.block_bytes
        offset += -offset % ALIGNMENT
        n_all += n_weights
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + -len(header) % ALIGNMENT + offset)
    return offset, n_all


def _value(key: str, value: str | int | float) -> bytes:
    if isinstance(value, str):
        return _string(key) + struct.pack("<I", 8) + _string(value)
    kind, form = (4, "I") if isinstance(value, int) else (6, "f")
    return _string(key) + struct.pack(f"<I{form}", kind, value)


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


if __name__ == "__main__":
    main(sys.argv[1:])
