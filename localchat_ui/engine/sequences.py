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
        """Tokens of all sequences, idle ones included; what two of them share counts for each."""
        return sum(len(sequence.tokens) for sequence in self._sequences)

    def acquire(self, prompt: Sequence[int], *, block: int = 1) -> KvSequence | None:
        """An idle sequence, cut or filled so that its tokens begin the prompt; None when all are busy.

        The last token of the prompt is never among them: it has to be decoded for the logits behind it. What is cut, is
        cut to whole blocks of so many tokens.
        """
        idle = [sequence for sequence in self._sequences if not sequence.busy]
        if not idle:
            return None
        shared, source = self._longest_prefix(prompt, block)
        oldest = min(idle, key=lambda sequence: (bool(sequence.tokens), sequence.last_used))
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

    def _longest_prefix(self, prompt: Sequence[int], block: int) -> tuple[int, KvSequence]:
        """How much of a prompt can be had without reading, and where; an idle sequence rather than a busy one."""
        usable = [self._usable(sequence, prompt, block) for sequence in self._sequences]
        best = max(
            range(len(usable)), key=lambda n: (usable[n], not self._sequences[n].busy, -len(self._sequences[n].tokens))
        )
        return usable[best], self._sequences[best]

    def _usable(self, sequence: KvSequence, prompt: Sequence[int], block: int) -> int:
        shared = min(common_prefix(sequence.tokens, prompt), len(prompt) - 1)
        shared -= shared % block
        whole = not sequence.busy and shared == len(sequence.tokens)
        return shared if self._memory.can_cut or whole else 0

    def release(self, sequence: KvSequence, *, keep: bool = True) -> None:
        """Give a sequence back; what it holds stays for the next turn unless `keep` is false."""
        if not keep:
            self._cut(sequence, 0)
        sequence.busy = False
        sequence.last_used = next(self._clock)

    def free(self, n_tokens: int) -> bool:
        """Forget idle sequences, least recently used first, until so many tokens are gone; whether any were."""
        idle = [sequence for sequence in self._sequences if not sequence.busy and sequence.tokens]
        gone = 0
        for sequence in sorted(idle, key=lambda sequence: sequence.last_used):
            if gone >= n_tokens:
                break
            gone += len(sequence.tokens)
            self._cut(sequence, 0)
        return gone > 0

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
