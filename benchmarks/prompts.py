"""Prompts: how fast they are read, what of them is not read twice, and what a stream beside them feels.

Every prompt has a beginning of its own, so that nothing of it is cached unless that is the question.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

from benchmarks.bench import Bench, run
from benchmarks.client import Reply, ask, together
from benchmarks.http import STORY
from benchmarks.models import Model
from benchmarks.programs import program
from benchmarks.report import Table, in_turn
from benchmarks.servers import LLAMA_SERVER, OURS, Server, usable_cores

LLAMA_BENCH = "llama-bench"
# Some 20 tokens.
FILLER = "The keeper climbs the stairs, trims the wick, and writes the weather into his book. "
N_FILLERS = {1500: 70, 3000: 140}
numbers: Iterator[int] = count(1)


@dataclass(frozen=True)
class Turns:
    """The first turn of a conversation, whose prompt is long, and the second."""

    opening: Reply
    second: Reply

    @property
    def new_share(self) -> float:
        """Which part of the second turn's prompt had to be read."""
        return 1 - self.second.cached_tokens / self.second.prompt_tokens


def prompts(bench: Bench) -> None:
    with bench.servers() as servers:
        turns = reading(bench, servers)
        second_turn(turns)
        pause(bench, servers)


def reading(bench: Bench, servers: Mapping[str, Server]) -> dict[str, list[Turns]]:
    """Tokens/s of reading a cold prompt, to its first text, against `llama-bench` for as many tokens in one process.

    Returns the conversations of about 1,500 tokens.
    """
    table = Table("prompt, tokens/s read", OURS, LLAMA_BENCH, LLAMA_SERVER)
    turns: dict[str, list[Turns]] = {}
    for size in (1500, 3000):
        sides = {name: partial(_turns, server, size) for name, server in servers.items()}
        measured = in_turn(1 if bench.quick else bench.rounds, sides, warm_up=False)
        n_tokens = measured[OURS][0].opening.prompt_tokens
        speeds = {name: [turn.opening.prompt_tokens / turn.opening.first for turn in measured[name]] for name in sides}
        speeds[LLAMA_BENCH] = [reading_speed(bench.model, n_tokens) for _ in measured[OURS]]
        table.row(f"{n_tokens:,} tokens", speeds)
        turns = turns or measured
    return turns


def second_turn(turns: Mapping[str, Sequence[Turns]]) -> None:
    """Time to the first text of the second turn of a conversation of about 1,500 tokens, against that of the first."""
    n_tokens = turns[OURS][0].second.prompt_tokens
    table = Table(f"second turn, {n_tokens:,} tokens", OURS, LLAMA_SERVER)
    table.row("first text, ms", {name: [1000 * turn.second.first for turn in of] for name, of in turns.items()})
    shares = {name: [turn.second.first / turn.opening.first for turn in of] for name, of in turns.items()}
    table.row("against the cold first turn", shares, "{:.3f}")
    table.row("share of new tokens", {name: [turn.new_share for turn in of] for name, of in turns.items()}, "{:.3f}")


def pause(bench: Bench, servers: Mapping[str, Server]) -> None:
    """Longest pause of a stream while somebody else's prompt of about 3,000 tokens is read beside it.

    One that has to give the same text every time may have to be read in larger pieces.
    """
    size = 1500 if bench.quick else 3000
    table = Table(f"a stream beside a prompt of {size:,} tokens", OURS, LLAMA_SERVER)
    for kind, temperature in (("", 0.7), (" of temperature 0", 0.0)):
        sides = {name: partial(_pause, server, size, temperature) for name, server in servers.items()}
        measured = in_turn(1 if bench.quick else bench.rounds, sides, warm_up=False)
        pauses = {name: [longest for longest, _ in of] for name, of in measured.items()}
        table.row(f"longest pause beside one{kind}, ms", pauses)
        speeds = {name: [speed for _, speed in of] for name, of in measured.items()}
        table.row(f"tokens/s of the stream beside one{kind}", speeds)


def long_prompt(size: int) -> str:
    return f"{next(numbers)}. {FILLER * N_FILLERS[size]}\n\n"


def reading_speed(model: Model, n_tokens: int) -> float:
    """Tokens/s of `llama-bench` for a prompt of that length, read in batches of the same size."""
    command = [str(program(LLAMA_BENCH)), "--model", str(model.path), "--n-prompt", str(n_tokens), "--n-gen", "0"]
    command += ["--threads", str(usable_cores()), "--repetitions", "1", "--no-warmup", "--output", "json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(statistics.median(json.loads(done.stdout)[0]["samples_ts"]))


def _turns(server: Server, size: int) -> Turns:
    prompt = long_prompt(size)
    opening = ask(server, prompt, max_tokens=32)
    return Turns(opening, ask(server, prompt, opening.text, "And then?", max_tokens=4))


def _pause(server: Server, size: int, temperature: float) -> tuple[float, float]:
    """Milliseconds, and tokens/s of the stream, while it was written and the other prompt was read."""
    begun = threading.Event()

    def stream() -> Reply:
        question = STORY.format(next(numbers))
        return ask(server, question, max_tokens=400, on_text=lambda n: begun.set() if n > 4 else None)

    def other() -> Reply:
        begun.wait(60)
        return ask(server, long_prompt(size), max_tokens=1, temperature=temperature)

    running, reader = together([stream, other])
    start, end = reader.sent, min(reader.times[0], running.times[-1])
    n_tokens = running.tokens_until(end) - running.tokens_until(start)
    return 1000 * running.longest_pause(start, end), n_tokens / (end - start)


if __name__ == "__main__":
    run(__doc__, prompts)
