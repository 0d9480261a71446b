"""How fast this machine computes with a file: for a moment, and with a context of its own."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from localchat_ui.engine.base import ModelLoadError
from localchat_ui.engine.context import Context, ContextOptions
from localchat_ui.engine.llama import Model, ModelOptions

CELLS = 512
MOST_STEPS, PROMPTS = 128, 3


@dataclass(frozen=True)
class Timing:
    """Tokens per second: written one by one, and read `n_prompt` at once (0 if that was not asked for).

    `share` of the cores that were asked for it had meanwhile: much less than 1 on a machine that is busy otherwise.
    """

    decode: float
    prompt: float
    share: float


def time_model(path: Path, *, n_threads: int, seconds: float, n_prompt: int = 0) -> Timing:
    """Compute with a file for about so many seconds beside loading it. Raises ModelLoadError.

    Only for a thread or a process that ends: the threads of llama.cpp stay as long as it does.
    """
    model = Model(path, ModelOptions(n_gpu_layers=0))
    try:
        options = ContextOptions(n_ctx=CELLS, n_sequences=1, n_batch=max(16, n_prompt), n_threads=n_threads)
        context = Context(model, options)
        try:
            return _time(context, path, seconds, n_prompt, n_threads)
        finally:
            context.close()
    finally:
        model.close()


def _time(context: Context, path: Path, seconds: float, n_prompt: int, n_threads: int) -> Timing:
    def decode(n_tokens: int, position: int) -> float:
        context.add([0] * n_tokens, position=position, sequence=0, n_logits=1)
        begun = time.perf_counter()
        if code := context.decode():
            raise ModelLoadError(f"llama.cpp cannot compute with {path.name} (code {code}).")
        return time.perf_counter() - begun

    # The first one fetches the weights into memory, and starts the threads.
    position = 1
    decode(1, 0)
    begun, computed = time.perf_counter(), time.process_time()
    end = begun + seconds
    steps: list[float] = []
    while not steps or (time.perf_counter() < end and len(steps) < MOST_STEPS):
        steps.append(decode(1, position))
        position += 1
    prompts = []
    for _ in range(PROMPTS if n_prompt else 0):
        prompts.append(decode(n_prompt, position) / n_prompt)
        position += n_prompt
    share = (time.process_time() - computed) / (time.perf_counter() - begun) / n_threads
    return Timing(1 / statistics.median(steps), 1 / statistics.median(prompts) if prompts else 0.0, share)
