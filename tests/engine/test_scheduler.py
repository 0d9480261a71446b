"""The scheduler on a pretend model, step by step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine import generation as generation_module
from localchat_ui.engine import scheduler as scheduler_module
from localchat_ui.engine.context import NO_KV_SLOT
from localchat_ui.engine.scheduler import Scheduler
from localchat_ui.engine.threads import ThreadTuner
from tests.engine.pretend import (
    N_CTX,
    PretendContext,
    PretendModel,
    PretendSampler,
    ask,
    expected,
    fail_once,
    reply_of,
    run,
)


@pytest.fixture(autouse=True)
def samplers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(generation_module, "Sampler", PretendSampler)
    monkeypatch.setattr(PretendSampler, "open", 0)
    yield
    assert PretendSampler.open == 0, "every sampler is closed once"


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> PretendContext:
    context = PretendContext(n_batch=32)
    for module in (scheduler_module, generation_module):
        monkeypatch.setattr(module, "time", context.clock)
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
    scheduler._pool.free(N_CTX)
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


def test_a_full_cache_first_loses_what_nobody_needs(scheduler: Scheduler, context: PretendContext):
    ask(scheduler, [9, *range(2, 200)], max_tokens=5)
    run(scheduler)
    requests = [ask(scheduler, [n, 2, 3], max_tokens=30) for n in (10, 11)]
    fail_once(context, NO_KV_SLOT, when=lambda batch: len(batch) == 2)
    run(scheduler)
    assert [collected.text for collected in requests] == [expected([n, 2, 3], 30) for n in (10, 11)]
    again = ask(scheduler, [9, *range(2, 200)], max_tokens=5)
    run(scheduler)
    assert again.stats.reused_tokens == 0


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
    assert max(sizes[reader] for sizes in steps) == 24, "the room that is left is used, in multiples of 8"
    run(scheduler)
    assert reading.text == expected(long_prompt, 5)
    assert [collected.text for collected in writing] == [expected([n, 2, 3], 200) for n in (10, 11)]


@pytest.mark.parametrize(
    ("tokens_per_second", "chunk"),
    [(50, 16), (400, 64), (1000, 128), (2000, 192), (100_000, 512)],
)
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
    assert size == chunk
    scheduler.fail_all("enough")


def test_two_long_prompts_share_the_batches_without_mixing_up(scheduler: Scheduler):
    prompts = [[10, *range(2, 300)], [11, *range(2, 300)]]
    requests = [ask(scheduler, prompt, max_tokens=5) for prompt in prompts]
    run(scheduler)
    assert [collected.text for collected in requests] == [expected(prompt, 5) for prompt in prompts]


def test_a_short_prompt_does_not_wait_for_a_long_one(scheduler: Scheduler, context: PretendContext):
    long = ask(scheduler, [10, *range(2, 900)], max_tokens=5)
    scheduler.step()
    short = ask(scheduler, [11, 2, 3, 4, 5], max_tokens=5)
    before = len(context.decoded)
    run(scheduler, until=lambda: short.tokens)
    assert len(context.decoded) - before == 1
    assert sum(context.decoded[-1].values()) > context.n_batch - 8, "the long one has the rest"
    run(scheduler)
    assert long.text == expected([10, *range(2, 900)], 5)


def test_more_readers_than_a_chunk_has_tokens_all_get_on(model: PretendModel, context: PretendContext):
    context.seconds_per_token = 1.0
    scheduler = Scheduler(model, context, ThreadTuner(1), n_ctx=N_CTX, n_sequences=20)
    requests = [ask(scheduler, [n, *range(2, 30)], max_tokens=2) for n in range(20)]
    run(scheduler)
    assert [collected.text for collected in requests] == [expected([n, *range(2, 30)], 2) for n in range(20)]


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
