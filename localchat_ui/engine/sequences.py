"""Which tokens each KV sequence holds, so that nothing is read twice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from localchat_ui.engine.context import State
from localchat_ui.engine.kv_disk_cache import LEAST_TOKENS, KvDiskCache, SavedSequence

# A memory that cannot be truncated keeps so many of its earlier states for each sequence.
MOST_CHECKPOINTS = 8
# Bytes a second that a sequence is copied with, until one was.
COPY_SPEED = 2e9


class Memory(Protocol):
    """What the pool needs of a Context."""

    can_truncate: bool
    block: int

    def truncate(self, sequence: int, length: int) -> bool: ...
    def save(self, sequence: int, *, checkpoint: bool = False) -> State: ...
    def restore(self, sequence: int, state: State, *, checkpoint: bool = False) -> bool: ...


class PromptEnd(NamedTuple):
    """The scores behind the first `length` tokens, a whole prompt: whoever asks the same need not compute them."""

    length: int
    scores: npt.NDArray[np.float32]
    canonical: bool


class Checkpoint(NamedTuple):
    """The state behind the first `length` tokens of a sequence whose memory cannot be truncated."""

    length: int
    state: State


@dataclass(eq=False)
class KvSequence:
    """One sequence of the KV cache; `tokens` are those it holds, in order.

    The first `n_canonical` of them were computed as a prompt is that is read from its start, block by block: bit for
    bit what anybody else gets who reads the same. Tokens of a reply are not, they were computed one at a time: behind a
    prompt of `n_prompt` tokens, if that is not 0 and was read so.
    """

    id: int
    tokens: list[int] = field(default_factory=list)
    n_canonical: int = 0
    n_prompt: int = 0
    prompt_end: PromptEnd | None = None
    checkpoints: list[Checkpoint] = field(default_factory=list)
    busy: bool = False
    last_used: int = 0

    def end_prompt(self, length: int, scores: npt.NDArray[np.float32], *, canonical: bool) -> None:
        """Remember the scores behind a prompt."""
        self.prompt_end = PromptEnd(length, scores.copy(), canonical)


class SequencePool:
    """Hands out sequences that already hold as much of a prompt as possible. Idle ones keep what they hold."""

    def __init__(self, memory: Memory, size: int, disk: KvDiskCache | None = None) -> None:
        """With a `disk` what has to leave goes there, and comes back when it is asked for."""
        self._memory = memory
        self._disk = disk
        self._sequences = [KvSequence(index) for index in range(size)]
        self._clock = count(1)
        self._copy_speed = COPY_SPEED
        # Of this model and kind of cache; known from the first copy on.
        self._bytes_per_token = 0.0

    def acquire(
        self, prompt: Sequence[int], *, n_prompt: int = 0, canonical: bool = False, seconds_per_token: float = 0.0
    ) -> KvSequence:
        """An idle sequence, of which there must be one, whose tokens begin the prompt.

        The last token of the prompt is not among them, because it has to be decoded for the scores behind it, unless
        those were kept. `canonical` takes only what was computed in whole blocks as a prompt is, and one by one what
        belongs to the reply behind the first `n_prompt`. `seconds_per_token` is what reading costs: what is copied for
        longer than it would be read for, is read.
        """
        idle = [sequence for sequence in self._sequences if not sequence.busy]
        reusable = {
            sequence.id: self._reusable(sequence, prompt, n_prompt if canonical else None)
            for sequence in self._sequences
        }
        source = max(self._sequences, key=lambda each: (reusable[each.id], not each.busy, -len(each.tokens), -each.id))
        length = reusable[source.id]
        oldest = min(idle, key=lambda sequence: (bool(sequence.tokens), sequence.last_used))
        # Taking over another conversation's sequence would throw away what lies behind the shared part.
        takes_over = not source.busy and (length >= len(source.tokens) / 2 or source is oldest)
        if length and takes_over:
            sequence = source
            self.truncate(sequence, length)
        else:
            sequence = oldest
            self._give_up(sequence)
            if length and self._seconds_to_copy(source) < length * seconds_per_token:
                self._copy(source, sequence)
                self.truncate(sequence, length)
        if self._disk and self._disk.longest_prefix(prompt) > len(sequence.tokens) + LEAST_TOKENS:
            self._read_from_disk(sequence, prompt, n_prompt if canonical else None)
        sequence.busy = True
        return sequence

    def borrow(self, prompt: Sequence[int], n_least: int) -> KvSequence | None:
        """The idle sequence whose tokens begin most of the prompt; None when no one holds its first `n_least`.

        Whoever borrows it truncates it to what it holds now before it is released.
        """
        idle = [sequence for sequence in self._sequences if not sequence.busy]
        lengths = {each.id: self._reusable(each, prompt, None) for each in idle}
        sequence = max(idle, key=lambda each: lengths[each.id], default=None)
        if sequence is None or lengths[sequence.id] < max(1, n_least):
            return None
        self.checkpoint(sequence)
        self.truncate(sequence, lengths[sequence.id])
        sequence.busy = True
        return sequence

    def close(self) -> None:
        """Let everything go to disk, where there is one."""
        for sequence in self._sequences:
            self._give_up(sequence)
        if self._disk:
            self._disk.close()

    @property
    def has_idle(self) -> bool:
        return any(not sequence.busy for sequence in self._sequences)

    @property
    def size(self) -> int:
        return len(self._sequences)

    @property
    def n_tokens(self) -> int:
        """Tokens of all sequences, idle ones included."""
        return sum(len(sequence.tokens) for sequence in self._sequences)

    def release(self, sequence: KvSequence, *, keep: bool = True) -> None:
        """Give a sequence back; what it holds stays for the next turn unless `keep` is false."""
        if not keep:
            self.truncate(sequence, 0)
        sequence.busy = False
        sequence.last_used = next(self._clock)

    def truncate(self, sequence: KvSequence, length: int) -> None:
        """Forget what a sequence holds beyond `length` tokens; a memory that cannot be truncated may keep fewer."""
        if length == len(sequence.tokens):
            return
        if length and not self._memory.can_truncate:
            length = self._roll_back(sequence, length)
        if not self._memory.truncate(sequence.id, length):
            length = 0
            self._memory.truncate(sequence.id, 0)
        del sequence.tokens[length:]
        sequence.n_canonical = min(sequence.n_canonical, length)
        sequence.n_prompt = sequence.n_prompt if length >= sequence.n_prompt else 0
        if sequence.prompt_end and length < sequence.prompt_end.length:
            sequence.prompt_end = None
        sequence.checkpoints = [each for each in sequence.checkpoints if each.length <= length]

    def checkpoint(self, sequence: KvSequence) -> None:
        """Remember the state a sequence has now, for a memory that cannot be truncated."""
        length = len(sequence.tokens)
        if self._memory.can_truncate or any(each.length == length for each in sequence.checkpoints):
            return
        sequence.checkpoints.append(Checkpoint(length, self._memory.save(sequence.id, checkpoint=True)))
        # The oldest stays, it is where conversations begin alike; of the others the newest are of more use.
        del sequence.checkpoints[1:-MOST_CHECKPOINTS]

    def close_gap(self, busy: Sequence[KvSequence]) -> None:
        """Let the last of these take the first free place among them.

        Only sequences that stand beside one another are computed together: a gap makes llama.cpp compute twice.
        """
        last = max(busy, key=lambda sequence: sequence.id)
        places = {sequence.id for sequence in busy}
        free = [each for each in self._sequences if min(places) < each.id < last.id and not each.busy]
        if not free:
            return
        first = min(free, key=lambda sequence: sequence.id)
        states = self._memory.save(last.id), self._memory.save(first.id) if first.tokens else None
        first.id, last.id = last.id, first.id
        for sequence, state in zip((last, first), states, strict=True):
            self._memory.truncate(sequence.id, 0)
            if state is not None and not self._memory.restore(sequence.id, state):
                self._forget(sequence)

    def _reusable(self, sequence: KvSequence, prompt: Sequence[int], n_prompt: int | None) -> int:
        """How many of the prompt's first tokens need not be read; with an `n_prompt` only what is canonical counts."""
        shared = common_prefix(sequence.tokens, prompt)
        end = sequence.prompt_end
        is_whole = end is not None and shared == len(prompt) == end.length and (end.canonical or n_prompt is None)
        if is_whole and self._memory.can_truncate:
            return shared
        shared = min(shared, len(prompt) - 1)
        step = 1
        if n_prompt is not None and not (shared >= n_prompt == sequence.n_prompt > 0):
            step = self._memory.block
            shared = min(shared, sequence.n_canonical) // step * step
        if self._memory.can_truncate or (shared == len(sequence.tokens) and not sequence.busy):
            return shared
        usable = [each.length for each in sequence.checkpoints if each.length <= shared and each.length % step == 0]
        return max(usable, default=0)

    def _roll_back(self, sequence: KvSequence, length: int) -> int:
        usable = [each for each in sequence.checkpoints if each.length <= length]
        newest = max(usable, key=lambda each: each.length, default=None)
        if newest is None or not self._memory.restore(sequence.id, newest.state, checkpoint=True):
            return 0
        return newest.length

    def _give_up(self, sequence: KvSequence) -> None:
        if self._disk and len(sequence.tokens) >= LEAST_TOKENS:
            state = self._memory.save(sequence.id)
            self._disk.write(SavedSequence(list(sequence.tokens), sequence.n_canonical, sequence.n_prompt, state))
        self.truncate(sequence, 0)

    def _read_from_disk(self, sequence: KvSequence, prompt: Sequence[int], n_prompt: int | None) -> None:
        assert self._disk
        saved = self._disk.read(prompt)
        if saved is None:
            return
        self._give_up(sequence)
        if self._memory.restore(sequence.id, saved.state):
            sequence.tokens[:] = saved.tokens
            sequence.n_canonical, sequence.n_prompt = saved.n_canonical, saved.n_prompt
            self.truncate(sequence, self._reusable(sequence, prompt, n_prompt))

    def _seconds_to_copy(self, source: KvSequence) -> float:
        return len(source.tokens) * self._bytes_per_token / self._copy_speed

    def _copy(self, source: KvSequence, target: KvSequence) -> None:
        started = time.perf_counter()
        state = self._memory.save(source.id)
        if not self._memory.restore(target.id, state):
            return
        target.tokens[:] = source.tokens
        target.n_canonical, target.n_prompt = source.n_canonical, source.n_prompt
        target.prompt_end, target.checkpoints = source.prompt_end, list(source.checkpoints)
        self._bytes_per_token = len(state) / max(1, len(source.tokens))
        self._copy_speed = len(state) / max(1e-6, time.perf_counter() - started)

    def _forget(self, sequence: KvSequence) -> None:
        sequence.tokens.clear()
        sequence.n_canonical = sequence.n_prompt = 0
        sequence.prompt_end = None
        sequence.checkpoints.clear()


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two sequences share from the start."""
    end = min(len(left), len(right))
    if left[:end] == right[:end]:
        return end
    # They share `start`, and differ before `end`.
    start = 0
    while end - start > 1:
        middle = (start + end) // 2
        if left[start:middle] == right[start:middle]:
            start = middle
        else:
            end = middle
    return start
