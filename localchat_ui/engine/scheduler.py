"""Continuous batching over one context: requests join and leave at any step.

A generation is a growing list of tokens, of which the KV cache holds the first so many. Each step decodes what is
missing: one token for every reply being written (and what may follow it), then a piece of the prompts being read.
What is decoded together is the planner's to say (batch_planner.py).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import EngineError, FailureKind, GenerationDone, GenerationFailed, PromptBuilt, Queued
from localchat_ui.engine.batch_planner import BatchPlanner, Decode, sequence_id
from localchat_ui.engine.context import BLOCK, Context
from localchat_ui.engine.generation import Generation
from localchat_ui.engine.kv_disk_cache import KvDiskCache
from localchat_ui.engine.llama import Model
from localchat_ui.engine.prefill_budget import PrefillBudget
from localchat_ui.engine.prompt import Prompt
from localchat_ui.engine.sequences import KvSequence, SequencePool, common_prefix

logger = logging.getLogger(__name__)

NOT_COMPUTED = "The model failed while computing this reply. Try again, or choose another."
NOT_SAMPLED = "Choosing the next token failed. Try again, or reset the settings."
NOT_APPLIED = "These sampling settings could not be applied. Reset them and try again."
NOT_HELD = "The conversation is no longer in the KV cache."
# A request waits for a prompt that somebody else reads if they share so many tokens.
WORTH_WAITING = 64

T = TypeVar("T")


class Scheduler:
    """Runs the requests of one model. Belongs to the engine's thread, all of it."""

    def __init__(
        self, model: Model, context: Context, *, n_ctx: int, n_sequences: int, disk: KvDiskCache | None = None
    ) -> None:
        self._model = model
        self._context = context
        self._n_ctx = n_ctx
        self._pool = SequencePool(context, n_sequences, disk)
        self._budget = PrefillBudget(min(BLOCK, context.block), context.n_batch)
        self._planner = BatchPlanner(context, self._pool, self._budget, n_ctx)
        self._waiting: deque[Generation] = deque()
        self._running: list[Generation] = []
        self.batch_fill = 0.0

    def step(self) -> None:
        """Admit who waits, decode, hand out tokens, retire who is finished."""
        self._drop_cancelled()
        self._admit()
        self._begin_at_once()
        for decode in self._planner.plan(self._running):
            if self._decode(decode):
                for generation, _ in decode:
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
        """Tokens in the KV cache, idle sequences included."""
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

    def close(self) -> None:
        """Keep on disk what the cache holds, where that is wanted."""
        self._pool.close()

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
        for generation in list(self._waiting):
            if not self._pool.has_idle:
                break
            if self._is_read_by_another(generation):
                continue
            sequence = self._sequence_for(generation)
            if sequence is None:
                self._fail(generation, NOT_HELD, "refused")
                continue
            self._waiting.remove(generation)
            self._running.append(generation)
            self._try(generation, partial(generation.begin, self._model, sequence), otherwise=NOT_APPLIED)
        for place, generation in enumerate(self._waiting, start=1):
            if generation.place != place:
                generation.place = place
                generation.emit(Queued(place))

    def _sequence_for(self, generation: Generation) -> KvSequence | None:
        if generation.request.ephemeral:
            return self._pool.borrow(generation.tokens, generation.n_first_question)
        return self._pool.acquire(
            generation.tokens,
            n_prompt=generation.n_prompt,
            canonical=generation.deterministic,
            seconds_per_token=self._budget.seconds_per_token,
        )

    def _begin_at_once(self) -> None:
        """Choose the first token of replies whose whole prompt was read before, scores and all."""
        for generation in [each for each in self._running if each.n_missing == 0]:
            assert generation.sequence is not None
            end = generation.sequence.prompt_end
            assert end is not None
            take = partial(generation.take, self._model, end.scores, self._n_ctx)
            taken = self._try(generation, take, otherwise=NOT_SAMPLED)
            if taken and taken[1]:
                self._finish(generation, taken[1])

    def _is_read_by_another(self, generation: Generation) -> bool:
        """Whether a good part of its prompt is just being read for somebody else, and can be copied soon."""
        if not self._context.can_truncate:
            return False
        for other in self._running:
            if other.sequence is None or other.n_missing <= 1 or (generation.deterministic and not other.deterministic):
                continue
            n_shared = common_prefix(other.prompt.tokens, generation.tokens)
            if n_shared >= WORTH_WAITING and n_shared > len(other.sequence.tokens):
                return True
        return False

    def _decode(self, decode: Decode) -> bool:
        """Fill a batch and run it; False when that failed, which ends the requests that are in it."""
        for generation, size in sorted(decode, key=lambda each: sequence_id(each[0])):
            generation.add_to(self._context, size)
        n_tokens = self._context.n_pending
        if not n_tokens:
            return False
        started = time.perf_counter()
        code = self._context.decode()
        seconds = time.perf_counter() - started
        self.batch_fill += 0.1 * (n_tokens / self._context.n_batch - self.batch_fill)
        if code != 0:
            logger.error("llama_decode failed with code %d for %d tokens", code, n_tokens)
            for generation, _ in decode:
                self._fail(generation, NOT_COMPUTED)
            return False
        if any(size > 1 for _, size in decode):
            self._budget.learn(n_tokens, seconds)
            self._after_reading(decode)
        return True

    def _after_reading(self, decode: Decode) -> None:
        """Note what was read as everybody would read it, and keep states that cannot be had again."""
        block = self._context.block
        for generation, size in decode:
            sequence = generation.sequence
            assert sequence is not None
            length = len(sequence.tokens)
            if len(decode) == 1 and size % block == 0 and sequence.n_canonical == length - size:
                sequence.n_canonical = length
            if generation.deterministic and length == generation.n_prompt:
                sequence.n_prompt = length
            if length % block == 0:
                self._pool.checkpoint(sequence)

    def _advance(self, generation: Generation) -> None:
        """Hand out the next tokens of a reply, or tell how far its prompt has been read."""
        drafted = bool(generation.draft)
        advance = partial(generation.advance, self._model, self._context, self._n_ctx)
        reason = self._try(generation, advance, otherwise=NOT_SAMPLED)
        if drafted and generation.sequence is not None:
            self._pool.truncate(generation.sequence, common_prefix(generation.sequence.tokens, generation.tokens))
        if reason:
            self._finish(generation, reason)

    def _try(self, generation: Generation, action: Callable[[], T], *, otherwise: str) -> T | None:
        """An error ends the request that caused it, and no other."""
        try:
            return action()
        except EngineError as error:
            self._fail(generation, str(error), "refused")
        except Exception:
            logger.exception("a request failed")
            self._fail(generation, otherwise)
        return None

    def _finish(self, generation: Generation, reason: str) -> None:
        self._retire(generation)
        thinking, text = generation.text.finish()
        asked_for = generation.text.stop_string in generation.request.stop
        stop_string = generation.text.stop_string if asked_for else ""
        generation.emit(GenerationDone(text, generation.stats(reason), thinking, stop_string))

    def _fail(self, generation: Generation, message: str, kind: FailureKind = "failed") -> None:
        self._retire(generation, keep=False)
        generation.emit(GenerationFailed(message, kind))

    def _retire(self, generation: Generation, *, keep: bool = True) -> None:
        (self._running if generation in self._running else self._waiting).remove(generation)
        if generation.sampler is not None:
            generation.sampler.close()
        if generation.sequence is not None:
            if generation.request.ephemeral:
                self._pool.truncate(generation.sequence, generation.reused)
            self._pool.release(generation.sequence, keep=keep)
        generation.sampler = generation.sequence = None


def built(prompt: Prompt) -> PromptBuilt:
    return PromptBuilt(
        len(prompt.tokens), prompt.n_dropped, prompt.turn_tokens, prompt.text, prompt.notes, prompt.tool_format
    )
