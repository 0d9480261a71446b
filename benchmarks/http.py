"""Replies over HTTP: how fast they are written, and when they begin.

`python -m benchmarks.http`: this program and llama.cpp's server, in processes of their own, with the same client,
model, context and questions; beside them the bare loop (bare_loop.py), alone in its process. Tokens are counted from
`usage`.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from functools import partial

from benchmarks import bare_loop
from benchmarks.bench import Bench, run
from benchmarks.client import ask_together, conversation, speed
from benchmarks.report import Table, in_turn, ratio
from benchmarks.servers import LLAMA_SERVER, OURS, Server, usable_cores

BARE = "bare loop"
# Slower than this share of the bare loop, something in the program takes the processor away from its engine.
ENOUGH = 0.9
STORY = "Write a very long story about a lighthouse keeper and the number {}. Do not stop early.\n\nOnce upon a time,"
SHORT = "What is {} + {}?"


def http(bench: Bench) -> None:
    with bench.servers() as servers:
        streams(bench, servers)
        first_text(bench, servers)


def streams(bench: Bench, servers: Mapping[str, Server]) -> None:
    """Tokens/s of 1, 4 and 8 streams together while all are being written, their prompts read before."""
    n_tokens = 64 if bench.quick else 160
    table = Table("tokens/s", OURS, BARE, LLAMA_SERVER)
    for n in (1, 4, 8):
        questions = [STORY.format(number) for number in range(n)]
        sides = {name: partial(_streams_speed, server, questions, n_tokens) for name, server in servers.items()}
        measured = in_turn(bench.rounds, {BARE: partial(bare_speed, bench, questions, n_tokens), **sides})
        table.row(f"{n} stream{'s' if n > 1 else ''}", measured)
        if n == 1 and (share := ratio(measured[OURS], measured[BARE])) < ENOUGH:
            bench.failures.append(f"one stream has {share:.2f} of the bare loop's tokens/s, less than {ENOUGH}")


def first_text(bench: Bench, servers: Mapping[str, Server]) -> None:
    """Milliseconds to the first text of a short prompt that is cached, alone and eight at once (median)."""
    table = Table("first text of a short, cached prompt", OURS, LLAMA_SERVER)
    for n, repetitions in ((1, 10), (8, 3)):
        sides = {name: partial(_first_text, server, n, repetitions) for name, server in servers.items()}
        table.row(("alone", f"{n} at once")[n > 1], in_turn(bench.rounds, sides), "{:.0f} ms")


def bare_speed(bench: Bench, questions: list[str], n_tokens: int) -> float:
    """Tokens/s of the bare loop, which reads the same conversations."""
    said = map(conversation, questions)
    return bare_loop.measure(bench.model, *said, n_tokens=n_tokens, n_threads=usable_cores())["tokens_per_second"]


def _streams_speed(server: Server, questions: list[str], n_tokens: int) -> float:
    ask_together(server, questions, max_tokens=1)
    replies = ask_together(server, questions, max_tokens=n_tokens)
    counts = [reply.n_tokens for reply in replies]
    assert min(counts) >= n_tokens / 2, f"{server.name} ended early: {counts} of {n_tokens} tokens"
    return speed(replies)


def _first_text(server: Server, n: int, repetitions: int) -> float:
    questions = [SHORT.format(number, number) for number in range(n)]
    ask_together(server, questions, max_tokens=1)
    taken = [reply.first for _ in range(repetitions) for reply in ask_together(server, questions, max_tokens=4)]
    return 1000 * statistics.median(taken)


if __name__ == "__main__":
    run(__doc__, http)
