"""Whatever arrives, leaves and changes, in whatever order: what always holds, on the pretend model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine import generation as generation_module
from localchat_ui.engine import scheduler as scheduler_module
from localchat_ui.engine.base import GenerationDone, GenerationFailed, Queued
from localchat_ui.engine.scheduler import WORTH_WAITING, Scheduler
from tests.engine.pretend import (
    PretendContext,
    PretendLookup,
    PretendModel,
    PretendSampler,
    Request,
    ask,
    expected,
    fail_once,
    reply_of,
)

N_CTX = 120
# Few different beginnings, so that prompts share some of them; lengths from one token to nearly the whole context.
PROMPTS = st.builds(
    lambda shared, own, seed: [*range(2, 2 + shared), *(n * seed % 5 + 1 for n in range(own))],
    st.sampled_from([0, 5, 30, 80]),
    st.integers(1, 39),
    st.integers(1, 20),
)
EVENTS = st.one_of(
    st.tuples(st.just("ask"), PROMPTS, st.integers(1, 40), st.booleans()),
    st.tuples(st.just("step"), st.integers(1, 8)),
    st.tuples(st.just("cancel"), st.integers(0, 4)),
    st.tuples(st.just("change"), st.integers(0, 9), st.integers(1, 40)),
    st.tuples(st.just("fail"), st.sampled_from([1, -1])),
)


@pytest.fixture(autouse=True)
def samplers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation_module, "Sampler", PretendSampler)
        patch.setattr(generation_module, "PromptLookup", PretendLookup)
        yield


@dataclass
class Asked:
    request: Request
    prompt: list[int]
    max_tokens: int
    left_alone: bool = True
    cancelled: bool = False


@dataclass
class House:
    """A scheduler, everything that was ever asked of it, and the rules that hold after every step."""

    n_sequences: int
    n_batch: int
    can_truncate: bool
    asked: list[Asked] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    may_fail: bool = False

    def __post_init__(self) -> None:
        self.context = PretendContext(self.n_batch)
        self.context.can_truncate = self.can_truncate
        self.scheduler = Scheduler(PretendModel(), self.context, n_ctx=N_CTX, n_sequences=self.n_sequences)

    def happen(self, event: tuple[Any, ...]) -> None:
        kind, *details = event
        if kind == "ask":
            prompt, max_tokens, deterministic = details
            request = ask(self.scheduler, prompt, max_tokens=max_tokens, deterministic=deterministic)
            self.asked.append(Asked(request, prompt, max_tokens))
        elif kind == "step":
            for _ in range(details[0]):
                self.step()
        elif kind == "fail":
            fail_once(self.context, details[0])
            self.may_fail = True
        elif details[0] < len(self.asked):
            asked = self.asked[details[0]]
            asked.left_alone = False
            if kind == "cancel":
                self.scheduler.cancel(asked.request.request.id)
                asked.cancelled = True
            else:
                self.scheduler.change(asked.request.request.id, RequestOptions(max_tokens=details[1]))

    def step(self) -> None:
        held = {generation: len(generation.sequence.tokens) for generation in self.scheduler._running}
        n_decoded = len(self.context.decoded)
        self.scheduler.step()
        for generation in self.scheduler._running:
            if generation not in held:
                self.begun.append(
                    next(n for n, asked in enumerate(self.asked) if asked.request.request is generation.request)
                )
            elif len(self.context.decoded) > n_decoded:
                assert len(generation.sequence.tokens) > held[generation], "everybody gets on at every step"
        assert all(asked.request.ended.is_set() for asked in self.asked if asked.cancelled), "who is stopped, stops"
        alike = [n for n in self.begun if len(self.asked[n].prompt) <= WORTH_WAITING]
        assert alike == sorted(alike), "nobody is overtaken, except who waits for a prompt that somebody else reads"
        sequences = [generation.sequence for generation in self.scheduler._running]
        assert len({sequence.id for sequence in sequences if sequence}) == len(sequences) <= self.n_sequences
        for sequence in self.scheduler._pool._sequences:
            assert self.context.cache.get(sequence.id, []) == sequence.tokens, "the books are right"
            assert len(sequence.tokens) <= N_CTX
        assert self.scheduler.n_cells_used <= N_CTX * self.n_sequences

    def finish(self) -> None:
        # Each step computes at least one token of what is left, or ends something.
        left = sum(len(asked.prompt) + 41 for asked in self.asked) + len(self.asked)
        # After a failed decode a recurrent model reads again.
        left += N_CTX * self.n_sequences if self.may_fail else 0
        for _ in range(left + 1):
            if not self.scheduler.busy:
                return
            self.step()
        raise AssertionError("somebody starves")


@given(
    events=st.lists(EVENTS, max_size=25),
    n_sequences=st.integers(1, 4),
    n_batch=st.integers(8, 200),
    seconds_per_token=st.sampled_from([1e-5, 1e-3, 1.0]),
    can_truncate=st.booleans(),
)
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_request_ends_once_with_the_text_it_has_alone(
    events: list[tuple[Any, ...]], n_sequences: int, n_batch: int, seconds_per_token: float, can_truncate: bool
):
    house = House(n_sequences, n_batch, can_truncate)
    house.context.seconds_per_token = seconds_per_token
    with pytest.MonkeyPatch.context() as patch:
        for module in (scheduler_module, generation_module):
            patch.setattr(module, "time", house.context.clock)
        patch.setattr(PretendSampler, "open", 0)
        for event in events:
            house.happen(event)
        house.finish()
        assert PretendSampler.open == 0

    for asked in house.asked:
        seen = asked.request.events
        ends = [event for event in seen if isinstance(event, (GenerationDone, GenerationFailed))]
        assert len(ends) == 1
        assert ends[0] is seen[-1]
        assert [token.id for token in asked.request.tokens] == reply_of(asked.prompt, len(asked.request.tokens))
        assert all(event.read <= event.total for event in asked.request.progress)
        if isinstance(ends[0], GenerationFailed):
            assert house.may_fail
            continue
        room = N_CTX - len(asked.prompt)
        n = asked.request.stats.reply_tokens
        assert asked.request.text == expected(asked.prompt, n)
        if asked.left_alone:
            assert n == min(asked.max_tokens, room)
        places = [event.place for event in seen if isinstance(event, Queued)]
        assert places == sorted(set(places), reverse=True)
