from __future__ import annotations

import numpy as np

from localchat_ui.engine.sequences import KvSequence, SequencePool, common_prefix


class ListMemory:
    """Holds numbers, as llama.cpp's memory holds what was computed for tokens."""

    block = 4

    def __init__(self, *, can_truncate: bool = True) -> None:
        self.can_truncate = can_truncate
        self.held: dict[int, list[int]] = {}
        self.n_saved = 0

    def truncate(self, sequence: int, length: int) -> bool:
        held = self.held.setdefault(sequence, [])
        if not self.can_truncate and 0 < length < len(held):
            return False
        del held[length:]
        return True

    def save(self, sequence: int, *, checkpoint: bool = False) -> np.ndarray:
        self.n_saved += 1
        return np.array(self.held.get(sequence, []))

    def restore(self, sequence: int, state: np.ndarray, *, checkpoint: bool = False) -> bool:
        self.held[sequence] = [int(number) for number in state]
        return True


class Pool(SequencePool):
    """A pool whose sequences can be filled as the scheduler fills them."""

    def __init__(self, size: int, *, can_truncate: bool = True) -> None:
        self.memory = ListMemory(can_truncate=can_truncate)
        super().__init__(self.memory, size)

    def take(self, prompt: list[int], *, canonical: bool = False, seconds_per_token: float = 1.0) -> KvSequence:
        sequence = self.acquire(prompt, canonical=canonical, seconds_per_token=seconds_per_token)
        assert sequence.tokens == prompt[: len(sequence.tokens)] == self.memory.held.get(sequence.id, [])
        return sequence

    def fill(self, sequence: KvSequence, *tokens: int, canonical: bool = False) -> None:
        sequence.tokens += tokens
        self.memory.held.setdefault(sequence.id, []).extend(tokens)
        if canonical:
            sequence.n_canonical = len(sequence.tokens)

    def run(self, prompt: list[int], *reply: int, canonical: bool = False) -> KvSequence:
        """A whole request: read the prompt, write the reply, give the sequence back."""
        sequence = self.take(prompt)
        self.fill(sequence, *prompt[len(sequence.tokens) :], canonical=canonical)
        self.fill(sequence, *reply)
        self.release(sequence)
        return sequence


def test_next_turn_of_a_conversation_reads_only_what_is_new():
    pool = Pool(2)
    first = pool.run([1, 2, 3], 4, 5)
    second = pool.take([1, 2, 3, 4, 5, 6, 7])
    assert second is first
    assert second.tokens == [1, 2, 3, 4, 5]


def test_last_token_of_a_prompt_is_always_decoded_again():
    pool = Pool(1)
    pool.run([1, 2, 3])
    assert pool.take([1, 2, 3]).tokens == [1, 2]


def test_a_whole_prompt_is_there_when_the_scores_behind_it_were_kept():
    pool = Pool(1)
    sequence = pool.take([1, 2, 3])
    pool.fill(sequence, 1, 2, 3)
    sequence.end_prompt(3, np.zeros(4, np.float32), canonical=False)
    pool.fill(sequence, 4, 5)
    pool.release(sequence)
    assert pool.take([1, 2, 3]).tokens == [1, 2, 3]
    pool.release(sequence)
    assert pool.take([1, 2, 3], canonical=True).tokens == []


def test_edited_message_keeps_everything_before_it():
    pool = Pool(1)
    pool.run([1, 2, 3, 4, 5, 6])
    assert pool.take([1, 2, 3, 4, 9, 9]).tokens == [1, 2, 3, 4]


def test_shared_system_prompt_is_copied_from_a_busy_sequence():
    pool = Pool(2)
    busy = pool.take([1, 2, 3, 4])
    pool.fill(busy, 1, 2, 3, 4)
    other = pool.take([1, 2, 3, 8, 9])
    assert other is not busy
    assert other.tokens == [1, 2, 3]
    assert busy.tokens == pool.memory.held[busy.id] == [1, 2, 3, 4]


def test_nothing_is_copied_where_reading_is_quicker():
    pool = Pool(2)
    busy = pool.take([1, 2, 3, 4])
    pool.fill(busy, 1, 2, 3, 4)
    assert pool.take([1, 2, 3, 8, 9], seconds_per_token=0.0).tokens == []


def test_another_conversation_does_not_lose_its_sequence_to_a_short_shared_start():
    pool = Pool(2)
    long = pool.run(list(range(100)))
    other = pool.take([0, 1, 2, 777])
    assert other is not long
    assert len(long.tokens) == 100


def test_least_recently_used_sequence_is_given_up():
    pool = Pool(2)
    oldest = pool.run([1, 1])
    pool.run([2, 2])
    assert pool.take([3, 3]) is oldest


def test_none_is_idle_when_all_are_busy():
    pool = Pool(1)
    assert pool.has_idle
    sequence = pool.take([1])
    assert not pool.has_idle
    pool.release(sequence)
    assert pool.has_idle


def test_only_whole_blocks_that_were_read_as_a_prompt_are_canonical():
    pool = Pool(1)
    pool.run(list(range(10)), 10, 11, 12, 13, canonical=True)
    longer = list(range(20))
    sequence = pool.take(longer, canonical=True)
    assert sequence.tokens == list(range(8)), "not the reply, and not the block that is not full"
    pool.release(sequence)
    pool.run(longer, canonical=False)
    again = pool.take(longer, canonical=True)
    assert len(again.tokens) == 8, "what was read behind anything else is not canonical either"


def test_a_copy_is_as_canonical_as_what_it_was_copied_from():
    pool = Pool(2)
    busy = pool.take(list(range(12)))
    pool.fill(busy, *range(12), canonical=True)
    other = pool.take([*range(9), 77], canonical=True)
    assert other.tokens == list(range(8))
    assert other.n_canonical == 8


def test_memory_that_cannot_be_truncated_is_reused_whole():
    pool = Pool(1, can_truncate=False)
    pool.run([1, 2, 3], 4)
    again = pool.take([1, 2, 3, 4, 5])
    assert again.tokens == [1, 2, 3, 4]
    pool.release(again)
    assert pool.take([1, 2, 9]).tokens == []


def test_memory_that_cannot_be_truncated_goes_back_to_a_checkpoint():
    pool = Pool(2, can_truncate=False)
    sequence = pool.take(list(range(10)))
    for length in (4, 8):
        pool.fill(sequence, *range(len(sequence.tokens), length))
        pool.checkpoint(sequence)
    pool.fill(sequence, 8, 9, 10, 11)
    copied = pool.take([*range(9), 99])
    assert copied is not sequence
    assert copied.tokens == list(range(8))
    pool.release(copied)
    pool.release(sequence)
    assert pool.take([0, 1, 2, 3, 4, 99]).tokens == [0, 1, 2, 3]


def test_the_oldest_checkpoint_and_the_newest_are_kept():
    pool = Pool(1, can_truncate=False)
    sequence = pool.take(list(range(200)))
    for length in range(4, 100, 4):
        pool.fill(sequence, *range(len(sequence.tokens), length))
        pool.checkpoint(sequence)
        pool.checkpoint(sequence)
    lengths = [each.length for each in sequence.checkpoints]
    assert lengths == [4, *range(68, 100, 4)]


def test_a_gap_is_closed_and_nothing_is_lost():
    pool = Pool(4)
    held = [pool.run([n, n, n]) for n in range(4)]
    busy = [pool.take([n, n, n, 9]) for n in (0, 1, 3)]
    assert busy == [held[0], held[1], held[3]]
    pool.close_gap(busy)
    assert sorted(sequence.id for sequence in busy) == [0, 1, 2]
    for sequence in held:
        assert pool.memory.held[sequence.id] == sequence.tokens == [sequence.tokens[0]] * 3
    n_saved = pool.memory.n_saved
    pool.close_gap(busy)
    assert pool.memory.n_saved == n_saved


def test_common_prefix():
    assert common_prefix([1, 2, 3], [1, 2, 4]) == 2
    assert common_prefix([1, 2], [1, 2, 3]) == 2
    assert common_prefix([], [1]) == 0
