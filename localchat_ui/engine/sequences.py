"""Which tokens each KV sequence holds, so that nothing is read twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol


class Memory(Protocol):
    """What the pool needs of a Context."""

    can_cut: bool

    def cut(self, sequence: int, length: int) -> bool: ...
    def copy(self, source: int, target: int, length: int) -> None: ...


@dataclass(eq=False)
class KvSequence:
    """One sequence of the KV cache; `tokens` are those it holds, in order."""

    id: int
    tokens: list[int] = field(default_factory=list)
    busy: bool = False
    last_used: int = 0


class SequencePool:
    """Hands out sequences that already hold as much of a prompt as possible. Idle ones keep what they hold."""

    def __init__(self, memory: Memory, size: int) -> None:
        self._memory = memory
        self._sequences = [KvSequence(index) for index in range(size)]
        self._clock = count(1)

    @property
    def n_tokens(self) -> int:
        """Tokens of all sequences, idle ones included."""
        return sum(len(sequence.tokens) for sequence in self._sequences)

    def acquire(self, prompt: Sequence[int]) -> KvSequence | None:
        """An idle sequence, cut or filled so that its tokens begin the prompt; None when all are busy.

        The last token of the prompt is never among them: it has to be decoded for the logits behind it.
        """
        idle = [sequence for sequence in self._sequences if not sequence.busy]
        if not idle:
            return None
        source = max(self._sequences, key=lambda sequence: common_prefix(sequence.tokens, prompt))
        shared = min(common_prefix(source.tokens, prompt), len(prompt) - 1)
        if not self._memory.can_cut and (source.busy or shared < len(source.tokens)):
            shared = 0
        oldest = min(idle, key=lambda sequence: sequence.last_used)
        # Taking over another conversation's sequence would throw away what lies behind the shared part.
        takes_over = not source.busy and shared >= len(source.tokens) / 2
        sequence = source if shared and (takes_over or source is oldest) else oldest
        if sequence is source:
            self._cut(sequence, shared)
        else:
            self._cut(sequence, 0)
            if shared:
                self._memory.copy(source.id, sequence.id, shared)
                sequence.tokens[:] = prompt[:shared]
        sequence.busy = True
        return sequence

    def release(self, sequence: KvSequence, *, keep: bool = True) -> None:
        """Give a sequence back; what it holds stays for the next turn unless `keep` is false."""
        if not keep:
            self._cut(sequence, 0)
        sequence.busy = False
        sequence.last_used = next(self._clock)

    def drop_idle(self) -> bool:
        """Forget what idle sequences hold; whether that was anything."""
        idle = [sequence for sequence in self._sequences if not sequence.busy and sequence.tokens]
        for sequence in idle:
            self._cut(sequence, 0)
        return bool(idle)

    def shorten(self, sequence: KvSequence, length: int) -> None:
        """Forget what a sequence holds beyond `length` tokens; all of it, when its memory cannot be cut."""
        self._cut(sequence, length if self._memory.can_cut else 0)

    def _cut(self, sequence: KvSequence, length: int) -> None:
        if length and length < len(sequence.tokens) and not self._memory.cut(sequence.id, length):
            length = 0
        if not length:
            self._memory.cut(sequence.id, 0)
        del sequence.tokens[length:]


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two sequences share from the start."""
    length = min(len(left), len(right))
    if left[:length] == right[:length]:
        return length
    return next(index for index in range(length) if left[index] != right[index])
