"""Whether flash attention is faster with a model on this processor: tried at its first load, and remembered."""

from __future__ import annotations

import json
import logging
import math
import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from localchat_ui.atomic_file import write_atomically
from localchat_ui.engine.context import BLOCK, FLASH_BLOCK, UNDIVIDED, Context, ContextOptions
from localchat_ui.engine.kv_disk_cache import fingerprint
from localchat_ui.engine.llama import Model, build_features, llama_cpp_version
from localchat_ui.engine.machine import processor

logger = logging.getLogger(__name__)

# Replies are tried behind so many tokens: behind a few both ways are fast.
LENGTH = 1024
# No more replies than this are tried together.
MOST_REPLIES = 8
# The most that is spent on decodes; about as many decodes for one reply are needed.
SECONDS = 1.5
LEAST_DECODES = 40
MOST_ROUNDS = 8
# Without it more of the replies that promise the same text share a decode: it has to be worth that.
WORTH = 1.03
# Halves of a trial that differ more than this were disturbed by other work.
STEADY = 1.1


@dataclass(frozen=True)
class Verdict:
    """What was chosen, and why, for the log."""

    flash_attention: bool
    reason: str


class Speed(NamedTuple):
    """Seconds of a decode for one reply, and of one for `n`, behind a long conversation."""

    one: float
    many: float
    n: int


class FlashTrials:
    """The verdicts of this machine, in a file; each is bound to the model, the processor and what computes there."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def verdict(self, model: Model, options: ContextOptions) -> Verdict:
        """Tried now, unless it was before. Computes, so it belongs into a thread that ends."""
        shape = replace(options, n_ctx=min(options.n_ctx, LENGTH))
        key = fingerprint(model.path, model.options, shape, processor(), build_features(), llama_cpp_version())
        known = self._read()
        if key in known:
            return known[key]
        verdict, steady = _try(model, options)
        chosen = "on" if verdict.flash_attention else "off"
        logger.info("flash attention is %s for %s: %s", chosen, model.path.name, verdict.reason)
        if steady:
            self._write({**known, key: verdict})
        return verdict

    def _read(self) -> dict[str, Verdict]:
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            return {key: Verdict(**verdict) for key, verdict in kept.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _write(self, verdicts: dict[str, Verdict]) -> None:
        kept = {key: asdict(verdict) for key, verdict in verdicts.items()}
        try:
            write_atomically(self._file, json.dumps(kept, indent=1).encode())
        except OSError as error:
            logger.warning("the choice of flash attention could not be kept: %s", error)


def judge(without: Speed, with_it: Speed) -> Verdict:
    """One reply and many count the same: a factor lost on one has to be won on the other."""
    said = f"a decode takes {1000 * without.one:.1f} ms without and {1000 * with_it.one:.1f} ms with it"
    if without.n > 1:
        said += f", of {without.n} replies {1000 * without.many:.1f} and {1000 * with_it.many:.1f} ms"
    return Verdict(gain(without, with_it) >= WORTH, said)


def gain(without: Speed, with_it: Speed) -> float:
    return math.sqrt(without.one / with_it.one * without.many / with_it.many)


def _try(model: Model, options: ContextOptions) -> tuple[Verdict, bool]:
    """Both ways in turn, as often as there is time for; the verdict, and whether it would be the same again."""
    with ExitStack() as stack:
        without, with_it = (_Side(model, replace(options, flash_attention=flash), stack) for flash in (False, True))
        started = time.perf_counter()
        if without.seconds_for_one() * LEAST_DECODES > SECONDS:
            return Verdict(flash_attention=False, reason="decodes take too long to try it"), False
        without.read()
        with_it.read()
        for n_rounds in range(1, MOST_ROUNDS + 1):
            without.round()
            with_it.round()
            spent = time.perf_counter() - started
            if n_rounds > 1 and spent * (n_rounds + 1) / n_rounds > SECONDS:
                break
        middle = n_rounds // 2
        halves = [gain(without.speed(part), with_it.speed(part)) for part in (slice(middle), slice(middle, None))]
        return judge(without.speed(), with_it.speed()), max(halves) < STEADY * min(halves)


class _Side:
    """One of the two ways, in two contexts: one for many replies, and one for a long conversation.

    Reading a long one would take seconds. So a few tokens are read and doubled, which only a cache of a single stream
    can; and what its length costs one reply is added for each of the many.
    """

    def __init__(self, model: Model, options: ContextOptions, stack: ExitStack) -> None:
        self._n = min(options.n_sequences, MOST_REPLIES)
        self._length = min(LENGTH, options.n_ctx)
        options = replace(options, n_batch=FLASH_BLOCK)
        short = replace(options, n_ctx=min(UNDIVIDED, options.n_ctx), n_sequences=self._n)
        long = replace(options, n_ctx=self._length, n_sequences=2, unified=True)
        self._short = stack.enter_context(closing(Context(model, short)))
        self._long = stack.enter_context(closing(Context(model, long)))
        self._rounds: list[tuple[float, float, float]] = []

    def seconds_for_one(self) -> float:
        """Of a decode for one reply, behind the one that brings the weights into memory."""
        return [_seconds(self._short, 1, position=0) for _ in range(2)][-1]

    def read(self) -> None:
        self._long.add([0] * BLOCK, position=0, sequence=0, n_logits=0)
        self._long.decode()
        length = BLOCK
        while 2 * length <= self._length:
            self._long.restore(1, self._long.save(0))
            self._long.join(1, 0)
            length *= 2

    def round(self) -> None:
        one, many = (_seconds(self._short, n, position=0) for n in (1, self._n))
        self._rounds.append((one, many, _seconds(self._long, 1, position=BLOCK)))

    def speed(self, part: slice = slice(None)) -> Speed:
        """By the least times: other work only ever adds to them."""
        one, many, one_behind = (min(times) for times in zip(*self._rounds[part], strict=True))
        return Speed(one_behind, many + self._n * max(0.0, one_behind - one), self._n)


def _seconds(context: Context, n: int, *, position: int) -> float:
    """Of a decode with a token of each of `n` replies, none of which stays."""
    for sequence in range(n):
        context.add([0], position=position, sequence=sequence, n_logits=1)
    started = time.perf_counter()
    context.decode()
    seconds = time.perf_counter() - started
    for sequence in range(n):
        context.truncate(sequence, position)
    return seconds
