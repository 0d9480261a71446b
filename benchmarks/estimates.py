"""How wrong the forecasts of memory and speed are, beside what was then measured: two real and four random models.

The speed is forecast by the measurement of a moment that a new installation makes, and not by what was learnt of the
model itself. On both sides the fastest of all rounds counts: other work on the machine makes nothing faster.
python -m benchmarks.estimates [--threads 2] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import psutil

from benchmarks import models
from localchat_ui.conversation import GenerationStats, RequestOptions
from localchat_ui.engine.base import Event, GenerationDone, GenerationFailed, GenerationRequest
from localchat_ui.engine.llama import Model
from localchat_ui.engine.loader import LoadOptions
from localchat_ui.engine.machine import usable_cores
from localchat_ui.engine.worker import LlamaEngine
from localchat_ui.library.calibration import Calibration
from localchat_ui.library.estimate import memory, shape_of
from localchat_ui.library.gguf_header import read_header
from localchat_ui.library.speed import work_of

N_CTX, PARALLEL = 4096, 4
N_PROMPT, N_REPLY, N_LONG, N_REPLIES = 32, 24, 1000, 8
KINDS = gguf.GGMLQuantizationType
# Their names say in what they differ.
RANDOM: dict[str, dict[str, Any]] = {
    "wide, Q8_0": {"n_layer": 4, "n_embd": 2048, "n_head": 16, "n_head_kv": 16, "n_ff": 5632, "kind": KINDS.Q8_0},
    "deep, Q4_0": {"n_layer": 64, "n_embd": 512, "n_head": 8, "n_head_kv": 2, "n_ff": 2048, "kind": KINDS.Q4_0},
    "8 experts, 2 in use, Q8_0": {
        "n_layer": 10, "n_embd": 768, "n_head": 12, "n_head_kv": 4, "n_ff": 1024, "n_expert": 8, "kind": KINDS.Q8_0,
    },
    "16 bits, F16": {"n_layer": 6, "n_embd": 1024, "n_head": 16, "n_head_kv": 8, "n_ff": 4096, "kind": KINDS.F16},
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(_measure(options.measure, options.threads)))
        return
    with tempfile.TemporaryDirectory() as folder:
        files = {"SmolLM2-135M, Q4_1": models.find("smollm2").path, "gemma-3-270m, Q4_K_M": models.find("gemma").path}
        for number, (name, shape) in enumerate(RANDOM.items()):
            files[name] = write_random(Path(folder) / f"{number}.gguf", **shape)
        print(
            "| model | memory: forecast | taken | error | tokens/s: forecast | measured | error of its middle | in it |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for name, file in files.items():
            print(_row(name, file, options.threads, options.rounds, Path(folder)), flush=True)


def _row(name: str, file: Path, n_threads: int, n_rounds: int, folder: Path) -> str:
    shape, size = shape_of(read_header(file)), file.stat().st_size
    forecast = memory(size, shape, n_ctx=N_CTX, parallel=PARALLEL).total
    forecasts, speeds, taken = [], [], []
    for number in range(n_rounds):
        # In turn, so that whatever else the machine does hits both.
        calibration = Calibration(folder / f"{number}.json", n_threads=n_threads)
        asyncio.run(calibration.measure())
        calibration._file.unlink()
        speed = calibration.forecast(name, work_of(size, shape))
        assert speed is not None
        forecasts.append((speed.decode.low, speed.decode.high))
        command = [sys.executable, "-m", "benchmarks.estimates", "--measure", str(file), "--threads", str(n_threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        speeds.append(measured["speed"])
        taken.append(measured["memory"] + max(0, size - measured["weights"]))
    (low, high), speed_here, memory_here = max(forecasts), max(speeds), statistics.median(taken)
    middle = (low + high) / 2
    cells = [
        name,
        f"{forecast / 1e6:.0f} MB",
        f"{memory_here / 1e6:.0f} MB",
        f"{forecast / memory_here - 1:+.0%}",
        f"{low:.0f} to {high:.0f}",
        f"{speed_here:.0f}",
        f"{middle / speed_here - 1:+.0%}",
        "yes" if low <= speed_here <= high else "no",
    ]
    return f"| {' | '.join(cells)} |"


def _measure(file: Path, n_threads: int) -> dict[str, float]:
    """Memory for the weights alone, then with four conversations of which one reads a long prompt; tokens/s of one."""
    before = _private()
    model = Model(file)
    weights = _private() - before
    model.close()
    engine = LlamaEngine(LoadOptions(n_ctx=N_CTX, parallel=PARALLEL, n_threads=n_threads))
    engine.load(file, lambda share: None)
    _ask(engine, N_LONG, 2)
    taken = _private() - before
    speeds = [_ask(engine, N_PROMPT, N_REPLY).tokens_per_second for _ in range(N_REPLIES)]
    engine.close()
    return {"weights": weights, "memory": taken, "speed": max(speeds)}


def _ask(engine: LlamaEngine, n_prompt: int, n_reply: int) -> GenerationStats:
    done, stats = threading.Event(), list[GenerationStats]()

    def emit(event: Event) -> None:
        if isinstance(event, GenerationDone):
            stats.append(event.stats)
        if isinstance(event, (GenerationDone, GenerationFailed)):
            done.set()

    tokens = random.sample(range(300, 20_000), n_prompt)
    sampling = RequestOptions(max_tokens=n_reply, logit_bias={1: -100.0, 2: -100.0})
    engine.submit(GenerationRequest([], prompt=tokens, sampling=sampling), emit)
    done.wait()
    return stats[0]


def _private() -> int:
    used = psutil.Process().memory_info()
    return int(used.rss - used.shared)


def write_random(
    path: Path,
    *,
    n_layer: int,
    n_embd: int,
    n_head: int,
    n_head_kv: int,
    n_ff: int,
    kind: gguf.GGMLQuantizationType,
    n_expert: int = 0,
    n_vocab: int = 32_000,
) -> Path:
    """A model of llama's family with random weights; of its experts two are in use."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(32_768)
    writer.add_embedding_length(n_embd)
    writer.add_block_count(n_layer)
    writer.add_feed_forward_length(n_ff)
    writer.add_head_count(n_head)
    writer.add_head_count_kv(n_head_kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(n_embd // n_head)
    if n_expert:
        writer.add_expert_count(n_expert)
        writer.add_expert_used_count(2)
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    types = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
    n_more = n_vocab - len(tokens)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*tokens, *(f"t{number}".encode() for number in range(n_more))])
    writer.add_token_scores([0.0] * n_vocab)
    writer.add_token_types([*types, *[gguf.TokenType.NORMAL] * n_more])
    noise = np.random.default_rng(1).standard_normal(1 << 20).astype(np.float32) * 0.03
    for name, shape in _shapes(
        n_layer, n_embd=n_embd, n_kv=n_head_kv * n_embd // n_head, n_ff=n_ff, n_vocab=n_vocab, n_expert=n_expert
    ):
        weights: Any = np.resize(noise, shape)
        if len(shape) == 1 or "gate_inp" in name:
            writer.add_tensor(name, weights + 1)
        else:
            writer.add_tensor(name, gguf.quants.quantize(weights, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _shapes(
    n_layer: int, *, n_embd: int, n_kv: int, n_ff: int, n_vocab: int, n_expert: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from {"token_embd.weight": (n_vocab, n_embd), "output.weight": (n_vocab, n_embd)}.items()
    yield "output_norm.weight", (n_embd,)
    of_all: tuple[int, ...] = (n_expert,) if n_expert else ()
    ending = "_exps" if n_expert else ""
    for layer in range(n_layer):
        own: dict[str, tuple[int, ...]] = {
            "attn_norm": (n_embd,),
            "ffn_norm": (n_embd,),
            "attn_q": (n_embd, n_embd),
            "attn_k": (n_kv, n_embd),
            "attn_v": (n_kv, n_embd),
            "attn_output": (n_embd, n_embd),
            f"ffn_gate{ending}": (*of_all, n_ff, n_embd),
            f"ffn_up{ending}": (*of_all, n_ff, n_embd),
            f"ffn_down{ending}": (*of_all, n_embd, n_ff),
        }
        if n_expert:
            own["ffn_gate_inp"] = (n_expert, n_embd)
        yield from ((f"blk.{layer}.{name}.weight", shape) for name, shape in own.items())


if __name__ == "__main__":
    main()
