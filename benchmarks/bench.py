"""What all benchmarks share: the command line, the model, and the servers, which run as long as a benchmark does."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import models
from benchmarks.servers import Server, llama_server, ours

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Bench:
    """`failures` are the sentences of checks that did not hold."""

    model: models.Model
    app: Path
    flags: tuple[str, ...]
    open_webui: Path | None
    rounds: int
    quick: bool
    failures: list[str]

    @contextmanager
    def servers(self) -> Iterator[dict[str, Server]]:
        """Ours and llama.cpp's, by name."""
        with self.ours() as mine, llama_server(self.model) as theirs:
            yield {server.name: server for server in (mine, theirs)}

    @contextmanager
    def ours(self, *flags: str, **options: int) -> Iterator[Server]:
        with ours(self.model, self.app, *self.flags, *flags, **options) as server:
            yield server


def run(description: str | None, *benchmarks: Callable[[Bench], None]) -> None:
    """Read the command line and run them. Exits with 1 when a check failed, and says which."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="of each measurement; 3, or 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="one round and shorter replies: a look, no measurement")
    parser.add_argument("--model", default=models.NAMES[0], help=f"{', '.join(models.NAMES)}, or a GGUF file")
    parser.add_argument("--app", type=Path, default=CHECKOUT, help="checkout whose localchat_ui is started")
    parser.add_argument("--flag", action="append", default=[], help="passed to it, such as --flag=--n-threads=1")
    parser.add_argument("--open-webui", type=Path, help="its command, to measure its page too")
    options = parser.parse_args()
    # Whoever ends it shall not leave servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rounds = options.rounds or (1 if options.quick else 3)
    model, app = models.find(options.model), options.app.resolve()
    bench = Bench(model, app, tuple(options.flag), options.open_webui, rounds, options.quick, [])
    print(f"{model.path.stem}, {rounds} rounds")
    for benchmark in benchmarks:
        benchmark(bench)
    if bench.failures:
        sys.exit("".join(f"\nFAILED: {failure}" for failure in bench.failures))
