"""How many threads compute: as many as pay for themselves."""

from __future__ import annotations

import os
import statistics
import time

import psutil

from localchat_ui.engine.llama import Context

# A reply alone that is this much of the fastest leaves a core to the event loop and the browser, which gain more.
GOOD_ENOUGH = 0.85
BUDGET_SECONDS = 0.6
MAX_ROUNDS = 9


def usable_cores() -> int:
    """Physical cores this process may use: hyper-threads only compete for the same arithmetic."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or usable, usable))


def choose_threads(context: Context) -> int:
    """Threads for one token at a time, measured on this machine with this model.

    A single token is bound by memory, so fewer threads are often as fast; batches always get all cores.
    """
    cores = usable_cores()
    candidates = sorted({cores, max(1, cores - 1), (cores + 1) // 2})
    seconds: dict[int, list[float]] = {threads: [] for threads in candidates}
    begun = time.perf_counter()
    # In turn, so that a machine whose speed drifts does not decide. The first round only warms up.
    for number in range(MAX_ROUNDS):
        for threads in candidates:
            context.set_threads(single=threads, batch=cores)
            seconds[threads].append(_decode_one(context))
        if number >= 2 and time.perf_counter() - begun > BUDGET_SECONDS:
            break
    medians = {threads: statistics.median(times[1:]) for threads, times in seconds.items()}
    fastest = min(medians.values())
    return next(threads for threads in candidates if fastest / medians[threads] >= GOOD_ENOUGH)


def _decode_one(context: Context) -> float:
    context.add([0], position=0, sequence=0, wants_logits=True)
    started = time.perf_counter()
    context.decode()
    context.synchronize()
    context.cut(0, 0)
    return time.perf_counter() - started
