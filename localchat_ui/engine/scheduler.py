"""Continuous batching over one context: requests join and leave at any step.

A generation is a growing list of tokens, of which the KV cache holds the first so many. Each step decodes what is
missing: one token for a reply being written, a chunk for a prompt being read. There is no other difference.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import EngineError, GenerationDone, GenerationFailed, PromptBuilt, Queued
from localchat_ui.engine.context import NO_KV_SLOT, Context
from localchat_ui.engine.generation import Generation
from localchat_ui.engine.llama import Model
from localchat_ui.engine.pace import BLOCK, ReadingPace, piece_of
from localchat_ui.engine.prompt import Prompt
from localchat_ui.engine.sequences import SequencePool
from localchat_ui.engine.threads import ThreadTuner

logger = logging.getLogger(__name__)

NO_ROOM = "The context has no room left for this reply. Try again when others are finished."
NOT_COMPUTED = "The model failed while computing this reply. Try again, or choose another."
NOT_SAMPLED = "Choosing the next token failed. Try again, or reset the settings."
NOT_APPLIED = "These sampling settings could not be applied. Reset them and try again."

T = TypeVar("T")
# Parts of the lists of tokens that one step decodes: whose, and how many.
Plan = list[tuple[Generation, int]]


class Scheduler:
    """Runs the requests of one model. Belongs to the engine's thread, all of it."""

    def __init__(self, model: Model, context: Context, threads: ThreadTuner, *, n_ctx: int, n_sequences: int) -> None:
        assert context.n_batch > n_sequences, "prompts are read in the room that replies leave"
        self._model = model
        self._context = context
        self._threads = threads
        self._n_ctx = n_ctx
        self._pool = SequencePool(context, n_sequences)
        self._pace = ReadingPace()
        self._waiting: deque[Generation] = deque()
        self._running: list[Generation] = []
        self.batch_fill = 0.0

    def step(self) -> None:
        """Admit who waits, decode one batch, hand out a token for every reply, retire who is finished."""
        self._drop_cancelled()
        self._admit()
        plan = self._plan()
        if self._decode(plan):
            for generation, _ in plan:
                self._advance(generation)

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._running)

    @property
    def n_running(self) -> int:
        return len(self._running)

    @property
    def n_waiting(self) -> int:
        return len(self._waiting)

    @property
    def n_cells_used(self) -> int:
        """Tokens in the KV cache, idle sequences included; what two sequences share counts for each."""
        return self._pool.n_tokens

    def add(self, generation: Generation) -> None:
        generation.emit(built(generation.prompt))
        self._waiting.append(generation)

    def cancel(self, request_id: str) -> None:
        for generation in self._called(request_id):
            generation.cancelled = True

    def change(self, request_id: str, sampling: RequestOptions) -> None:
        """Replace the options of a request, running or waiting."""
        for generation in self._called(request_id):
            self._try(generation, partial(generation.change, self._model, sampling), otherwise=NOT_APPLIED)

    def fail_all(self, message: str) -> None:
        for generation in self._all():
            self._fail(generation, message)

    def _called(self, request_id: str) -> list[Generation]:
        return [generation for generation in self._all() if generation.request.id == request_id]

    def _all(self) -> list[Generation]:
        return [*self._waiting, *self._running]

    def _drop_cancelled(self) -> None:
        for generation in self._all():
            if generation.cancelled:
                self._finish(generation, "cancelled")

    def _admit(self) -> None:
        """First come, first served; those who have to wait are told their place when it changes."""
        while self._waiting:
            generation = self._waiting[0]
            sequence = self._pool.acquire(generation.tokens, block=BLOCK if generation.repeatable else 1)
            if sequence is None:
                break
            self._running.append(self._waiting.popleft())
            self._try(generation, partial(generation.begin, self._model, sequence), otherwise=NOT_APPLIED)
        for place, generation in enumerate(self._waiting, start=1):
            if generation.place != place:
                generation.place = place
                generation.emit(Queued(place))

    def _plan(self) -> Plan:
        """One token of every running reply first, then prompts, each its share of the room that is left."""
        writing = [(generation, 1) for generation in self._running if generation.n_missing == 1]
        if len(writing) == len(self._running):
            return writing
        return writing + self._shares(self._context.n_batch - len(writing))

    def _shares(self, room: int) -> Plan:
        """A short prompt does not wait for a long one, and leaves what it does not need of its share to the others."""
        reading = sorted((g for g in self._running if g.n_missing > 1), key=lambda generation: generation.n_missing)
        n_tokens = self._pace.n_tokens(alone=len(reading) == len(self._running))
        room = min(room, max(n_tokens, len(reading)))
        shares = []
        for n_before, generation in enumerate(reading):
            share = piece_of(generation.n_missing, room // (len(reading) - n_before))
            room -= share
            shares.append((generation, share))
        return shares

    def _decode(self, plan: Plan) -> bool:
        """Fill a batch and run it; False when that failed."""
        for generation, size in plan:
            self._add(generation, size)
        n_tokens = self._context.n_pending
        if not n_tokens:
            return False
        repeatable = any(generation.repeatable for generation, _ in plan)
        # A step with too few threads takes twice as long: none is tried while a reply waits for a prompt.
        may_try = len(plan) in (1, n_tokens)
        n_threads = self._threads.steady if repeatable else self._threads.choose(n_tokens, may_try=may_try)
        started = time.perf_counter()
        code = self._context.decode(n_threads)
        seconds = time.perf_counter() - started
        self.batch_fill += 0.1 * (n_tokens / self._context.n_batch - self.batch_fill)
        if code != 0:
            logger.error("llama_decode failed with code %d for %d tokens", code, n_tokens)
            self._recover(plan, code)
            return False
        self._threads.learn(n_tokens, n_threads, seconds)
        if n_tokens > len(plan):
            self._pace.learn(n_tokens, seconds)
        return True

    def _add(self, generation: Generation, size: int) -> None:
        sequence = generation.sequence
        assert sequence is not None
        position = len(sequence.tokens)
        tokens = generation.tokens[position : position + size]
        complete = position + size == len(generation.tokens)
        row = self._context.add(tokens, position=position, sequence=sequence.id, wants_logits=complete)
        generation.row = row if complete else None
        sequence.tokens += tokens

    def _recover(self, plan: Plan, code: int) -> None:
        """A full cache loses what idle sequences hold, then the youngest request; another failure, all of the batch."""
        if code != NO_KV_SLOT:
            for generation, _ in plan:
                self._fail(generation, NOT_COMPUTED)
            return
        for generation, size in plan:
            # Nothing of the batch is in the cache; it is decoded in the next step.
            assert generation.sequence is not None
            self._pool.shorten(generation.sequence, len(generation.sequence.tokens) - size)
        if not self._pool.free(sum(size for _, size in plan)):
            self._fail(max(self._running, key=lambda generation: generation.submitted_at), NO_ROOM)

    def _advance(self, generation: Generation) -> None:
        """Hand out the next token of a reply, or tell how far its prompt has been read."""
        advance = partial(generation.advance, self._model, self._context, self._n_ctx)
        if reason := self._try(generation, advance, otherwise=NOT_SAMPLED):
            self._finish(generation, reason)

    def _try(self, generation: Generation, action: Callable[[], T], *, otherwise: str) -> T | None:
        """An error ends the request that caused it, and no other."""
        try:
            return action()
        except EngineError as error:
            self._fail(generation, str(error), refused=True)
        except Exception:
            logger.exception("a request failed")
            self._fail(generation, otherwise)
        return None

    def _finish(self, generation: Generation, reason: str) -> None:
        self._retire(generation)
        thinking, text = generation.text.finish()
        generation.emit(GenerationDone(text, generation.stats(reason), thinking))

    def _fail(self, generation: Generation, message: str, *, refused: bool = False) -> None:
        self._retire(generation, keep=False)
        generation.emit(GenerationFailed(message, refused))

    def _retire(self, generation: Generation, *, keep: bool = True) -> None:
        (self._running if generation in self._running else self._waiting).remove(generation)
        if generation.sampler is not None:
            generation.sampler.close()
        if generation.sequence is not None:
            self._pool.release(generation.sequence, keep=keep)
        generation.sampler = generation.sequence = None


def built(prompt: Prompt) -> PromptBuilt:
    return PromptBuilt(
        len(prompt.tokens), prompt.n_dropped, prompt.turn_tokens, prompt.text, prompt.notes, prompt.tool_format
    )
