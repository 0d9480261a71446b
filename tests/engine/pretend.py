"""A pretend model and context for the scheduler: for what real ones cannot be made to do on command.

The pretend context keeps real books: it refuses tokens at a wrong position, and the token it answers with follows from
everything its cache holds of that sequence. So a reply only comes out as it would alone when no token was lost,
doubled or mixed up with somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import GenerationRequest
from localchat_ui.engine.generation import Generation
from localchat_ui.engine.prompt import Prompt
from localchat_ui.engine.scheduler import Scheduler
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

    can_truncate = True
    longest_independent = 1_000_000
    block = 8

    def __init__(self, n_batch: int) -> None:
        self.n_batch = n_batch
        self.clock = Clock()
        self.seconds_per_token = 0.001
        self.code_of: Callable[[dict[int, int]], int] = lambda batch: 0
        # A reply comes out otherwise when it is decoded with more others than that.
        self.widest_independent = 99
        self.cache: dict[int, list[int]] = {}
        self.decoded: list[dict[int, int]] = []
        self._batch: list[tuple[int, int]] = []
        self._logits: dict[int, tuple[int, int]] = {}
        self._noise = 0

    def add(self, tokens: Sequence[int], *, position: int, sequence: int, n_logits: int) -> int:
        held = len(self.cache.setdefault(sequence, [])) + sum(1 for owner, _ in self._batch if owner == sequence)
        assert position == held, f"sequence {sequence} holds {held} tokens and gets one for position {position}"
        assert tokens
        if not self._batch:
            self._logits.clear()
        self._batch += [(sequence, token) for token in tokens]
        assert len(self._batch) <= self.n_batch, "the batch is too large"
        last = len(self._batch) - 1
        for n in range(n_logits):
            self._logits[last - n] = sequence, position + len(tokens) - n
        return last

    @property
    def n_pending(self) -> int:
        return len(self._batch)

    def decode(self) -> int:
        sizes = {sequence: sum(1 for owner, _ in self._batch if owner == sequence) for sequence, _ in self._batch}
        code = self.code_of(sizes)
        self.clock.now += self.seconds_per_token * self.n_pending
        self._noise = int(len(sizes) > self.widest_independent)
        if code == 0:
            self.decoded.append(sizes)
            for sequence, token in self._batch:
                self.cache[sequence].append(token)
        self._batch.clear()
        return code

    def logits(self, row: int) -> np.ndarray:
        return np.array([self.next_token(row)])

    def truncate(self, sequence: int, length: int) -> bool:
        held = self.cache.setdefault(sequence, [])
        if not self.can_truncate and 0 < length < len(held):
            return False
        del held[length:]
        return True

    def save(self, sequence: int, *, checkpoint: bool = False) -> np.ndarray:
        return np.array(self.cache[sequence])

    def restore(self, sequence: int, state: np.ndarray, *, checkpoint: bool = False) -> bool:
        self.cache[sequence] = [int(token) for token in state]
        return True

    def next_token(self, row: int) -> int:
        sequence, length = self._logits[row]
        return next_token(self.cache[sequence][:length]) + self._noise


class PretendLookup:
    """Guesses right for a while, then wrong; how long follows from the conversation."""

    def guess(self, tokens: Sequence[int], at_most: int) -> list[int]:
        n_guessed, n_right = sum(tokens) % 5, sum(tokens) % 3
        guessed = list(islice(tokens_after(tokens), n_guessed))
        return [token if n < n_right else token + 1 for n, token in enumerate(guessed)][:at_most]

    def learn(self, n_guessed: int, n_right: int, n_tokens: int) -> None:
        assert 0 <= n_right <= n_guessed


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
        self._closed = False
        PretendSampler.open += 1

    def sample(self, scores: np.ndarray, allowed: np.ndarray | None = None) -> int:
        assert not self._closed
        if self._fails:
            raise RuntimeError("the sampler broke")
        return int(scores[0]) + self._bias

    def accept(self, token: int) -> None:
        assert not self._closed

    def close(self) -> None:
        assert not self._closed
        self._closed = True
        PretendSampler.open -= 1


class Request(Collected):
    @property
    def failure(self) -> str:
        """Why the request failed; empty when it did not."""
        return getattr(self.wait().events[-1], "message", "")


def ask(
    scheduler: Scheduler,
    prompt: list[int],
    *,
    max_tokens: int = 40,
    stop: tuple[str, ...] = (),
    deterministic: bool = False,
) -> Request:
    options = RequestOptions(max_tokens=max_tokens, deterministic=deterministic)
    request = Request(GenerationRequest((), options, stop))
    scheduler.add(Generation(request.request, Prompt(prompt, ()), request.emit, request.request.sampling))
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
