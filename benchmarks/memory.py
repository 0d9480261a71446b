"""Memory of the servers, their children included, in MB: when they have started, under load, and the most there was."""

from __future__ import annotations

from benchmarks.bench import Bench, run
from benchmarks.client import ask_together
from benchmarks.http import STORY
from benchmarks.prompts import long_prompt
from benchmarks.report import Table
from benchmarks.servers import LLAMA_SERVER, OURS, PARALLEL, Server


def memory(bench: Bench) -> None:
    """Resident (RSS) and proportional (PSS) memory; the model's file is part of both, as far as it was read."""
    with bench.servers() as servers:
        started = {name: server.memory() for name, server in servers.items()}
        for server in servers.values():
            _load(server, 64 if bench.quick else 160)
        loaded = {name: server.memory() for name, server in servers.items()}
    table = Table("memory, MB", OURS, LLAMA_SERVER)
    for when, found in (("at start", started), ("after 8 streams and a prompt of 1,500 tokens", loaded)):
        table.row(f"{when}, RSS", {name: [_mb(of.rss)] for name, of in found.items()})
        table.row(f"{when}, PSS", {name: [_mb(of.pss)] for name, of in found.items()})
    table.row("most, RSS", {name: [_mb(of.peak)] for name, of in loaded.items()})
    table.row("seconds until it answers", {name: [server.seconds] for name, server in servers.items()}, "{:.1f}")


def _load(server: Server, n_tokens: int) -> None:
    ask_together(server, [STORY.format(number) for number in range(PARALLEL)], max_tokens=n_tokens)
    ask_together(server, [long_prompt(1500)], max_tokens=1)


def _mb(n_bytes: int) -> float:
    return n_bytes / 1e6


if __name__ == "__main__":
    run(__doc__, memory)
