from localchat_ui.engine.sequences import KvSequence, SequencePool, common_prefix


class RecordingMemory:
    """Does what llama.cpp's memory is asked to do, and writes it down."""

    def __init__(self, *, can_cut: bool = True) -> None:
        self.can_cut = can_cut
        self.calls: list[tuple[object, ...]] = []

    def cut(self, sequence: int, length: int) -> bool:
        self.calls.append(("cut", sequence, length))
        return True

    def copy(self, source: int, target: int, length: int) -> None:
        self.calls.append(("copy", source, target, length))


def run(pool: SequencePool, prompt: list[int], *reply: int) -> KvSequence:
    """A whole request: read the prompt, write the reply, give the sequence back."""
    sequence = pool.acquire(prompt)
    assert sequence is not None
    sequence.tokens[:] = [*prompt, *reply]
    pool.release(sequence)
    return sequence


def test_next_turn_of_a_conversation_reads_only_what_is_new():
    pool = SequencePool(RecordingMemory(), 2)
    first = run(pool, [1, 2, 3], 4, 5)
    second = pool.acquire([1, 2, 3, 4, 5, 6, 7])
    assert second is first
    assert second.tokens == [1, 2, 3, 4, 5]


def test_last_token_of_a_prompt_is_always_decoded_again():
    pool = SequencePool(RecordingMemory(), 1)
    run(pool, [1, 2, 3])
    sequence = pool.acquire([1, 2, 3])
    assert sequence is not None
    assert sequence.tokens == [1, 2]


def test_edited_message_keeps_everything_before_it():
    memory = RecordingMemory()
    pool = SequencePool(memory, 1)
    run(pool, [1, 2, 3, 4, 5, 6])
    sequence = pool.acquire([1, 2, 3, 4, 9, 9])
    assert sequence is not None
    assert sequence.tokens == [1, 2, 3, 4]
    assert memory.calls[-1] == ("cut", 0, 4)


def test_shared_system_prompt_is_copied_from_a_busy_sequence():
    memory = RecordingMemory()
    pool = SequencePool(memory, 2)
    busy = pool.acquire([1, 2, 3, 4])
    assert busy is not None
    busy.tokens[:] = [1, 2, 3, 4]
    other = pool.acquire([1, 2, 3, 8, 9])
    assert other is not None
    assert other.tokens == [1, 2, 3]
    assert memory.calls[-1] == ("copy", busy.id, other.id, 3)


def test_another_conversation_does_not_lose_its_sequence_to_a_short_shared_start():
    pool = SequencePool(RecordingMemory(), 2)
    long = run(pool, list(range(100)))
    other = pool.acquire([0, 1, 2, 777])
    assert other is not None
    assert other is not long
    assert len(long.tokens) == 100


def test_least_recently_used_sequence_is_given_up():
    pool = SequencePool(RecordingMemory(), 2)
    oldest = run(pool, [1, 1])
    run(pool, [2, 2])
    assert pool.acquire([3, 3]) is oldest


def test_none_is_left_when_all_are_busy():
    pool = SequencePool(RecordingMemory(), 1)
    assert pool.acquire([1]) is not None
    assert pool.acquire([2]) is None


def test_memory_that_cannot_be_cut_is_reused_whole_or_not_at_all():
    pool = SequencePool(RecordingMemory(can_cut=False), 1)
    run(pool, [1, 2, 3], 4)
    again = pool.acquire([1, 2, 3, 4, 5])
    assert again is not None
    assert again.tokens == [1, 2, 3, 4]
    pool.release(again)
    edited = pool.acquire([1, 2, 9])
    assert edited is not None
    assert edited.tokens == []


def test_common_prefix():
    assert common_prefix([1, 2, 3], [1, 2, 4]) == 2
    assert common_prefix([1, 2], [1, 2, 3]) == 2
    assert common_prefix([], [1]) == 0
