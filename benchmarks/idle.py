"""What conversations that wait cost one that is written: a stream beside seven idle ones, against one beside none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial

from benchmarks.bench import Bench, run
from benchmarks.client import ask, ask_together, speed
from benchmarks.http import STORY
from benchmarks.prompts import long_prompt
from benchmarks.report import Table, in_turn
from benchmarks.servers import LLAMA_SERVER, OURS, PARALLEL, Server, llama_server

BESIDE, ALONE = "beside 7 idle conversations of 1,500 tokens", "alone"


def idle(bench: Bench) -> None:
    """Tokens/s of one stream, at two servers of each kind: one that has only that conversation, one with seven more."""
    n_tokens = 100 if bench.quick else 300
    table = Table("tokens/s of one stream", BESIDE, ALONE)
    kinds: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        OURS: bench.ours,
        LLAMA_SERVER: partial(llama_server, bench.model),
    }
    for name, start in kinds.items():
        with ExitStack() as stack:
            full, empty = (stack.enter_context(start()) for _ in range(2))
            ask_together(full, [long_prompt(1500) for _ in range(PARALLEL - 1)], max_tokens=1)
            sides = {BESIDE: partial(_speed, full, n_tokens), ALONE: partial(_speed, empty, n_tokens)}
            table.row(name, in_turn(bench.rounds, sides))


def _speed(server: Server, n_tokens: int) -> float:
    return speed([ask(server, STORY.format(1), max_tokens=n_tokens)])


if __name__ == "__main__":
    run(__doc__, idle)
