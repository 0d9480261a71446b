"""The scheduler on a pretend model, for what a real one cannot be made to do on command.

The pretend context keeps real books: it refuses tokens at a wrong position, and the token it answers with follows from
everything its cache holds of that sequence. So a reply only comes out as it would alone when no token was lost,
doubled or mixed up with somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import pytest

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine import scheduler as scheduler_module
from localchat_ui.engine.base import GenerationRequest
from localchat_ui.engine.llama import NO_KV_SLOT
from localchat_ui.engine.prompt import Prompt
from localchat_ui.engine.scheduler import Generation, Scheduler
from localchat_ui.engine.threads import ThreadTuner
from tests.engine.harness import Collected

N_CTX = 1000


class PretendModel:
    end: int | None = None

    def is_end(self, token: int) -> bool:
        return token == self.end

    def piece(self, token: int) -> bytes:
        return f" {token}".encode()


class Clock:
    """Moves only when something is computed."""

    now = 1.0

    def perf_counter(self) -> float:
        return self.now


class PretendContext:
    """A KV cache in plain lists. `code_of` may look at the batch, sequence by sequence, and let it fail."""

    can_cut = True

    def __init__(self, n_batch: int) -> None:
        self.n_batch = n_batch
        self.clock = Clock()
        self.seconds_per_token = 0.001
        self.code_of: Callable[[dict[int, int]], int] = lambda batch: 0
        self.cache: dict[int, list[int]] = {}
        self.decoded: list[dict[int, int]] = []
        self._batch: list[tuple[int, int]] = []
        self._rows: dict[int, int] = {}

    def add(self, tokens: Sequence[int], *, position: int, sequence: int, wants_logits: bool) -> int:
        held = len(self.cache.setdefault(sequence, [])) + sum(1 for owner, _ in self._batch if owner == sequence)
        assert position == held, f"sequence {sequence} holds {held} tokens and gets one for position {position}"
        assert tokens
        if not self._batch:
            self._rows.clear()
        self._batch += [(sequence, token) for token in tokens]
        assert len(self._batch) <= self.n_batch, "the batch is too large"
        row = len(self._batch) - 1
        if wants_logits:
            self._rows[row] = sequence
        return row

    @property
    def n_pending(self) -> int:
        return len(self._batch)

    def decode(self, n_threads: int) -> int:
        sizes = {sequence: sum(1 for owner, _ in self._batch if owner == sequence) for sequence, _ in self._batch}
        code = self.code_of(sizes)
        self.clock.now += self.seconds_per_token * self.n_pending
        if code == 0:
            self.decoded.append(sizes)
            for sequence, token in self._batch:
                self.cache[sequence].append(token)
        self._batch.clear()
        return code

    def cut(self, sequence: int, length: int) -> bool:
        assert self.can_cut or length == 0, "the state of a recurrent model is one lump"
        del self.cache.setdefault(sequence, [])[length:]
        return True

    def copy(self, source: int, target: int, length: int) -> None:
        assert self.can_cut
        assert not self.cache[target]
        self.cache[target] = self.cache[source][:length]

    def next_token(self, row: int) -> int:
        return next_token(self.cache[self._rows[row]])


class PretendSampler:
    """Takes what the context says; `logit_bias` is added. Fails on prompts that begin with a `broken` token."""

    broken: tuple[int, ...] = ()
    unmakeable: tuple[int, ...] = ()
    open = 0

    def __init__(self, model: object, options: RequestOptions, history: Sequence[int]) -> None:
        if history[0] in self.unmakeable:
            raise ValueError("no such sampler")
        self._fails = history[0] in self.broken
        self._bias = int(options.logit_bias.get(0, 0))
        PretendSampler.open += 1

    def sample(self, context: PretendContext, row: int) -> int:
        if self._fails:
            raise RuntimeError("the sampler broke")
        return context.next_token(row) + self._bias

    def close(self) -> None:
        PretendSampler.open -= 1


@pytest.fixture(autouse=True)
def samplers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(scheduler_module, "Sampler", PretendSampler)
    monkeypatch.setattr(PretendSampler, "open", 0)
    yield
    assert PretendSampler.open == 0, "every sampler is closed once"


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> PretendContext:
    context = PretendContext(n_batch=32)
    monkeypatch.setattr(scheduler_module, "time", context.clock)
    return context


@pytest.fixture
def model() -> PretendModel:
    return PretendModel()


@pytest.fixture
def scheduler(model: PretendModel, context: PretendContext) -> Scheduler:
    return Scheduler(model, context, ThreadTuner(1), n_ctx=N_CTX, n_sequences=3)


def test_replies_written_together_are_what_they_would_be_alone(scheduler: Scheduler):
    requests = [ask(scheduler, [n, 2, 3], max_tokens=20) for n in range(10, 16)]
    run(scheduler)
    for collected, first in zip(requests, range(10, 16), strict=True):
        assert collected.text == expected([first, 2, 3], 20)
        assert collected.stats.finish_reason == "length"


def test_the_end_token_ends_a_reply_and_is_not_shown(scheduler: Scheduler, model: PretendModel):
    reply = reply_of([10, 2, 3], 10)
    model.end = reply[-1]
    length = reply.index(model.end)
    assert length > 3
    collected = ask(scheduler, [10, 2, 3])
    run(scheduler)
    assert collected.text == expected([10, 2, 3], length)
    assert collected.stats.finish_reason == "stop"
    assert collected.stats.reply_tokens == length


def test_a_full_cache_ends_the_youngest_and_the_others_go_on(scheduler: Scheduler, context: PretendContext):
    requests = [ask(scheduler, [n, 2, 3], max_tokens=30) for n in (10, 11, 12)]
    fail_once(context, NO_KV_SLOT, when=lambda batch: len(context.decoded) == 10)
    run(scheduler)
    assert requests[2].failure.startswith("The context has no room left for this reply.")
    assert [collected.text for collected in requests[:2]] == [expected([10, 2, 3], 30), expected([11, 2, 3], 30)]


def test_a_full_cache_ends_who_still_reads_its_prompt_before_who_writes(scheduler: Scheduler, context: PretendContext):
    writing = ask(scheduler, [10, 2, 3], max_tokens=30)
    scheduler.step()
    reading = ask(scheduler, [11, *range(2, 200)])
    scheduler.step()
    fail_once(context, NO_KV_SLOT)
    run(scheduler)
    assert reading.failure.startswith("The context has no room left")
    assert writing.text == expected([10, 2, 3], 30)


def test_a_full_cache_spares_the_oldest_even_while_it_reads(scheduler: Scheduler, context: PretendContext):
    ask(scheduler, [11, 2, 3], max_tokens=5)
    run(scheduler)
    long_prompt = [10, *range(2, 900)]
    older = ask(scheduler, long_prompt, max_tokens=5)
    scheduler.step()
    younger = ask(scheduler, [11, 2, 3], max_tokens=30)
    run(scheduler, until=lambda: len(younger.tokens) == 5)
    assert not older.tokens, "the younger had read its prompt before and writes already"
    fail_once(context, NO_KV_SLOT)
    run(scheduler)
    assert older.text == expected(long_prompt, 5)
    assert younger.failure.startswith("The context has no room left")


def test_after_a_full_cache_only_the_batch_that_failed_is_decoded_again(scheduler: Scheduler, context: PretendContext):
    prompt = [10, *range(2, 400)]
    older = ask(scheduler, prompt, max_tokens=50)
    run(scheduler, until=lambda: len(older.tokens) == 10)
    younger = ask(scheduler, [11, 2, 3], max_tokens=50)
    scheduler.step()
    fail_once(context, NO_KV_SLOT)
    run(scheduler)
    assert younger.failure
    assert older.text == expected(prompt, 50)
    assert sum(sum(sizes.values()) for sizes in context.decoded) < len(prompt) + 50 + 10
    assert all(progress.read <= progress.total for progress in older.progress)


def test_a_recurrent_model_reads_again_after_a_full_cache(scheduler: Scheduler, context: PretendContext):
    context.can_cut = False
    prompt = [10, *range(2, 40)]
    older = ask(scheduler, prompt, max_tokens=100)
    run(scheduler, until=lambda: len(older.tokens) == 60)
    younger = ask(scheduler, [11, 2, 3], max_tokens=50)
    fail_once(context, NO_KV_SLOT)
    run(scheduler)
    assert younger.failure
    assert older.text == expected(prompt, 100)
    assert all(progress.read <= progress.total for progress in older.progress)
    again = ask(scheduler, [*prompt, *reply_of(prompt, 100), 7], max_tokens=10)
    run(scheduler)
    assert again.text == expected([*prompt, *reply_of(prompt, 100), 7], 10)


def test_a_cache_that_stays_full_ends_one_reply_after_the_other(scheduler: Scheduler, context: PretendContext):
    requests = [ask(scheduler, [n, 2, 3], max_tokens=30) for n in (10, 11, 12)]
    context.code_of = lambda batch: NO_KV_SLOT
    run(scheduler)
    assert all(collected.failure for collected in requests)


@pytest.mark.parametrize("code", [2, -1, -3])
def test_another_failure_ends_all_that_took_part_and_nobody_else(
    code: int, scheduler: Scheduler, context: PretendContext
):
    requests = [ask(scheduler, [n, 2, 3], max_tokens=30) for n in (10, 11, 12, 13)]
    fail_once(context, code, when=lambda batch: len(context.decoded) == 10)
    run(scheduler)
    assert all(collected.failure.startswith("The model failed") for collected in requests[:3])
    assert requests[3].text == expected([13, 2, 3], 30), "it was still waiting for a place"


@pytest.mark.parametrize("n_decoded", [1, 3, 10])
def test_a_conversation_goes_on_after_a_failure_wherever_it_was(
    n_decoded: int, scheduler: Scheduler, context: PretendContext
):
    prompt = [10, *range(2, 80)]
    first = ask(scheduler, prompt, max_tokens=30)
    fail_once(context, -1, when=lambda batch: len(context.decoded) == n_decoded)
    run(scheduler)
    assert first.failure
    for length in (30, 60):
        again = ask(scheduler, [*prompt, *reply_of(prompt, length)], max_tokens=30)
        run(scheduler)
        assert again.text == expected([*prompt, *reply_of(prompt, length)], 30)


def test_a_failing_sampler_ends_its_own_request_only(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PretendSampler, "broken", (11,))
    requests = [ask(scheduler, [n, 2, 3], max_tokens=20) for n in (10, 11, 12)]
    run(scheduler)
    assert requests[1].failure.startswith("Choosing the next token failed.")
    assert [requests[n].text for n in (0, 2)] == [expected([n, 2, 3], 20) for n in (10, 12)]


def test_a_sampler_that_cannot_be_made_ends_its_own_request_only(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PretendSampler, "unmakeable", (11,))
    requests = [ask(scheduler, [n, 2, 3], max_tokens=20) for n in (10, 11, 12)]
    run(scheduler)
    assert requests[1].failure.startswith("These sampling settings could not be applied.")
    assert [requests[n].text for n in (0, 2)] == [expected([n, 2, 3], 20) for n in (10, 12)]


def test_a_long_prompt_is_read_beside_running_replies_not_instead_of_them(
    scheduler: Scheduler, context: PretendContext
):
    writing = [ask(scheduler, [n, 2, 3], max_tokens=200) for n in (10, 11)]
    scheduler.step()
    before = len(context.decoded)
    long_prompt = [12, *range(2, 600)]
    reading = ask(scheduler, long_prompt, max_tokens=5)
    run(scheduler, until=lambda: reading.tokens)
    steps = context.decoded[before:]
    reader = max(steps[0], key=lambda sequence: steps[0][sequence])
    for sizes in steps:
        assert [size for sequence, size in sizes.items() if sequence != reader] == [1, 1]
        assert sum(sizes.values()) <= context.n_batch
    assert len(steps) > 15
    assert max(sizes[reader] for sizes in steps) == context.n_batch - 2, "all the room that is left is used"
    run(scheduler)
    assert reading.text == expected(long_prompt, 5)
    assert [collected.text for collected in writing] == [expected([n, 2, 3], 200) for n in (10, 11)]


@pytest.mark.parametrize(("tokens_per_second", "chunk"), [(100, 20), (1000, 200), (100_000, 512)])
def test_prompt_chunks_are_as_large_as_a_fraction_of_a_second_allows(
    tokens_per_second: int, chunk: int, model: PretendModel, context: PretendContext
):
    context.n_batch = 512
    context.seconds_per_token = 1 / tokens_per_second
    scheduler = Scheduler(model, context, ThreadTuner(1), n_ctx=100_000, n_sequences=1)
    ask(scheduler, list(range(20_000)), max_tokens=1)
    for _ in range(20):
        scheduler.step()
    [size] = context.decoded[-1].values()
    assert size == pytest.approx(chunk, rel=0.05)
    scheduler.fail_all("enough")


def test_two_long_prompts_share_the_batches_without_mixing_up(scheduler: Scheduler):
    prompts = [[10, *range(2, 300)], [11, *range(2, 300)]]
    requests = [ask(scheduler, prompt, max_tokens=5) for prompt in prompts]
    run(scheduler)
    assert [collected.text for collected in requests] == [expected(prompt, 5) for prompt in prompts]


def test_a_prompt_tells_how_far_it_was_read(scheduler: Scheduler):
    collected = ask(scheduler, list(range(1, 201)), max_tokens=1)
    run(scheduler)
    read = [progress.read for progress in collected.progress]
    assert read == sorted(set(read))
    assert all(0 < n < 200 for n in read)
    assert {progress.total for progress in collected.progress} == {200}


def test_a_cancelled_prompt_is_not_read_to_its_end_and_its_place_is_taken(
    scheduler: Scheduler, context: PretendContext
):
    requests = [ask(scheduler, [n, *range(2, 900)]) for n in (10, 11, 12)]
    waiting = ask(scheduler, [13, 2], max_tokens=3)
    scheduler.step()
    for collected in requests:
        scheduler.cancel(collected.request.id)
    run(scheduler)
    assert {collected.stats.finish_reason for collected in requests} == {"cancelled"}
    assert sum(sum(sizes.values()) for sizes in context.decoded) < 50
    assert waiting.text == expected([13, 2], 3)


def test_what_a_cancelled_reply_has_read_is_used_again(scheduler: Scheduler):
    prompt = [10, *range(2, 100)]
    first = ask(scheduler, prompt, max_tokens=50)
    run(scheduler, until=lambda: len(first.tokens) == 5)
    scheduler.cancel(first.request.id)
    run(scheduler)
    again = ask(scheduler, prompt, max_tokens=50)
    run(scheduler)
    assert again.stats.reused_tokens == len(prompt) - 1
    assert again.text == expected(prompt, 50)


def test_a_system_prompt_that_another_conversation_has_read_is_copied(scheduler: Scheduler, context: PretendContext):
    system = list(range(100, 200))
    first = ask(scheduler, [*system, 1], max_tokens=30)
    run(scheduler, until=lambda: first.tokens)
    second = ask(scheduler, [*system, 2], max_tokens=30)
    run(scheduler)
    assert second.stats.reused_tokens == len(system)
    assert (first.text, second.text) == (expected([*system, 1], 30), expected([*system, 2], 30))


def test_new_options_take_effect_with_the_next_token_and_nothing_is_read_again(
    scheduler: Scheduler, context: PretendContext
):
    collected = ask(scheduler, [10, 2, 3], max_tokens=10)
    run(scheduler, until=lambda: len(collected.tokens) == 4)
    scheduler.change(collected.request.id, RequestOptions(max_tokens=8, logit_bias={0: 1000}))
    run(scheduler)
    tokens = [token.id for token in collected.tokens]
    assert tokens[:4] == reply_of([10, 2, 3], 4)
    assert len(tokens) == 8
    assert min(tokens[4:]) > 1000
    assert sum(sum(sizes.values()) for sizes in context.decoded) == 3 + 7


def test_new_options_that_cannot_be_applied_end_their_own_request_only(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
):
    requests = [ask(scheduler, [n, 2, 3], max_tokens=20) for n in (10, 11)]
    scheduler.step()
    monkeypatch.setattr(PretendSampler, "unmakeable", (11,))
    scheduler.change(requests[1].request.id, RequestOptions(temperature=0))
    run(scheduler)
    assert requests[0].text == expected([10, 2, 3], 20)
    assert requests[1].failure.startswith("These sampling settings could not be applied.")


def test_whoever_waits_is_told_the_place_in_the_queue(scheduler: Scheduler):
    running = [ask(scheduler, [n, 2, 3], max_tokens=20) for n in (10, 11, 12)]
    waiting = [ask(scheduler, [n, 2, 3], max_tokens=20) for n in (13, 14)]
    scheduler.step()
    scheduler.cancel(running[0].request.id)
    run(scheduler)
    assert [collected.places for collected in running] == [[], [], []]
    assert [collected.places for collected in waiting] == [[1], [2, 1]]


def test_a_reply_ends_where_the_context_does(scheduler: Scheduler):
    prompt = [1] * (N_CTX - 3)
    collected = ask(scheduler, prompt, max_tokens=50)
    run(scheduler)
    assert collected.stats.finish_reason == "length"
    assert collected.stats.reply_tokens == 3
    assert collected.stats.context_tokens == N_CTX


def test_a_stop_string_across_tokens_ends_the_reply_before_it(scheduler: Scheduler):
    text = expected([10, 2, 3], 20)
    stop = text[10:16]
    collected = ask(scheduler, [10, 2, 3], max_tokens=20, stop=(stop,))
    run(scheduler)
    assert collected.text == text[: text.index(stop)]
    assert collected.stats.finish_reason == "stop"


def test_fail_all_ends_running_and_waiting_requests_with_the_reason(scheduler: Scheduler):
    requests = [ask(scheduler, [n, 2, 3]) for n in range(10, 15)]
    scheduler.step()
    scheduler.fail_all("The program is shutting down.")
    assert {collected.failure for collected in requests} == {"The program is shutting down."}
    assert not scheduler.busy


class Request(Collected):
    @property
    def failure(self) -> str:
        """Why the request failed; empty when it did not."""
        return getattr(self.wait().events[-1], "message", "")


def ask(scheduler: Scheduler, prompt: list[int], *, max_tokens: int = 40, stop: tuple[str, ...] = ()) -> Request:
    request = Request(GenerationRequest((), RequestOptions(max_tokens=max_tokens), stop))
    scheduler.add(Generation(request.request, Prompt(prompt, ()), request.emit))
    return request


def run(scheduler: Scheduler, until: Callable[[], object] | None = None) -> None:
    """Step until nothing is left to do, or something is true."""
    is_done = until or (lambda: not scheduler.busy)
    for _ in range(2000):
        if is_done():
            return
        scheduler.step()
    raise AssertionError("the scheduler is still busy")


def fail_once(context: PretendContext, code: int, when: Callable[[dict[int, int]], bool] = lambda batch: True) -> None:
    """Let one decode fail, the first one for which `when` is true."""

    def code_of(batch: dict[int, int]) -> int:
        if not when(batch):
            return 0
        context.code_of = lambda batch: 0
        return code

    context.code_of = code_of


def next_token(held: Sequence[int]) -> int:
    """What the pretend model says after these tokens; depends on each of them and on where it stands."""
    return sum(token * (position + 1) for position, token in enumerate(held)) % 97 + 1


def tokens_after(prompt: Sequence[int]) -> Iterator[int]:
    held = list(prompt)
    while True:
        held.append(next_token(held))
        yield held[-1]


def reply_of(prompt: Sequence[int], n: int) -> list[int]:
    return list(islice(tokens_after(prompt), n))


def expected(prompt: Sequence[int], n: int) -> str:
    """The text of the first n tokens of the reply."""
    return "".join(f" {token}" for token in reply_of(prompt, n)).lstrip()
