"""What a grammar costs for each token, without the model: for a vocabulary of 49k and one of 262k tokens."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import models
from benchmarks.bench import Bench, run
from benchmarks.extras import PEOPLE
from benchmarks.report import Table
from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.grammar import guide_of
from localchat_ui.engine.llama import Model
from localchat_ui.engine.sampler import Sampler
from localchat_ui.engine.text import Phase

VOCABULARIES = {"smollm2": "49k", "gemma": "262k"}
N_TOKENS = 300
ROWS = ("compile the grammar, the first time", "compile it again", "mask of a token", "sample, all", "sample, masked")


def masks(bench: Bench) -> None:
    """Milliseconds, at what every reply does between two decodes."""
    sides = {}
    for name in models.NAMES:
        rounds = [_costs(models.find(name).path) for _ in range(bench.rounds)]
        sides[f"{VOCABULARIES[name]} tokens"] = dict(zip(ROWS, zip(*rounds, strict=True), strict=True))
    table = Table("milliseconds", *sides)
    for row in ROWS:
        table.row(row, {side: list(costs[row]) for side, costs in sides.items()}, "{:.2f}")


def _costs(path: Path) -> tuple[float, ...]:
    model = Model(path, vocab_only=True)
    options = RequestOptions(json_schema=PEOPLE)
    random = np.random.default_rng(1)
    scores = random.standard_normal(model.n_vocab).astype(np.float32)
    begun = time.perf_counter()
    guide_of(model, options, None, Phase.ANSWER)
    first = time.perf_counter() - begun
    begun = time.perf_counter()
    guide = guide_of(model, options, None, Phase.ANSWER)
    again = time.perf_counter() - begun
    assert guide is not None
    sampler = Sampler(model, RequestOptions(), [])
    mask, free, masked = list[float](), list[float](), list[float]()
    for _ in range(N_TOKENS):
        times = [time.perf_counter()]
        allowed = guide.allowed()
        times.append(time.perf_counter())
        sampler.sample(scores)
        times.append(time.perf_counter())
        token = sampler.sample(scores, allowed)
        times.append(time.perf_counter())
        if model.is_end(token):
            break
        guide.accept(token)
        for costs, start, end in zip((mask, free, masked), times, times[1:], strict=False):
            costs.append(end - start)
    sampler.close()
    model.close()
    return tuple(1000 * value for value in (first, again, median(mask), median(free), median(masked)))


if __name__ == "__main__":
    run(__doc__, masks)
