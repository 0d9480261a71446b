"""How fast this machine computes, learnt from the replies it writes; measured for a moment while there are none yet."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import platform
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from localchat_ui.atomic_file import write_atomically
from localchat_ui.conversation import GenerationStats
from localchat_ui.engine.llama import llama_cpp_version
from localchat_ui.engine.machine import processor, usable_cores
from localchat_ui.library.child import END_WITH_STDIN, ChildError, running
from localchat_ui.library.measure import PACKINGS, Measured
from localchat_ui.library.speed import (
    SAME_HIGH,
    SAME_LOW,
    Observation,
    Range,
    Speed,
    Work,
    decode_range,
    prompt_range,
    spread,
)

logger = logging.getLogger(__name__)

MEASURE = (sys.executable, "-m", "localchat_ui.library.measure", END_WITH_STDIN)
# The computing takes less than one; a machine that is busy may take long to begin.
SECONDS_TO_MEASURE = 30.0
# With less of its cores a trial is about what else runs here. Where that is always so, a slow figure is the true one.
LEAST_SHARE, MOST_TRIALS = 0.8, 3
# Shorter replies and prompts say little: their clock is mostly about something else.
LEAST_REPLY, LEAST_PROMPT = 16, 64
# So many replies of a model tell more of it than those of others.
ENOUGH = 2
SAMPLES, MOST_MODELS = 24, 50
MOST_SPEED = 10.0**5
MEASURED_NAMES = {packing.name for packing in PACKINGS}


@dataclass
class _File:
    machine: str
    observations: list[Observation] = field(default_factory=list)
    version: int = 1


_FILE = TypeAdapter(_File)
_MEASURED = TypeAdapter(list[Measured])


class Calibration:
    """Learns on any thread; what it knows is kept in a file that is of use on this machine alone."""

    def __init__(self, file: Path, *, n_threads: int | None = None, kind: str = "") -> None:
        """`kind` is what else of the settings makes a difference, such as the layers on a graphics card."""
        self._file = file
        self._n_threads = n_threads or usable_cores()
        self._machine = _machine(self._n_threads, kind)
        self._lock = threading.Lock()
        self._observations: dict[str, Observation] = _load(file, self._machine)
        self._is_changed = False
        self._n_trials = 0

    @property
    def is_known(self) -> bool:
        """Whether there can be forecasts."""
        return any(each.decode for each in self._observations.values())

    @property
    def is_measured(self) -> bool:
        """Whether the common ways to pack weights were measured; what one model teaches is true of few others."""
        return self._observations.keys() >= MEASURED_NAMES

    def learn(self, name: str, work: Work, stats: GenerationStats) -> None:
        """From a reply that nothing else was computed beside."""
        prompt = 0.0
        n_read = stats.prompt_tokens - stats.reused_tokens
        if n_read >= LEAST_PROMPT and stats.seconds_to_first_token > 0:
            prompt = n_read / stats.seconds_to_first_token
        decode = stats.tokens_per_second if stats.reply_tokens >= LEAST_REPLY else 0.0
        with self._lock:
            self._add(name, work, decode, prompt)

    async def measure(self) -> None:
        """Compute for less than a second in a child process, once and for all; or again, if the machine was busy."""
        if self.is_measured:
            return
        try:
            async with running(MEASURE, str(self._n_threads)) as child:
                measured = _MEASURED.validate_json(await child.line(SECONDS_TO_MEASURE) or b"")
        except (ChildError, ValidationError) as error:
            logger.warning("the speed of this machine could not be measured: %s", error)
            return
        self._n_trials += 1
        if any(each.share < LEAST_SHARE for each in measured) and self._n_trials < MOST_TRIALS:
            logger.info("the speed of this machine is measured again later: it is busy")
            return
        with self._lock:
            for each in measured:
                work = Work(each.n_bytes, each.n_weights, each.n_weights)
                self._add(each.name, work, each.decode, each.prompt)
        await asyncio.to_thread(self.save)

    def forecast(self, name: str, work: Work) -> Speed | None:
        """How fast a model will be; None where nothing is known of this machine."""
        with self._lock:
            seen = list(self._observations.values())
            if not any(each.decode for each in seen):
                return None
            prompt = prompt_range([each for each in seen if each.prompt], work)
            own = self._observations.get(name)
            if own is None or own.work != work or len(own.decode) < ENOUGH:
                return Speed(decode_range([each for each in seen if each.decode], work), prompt)
            low, high = spread(own.decode)
            if own.prompt:
                prompt = Range(*spread(own.prompt))
            return Speed(Range(low * SAME_LOW, high * SAME_HIGH), prompt, is_seen=True)

    def save(self) -> None:
        """Keep what was learnt. Failing is no harm."""
        with self._lock:
            if not self._is_changed:
                return
            self._is_changed = False
            content = _FILE.dump_json(_File(self._machine, list(self._observations.values())))
        try:
            write_atomically(self._file, content)
        except OSError as error:
            logger.warning("what is known of the speed is not saved to %s: %s", self._file, error)

    def _add(self, name: str, work: Work, decode: float, prompt: float) -> None:
        decode, prompt = (speed if 0 < speed <= MOST_SPEED else 0.0 for speed in (decode, prompt))
        if not decode and not prompt:
            return
        observation = self._observations.pop(name, None)
        if observation is None or observation.work != work:
            observation = Observation(name, work, is_trial=name in MEASURED_NAMES)
        # Last in order, so that those leave first that were not used for long.
        self._observations[name] = observation
        observation.decode = [*observation.decode, *([decode] if decode else [])][-SAMPLES:]
        observation.prompt = [*observation.prompt, *([prompt] if prompt else [])][-SAMPLES:]
        if len(self._observations) > MOST_MODELS:
            del self._observations[next(each for each in self._observations if each not in MEASURED_NAMES)]
        self._is_changed = True


def _machine(n_threads: int, kind: str) -> str:
    """What the figures belong to, in a form that tells nothing of it."""
    parts = (platform.node(), platform.machine(), processor(), os.cpu_count(), n_threads, llama_cpp_version(), kind)
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


def _load(file: Path, machine: str) -> dict[str, Observation]:
    try:
        found = _FILE.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return {}
    if found.version != _File.version or found.machine != machine:
        return {}
    return {each.name: each for each in found.observations}
