"""The scheduler on a pretend model, step by step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine import generation as generation_module
from localchat_ui.engine import scheduler as scheduler_module
from localchat_ui.engine.scheduler import Scheduler
from tests.engine.pretend import (
    N_CTX,
    PretendContext,
    PretendLookup,
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
    return Scheduler(model, context, n_ctx=N_CTX, n_sequences=3)


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


@pytest.mark.parametrize("code", [1, 2, -1, -3])
def test_a_decode_that_fails_ends_all_that_took_part_and_nobody_else(
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
    turns, pieces = context.decoded[before::2], context.decoded[before + 1 :: 2]
    assert all(list(sizes.values()) == [1, 1] for sizes in turns), "a token for each reply, then a piece of the prompt"
    assert [sum(sizes.values()) for sizes in pieces[:-1]] == [32] * (len(pieces) - 1)
    run(scheduler)
    assert reading.text == expected(long_prompt, 5)
    assert [collected.text for collected in writing] == [expected([n, 2, 3], 200) for n in (10, 11)]


def test_two_that_read_beside_more_replies_than_fit_into_a_batch_all_get_on(
    model: PretendModel, context: PretendContext
):
    context.seconds_per_token = 1.0
    scheduler = Scheduler(model, context, n_ctx=N_CTX, n_sequences=20)
    requests = [ask(scheduler, [n, *range(2, 30)], max_tokens=2) for n in range(20)]
    run(scheduler)
    assert [collected.text for collected in requests] == [expected([n, *range(2, 30)], 2) for n in range(20)]


def test_two_long_prompts_share_the_batches_without_mixing_up(scheduler: Scheduler):
    prompts = [[10, *range(2, 300)], [11, *range(2, 300)]]
    requests = [ask(scheduler, prompt, max_tokens=5) for prompt in prompts]
    run(scheduler)
    assert [collected.text for collected in requests] == [expected(prompt, 5) for prompt in prompts]


def test_a_short_prompt_does_not_wait_for_a_long_one(scheduler: Scheduler, context: PretendContext):
    long = ask(scheduler, [10, *range(2, 900)], max_tokens=5)
    scheduler.step()
    short = ask(scheduler, [11, 2, 3, 4, 5], max_tokens=5)
    scheduler.step()
    assert short.tokens
    run(scheduler)
    assert long.text == expected([10, *range(2, 900)], 5)


def test_a_prompt_that_somebody_else_reads_is_read_once(scheduler: Scheduler, context: PretendContext):
    prompt = [10, *range(2, 500)]
    first = ask(scheduler, [*prompt, 1], max_tokens=5)
    scheduler.step()
    second, other = ask(scheduler, [*prompt, 2], max_tokens=5), ask(scheduler, [7, 8, 9], max_tokens=2)
    run(scheduler)
    assert second.stats.reused_tokens == len(prompt)
    assert other.stats.reused_tokens == 0
    assert sum(sum(sizes.values()) for sizes in context.decoded) < len(prompt) + 30
    assert (first.text, second.text) == (expected([*prompt, 1], 5), expected([*prompt, 2], 5))


def test_a_deterministic_prompt_is_read_in_whole_blocks_and_then_the_rest_alone(
    scheduler: Scheduler, context: PretendContext
):
    others = [ask(scheduler, [n, *range(2, 45)], max_tokens=3) for n in (10, 11)]
    asked = ask(scheduler, [12, *range(2, 45)], max_tokens=3, deterministic=True)
    run(scheduler)
    [sequence] = [s for s, held in context.cache.items() if held[0] == 12]
    pieces = [sizes for sizes in context.decoded if sizes.get(sequence, 1) > 1]
    assert all(set(sizes) == {sequence} for sizes in pieces), "nobody else is in its batches"
    *whole, rest = [sizes[sequence] for sizes in pieces]
    assert rest == 44 % context.block
    assert all(size % context.block == 0 for size in whole)
    assert asked.text == expected([12, *range(2, 45)], 3)
    assert [other.text for other in others] == [expected([n, *range(2, 45)], 3) for n in (10, 11)]


def test_a_deterministic_request_reads_again_what_was_written_one_by_one(scheduler: Scheduler):
    prompt = [10, *range(2, 45)]
    ask(scheduler, prompt, max_tokens=30, deterministic=True)
    run(scheduler)
    next_turn = [*prompt, *reply_of(prompt, 29), 7, 7]
    exact = ask(scheduler, next_turn, max_tokens=5, deterministic=True)
    run(scheduler)
    assert exact.stats.reused_tokens == 40
    anyhow = ask(scheduler, [*next_turn, 8], max_tokens=5)
    run(scheduler)
    assert anyhow.stats.reused_tokens >= len(next_turn)


@pytest.mark.parametrize(("widest", "widths"), [(1, {1}), (2, {1, 2}), (3, {3})])
def test_deterministic_replies_are_decoded_together_as_far_as_company_does_not_change_them(
    widest: int, widths: set[int], scheduler: Scheduler, context: PretendContext
):
    context.widest_independent = widest
    prompts = [[n, 2, 3] for n in (10, 11, 12)]
    exact = [ask(scheduler, prompt, max_tokens=40, deterministic=True) for prompt in prompts]
    run(scheduler)
    assert [reply.text for reply in exact] == [expected(prompt, 40) for prompt in prompts]
    # Once it is known how many may be.
    assert {len(sizes) for sizes in context.decoded[-12:]} == widths


def test_others_do_not_go_one_by_one_because_of_a_deterministic_reply(scheduler: Scheduler, context: PretendContext):
    context.widest_independent = 1
    exact = ask(scheduler, [10, 2, 3], max_tokens=40, deterministic=True)
    others = [ask(scheduler, [n, 2, 3], max_tokens=40) for n in (11, 12)]
    run(scheduler)
    assert exact.text == expected([10, 2, 3], 40)
    assert others[0].text != expected([11, 2, 3], 40), "they do not care"
    assert {len(sizes) for sizes in context.decoded[-12:]} == {1, 2}


def test_a_gap_between_the_running_is_closed(scheduler: Scheduler, context: PretendContext):
    first, second, third = (ask(scheduler, [n, 2, 3], max_tokens=m) for n, m in ((10, 100), (11, 5), (12, 100)))
    run(scheduler, until=lambda: len(first.tokens) == 50)
    assert set(context.decoded[-1]) == {0, 1}
    again = ask(scheduler, [11, 2, 3, *reply_of([11, 2, 3], 4), 9], max_tokens=5)
    run(scheduler)
    assert again.stats.reused_tokens == 7, "what was in the gap is not lost"
    assert (first.text, third.text) == (expected([10, 2, 3], 100), expected([12, 2, 3], 100))
    assert second.stats.reply_tokens == 5


def test_guesses_change_nothing_but_the_number_of_decodes(
    scheduler: Scheduler, context: PretendContext, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(generation_module, "PromptLookup", PretendLookup)
    asked = [ask(scheduler, [n, 2, 3], max_tokens=60) for n in (10, 11)]
    run(scheduler)
    assert [each.text for each in asked] == [expected([n, 2, 3], 60) for n in (10, 11)]
    assert len(context.decoded) < 110
    assert any(size > 1 for sizes in context.decoded for size in sizes.values())


def test_a_state_that_cannot_be_truncated_is_rolled_back_to_a_checkpoint(scheduler: Scheduler, context: PretendContext):
    context.can_truncate = False
    prompt = [10, *range(2, 145)]
    ask(scheduler, prompt, max_tokens=20)
    run(scheduler)
    again = ask(scheduler, prompt, max_tokens=20)
    run(scheduler)
    assert again.stats.reused_tokens == len(prompt) - context.block
    assert again.text == expected(prompt, 20)
    edited = ask(scheduler, [*prompt[:143], 77, 78], max_tokens=20)
    run(scheduler)
    assert edited.stats.reused_tokens >= 96
    assert edited.text == expected([*prompt[:143], 77, 78], 20)


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
    assert sum(sum(sizes.values()) for sizes in context.decoded) < 150
    assert waiting.text == expected([13, 2], 3)


def test_what_a_cancelled_reply_has_read_is_used_again(scheduler: Scheduler):
    prompt = [10, *range(2, 100)]
    first = ask(scheduler, prompt, max_tokens=50)
    run(scheduler, until=lambda: len(first.tokens) == 5)
    scheduler.cancel(first.request.id)
    run(scheduler)
    again = ask(scheduler, prompt, max_tokens=50)
    run(scheduler)
    assert again.stats.reused_tokens == len(prompt)
    assert again.text == expected(prompt, 50)


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_prompt_that_was_read_before_needs_no_decode_for_its_first_token(
    deterministic: bool, scheduler: Scheduler, context: PretendContext
):
    prompt = [10, *range(2, 100)]
    ask(scheduler, prompt, max_tokens=5, deterministic=deterministic)
    run(scheduler)
    n_decoded = len(context.decoded)
    again = ask(scheduler, prompt, max_tokens=5, deterministic=deterministic)
    scheduler.step()
    assert [token.id for token in again.tokens][:1] == reply_of(prompt, 1)
    run(scheduler)
    assert again.text == expected(prompt, 5)
    assert all(sum(sizes.values()) <= 5 for sizes in context.decoded[n_decoded:]), "nothing was read again"


def test_a_deterministic_request_trusts_no_scores_that_were_computed_in_company(scheduler: Scheduler):
    prompt = [10, *range(2, 100)]
    ask(scheduler, prompt, max_tokens=5)
    run(scheduler)
    again = ask(scheduler, prompt, max_tokens=5, deterministic=True)
    run(scheduler)
    assert again.stats.reused_tokens < len(prompt)


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
