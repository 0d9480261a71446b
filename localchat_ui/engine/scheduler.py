"""Continuous batching over one context: requests join and leave at any step.

A generation is a growing list of tokens, of which the KV cache holds the first so many. Each step decodes what is
missing: one token for a reply being written, a chunk for a prompt being read. There is no other difference.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from dataclasses import dataclass, field

from localchat_ui.conversation import GenerationStats, RequestOptions
from localchat_ui.engine.base import (
    Emit,
    EngineError,
    GenerationDone,
    GenerationFailed,
    GenerationRequest,
    PromptBuilt,
    PromptProgress,
    Queued,
    Token,
    TokenLogprob,
)
from localchat_ui.engine.llama import NO_KV_SLOT, Context, Model
from localchat_ui.engine.prompt import Prompt
from localchat_ui.engine.sampler import Sampler, log_probabilities
from localchat_ui.engine.sequences import KvSequence, SequencePool
from localchat_ui.engine.text import TextStream
from localchat_ui.engine.threads import ThreadTuner

logger = logging.getLogger(__name__)

# A prompt chunk may hold up running replies, and a stop, for this long.
CHUNK_SECONDS = 0.1
FIRST_CHUNK_TOKENS = 128
MIN_CHUNK_TOKENS = 16


@dataclass(eq=False)
class Generation:
    """One request on its way through the scheduler."""

    request: GenerationRequest
    prompt: Prompt
    emit: Emit
    tokens: list[int] = field(init=False)
    sampling: RequestOptions = field(init=False)
    seed: int = field(init=False)
    text: TextStream = field(init=False)
    sequence: KvSequence | None = None
    sampler: Sampler | None = None
    reused: int = 0
    row: int = -1
    served: int = 0
    held_before: int = 0
    place: int = 0
    cancelled: bool = False
    submitted_at: float = field(default_factory=time.perf_counter)
    first_token_at: float = 0.0
    thought_until: float = 0.0

    def __post_init__(self) -> None:
        self.sampling = self.request.sampling
        seed = self.sampling.seed
        self.seed = secrets.randbelow(2**32 - 1) if seed is None else seed
        self.tokens = list(self.prompt.tokens)
        prompt = self.prompt
        stop = (*prompt.stop, *self.request.stop)
        self.text = TextStream(stop, prompt.marks, prompt.phase, continued=prompt.continued)

    @property
    def n_replied(self) -> int:
        return len(self.tokens) - len(self.prompt.tokens)

    @property
    def n_missing(self) -> int:
        """Tokens that are still to be decoded."""
        assert self.sequence is not None
        return len(self.tokens) - len(self.sequence.tokens)

    def stats(self, finish_reason: str) -> GenerationStats:
        now = time.perf_counter()
        first = self.first_token_at or now
        writing = now - first
        return GenerationStats(
            prompt_tokens=len(self.prompt.tokens),
            reused_tokens=self.reused,
            reply_tokens=self.n_replied,
            seconds_to_first_token=first - self.submitted_at,
            tokens_per_second=(self.n_replied - 1) / writing if writing > 0 and self.n_replied > 1 else 0.0,
            context_tokens=len(self.tokens),
            seed=self.seed,
            thinking_seconds=self.thought_until - first if self.thought_until else 0.0,
            finish_reason=finish_reason,
        )


class Scheduler:
    """Runs the requests of one model. Belongs to the engine's thread, all of it."""

    def __init__(self, model: Model, context: Context, threads: ThreadTuner, *, n_ctx: int, n_sequences: int) -> None:
        self._model = model
        self._context = context
        self._threads = threads
        self._n_ctx = n_ctx
        self._pool = SequencePool(context, n_sequences)
        self._waiting: deque[Generation] = deque()
        self._running: list[Generation] = []
        self._n_steps = 0
        self._reading_speed = FIRST_CHUNK_TOKENS / CHUNK_SECONDS

        self.batch_fill = 0.0

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

    def step(self) -> None:
        """Admit, fill one batch, decode it, hand out a token for every reply, retire what is finished."""
        self._drop_cancelled()
        self._admit()
        self._tell_places()
        batch = self._fill()
        if batch and self._decode(batch):
            for generation in batch:
                self._advance(generation)

    def add(self, generation: Generation) -> None:
        generation.emit(built(generation.prompt))
        self._waiting.append(generation)

    def cancel(self, request_id: str) -> None:
        for generation in (*self._waiting, *self._running):
            if generation.request.id == request_id:
                generation.cancelled = True

    def change(self, request_id: str, sampling: RequestOptions) -> None:
        """Replace the options of a request, running or waiting."""
        for generation in (*self._waiting, *self._running):
            if generation.request.id == request_id:
                generation.sampling = sampling
                if generation.sampler is not None:
                    self._make_sampler(generation)

    def fail_all(self, message: str) -> None:
        for generation in (*self._waiting, *self._running):
            self._fail(generation, message)

    def _drop_cancelled(self) -> None:
        for generation in (*self._waiting, *self._running):
            if generation.cancelled:
                self._finish(generation, "cancelled")

    def _admit(self) -> None:
        while self._waiting:
            generation = self._waiting[0]
            sequence = self._pool.acquire(generation.tokens)
            if sequence is None:
                return
            self._waiting.popleft()
            self._running.append(generation)
            generation.sequence = sequence
            generation.reused = len(sequence.tokens)
            self._make_sampler(generation)

    def _make_sampler(self, generation: Generation) -> None:
        if generation.sampler is not None:
            generation.sampler.close()
            generation.sampler = None
        try:
            sampling = generation.sampling.model_copy(update={"seed": generation.seed})
            generation.sampler = Sampler(self._model, sampling, generation.tokens)
        except EngineError as error:
            self._fail(generation, str(error), refused=True)
        except Exception:
            logger.exception("a sampler could not be made")
            self._fail(generation, "These sampling settings could not be applied. Reset them and try again.")

    def _tell_places(self) -> None:
        for place, generation in enumerate(self._waiting, start=1):
            if generation.place != place:
                generation.place = place
                generation.emit(Queued(place))

    def _fill(self) -> list[Generation]:
        """One token of every running reply first, then prompts, each its share of the room that is left."""
        self._n_steps += 1
        room = self._context.n_batch
        chunk = max(MIN_CHUNK_TOKENS, int(self._reading_speed * CHUNK_SECONDS))
        # Replies that waited longest come first, should there be more of them than the batch has room for.
        writing = sorted((g for g in self._running if g.n_missing == 1), key=lambda generation: generation.served)
        # A short prompt does not wait for a long one, and leaves what it does not need of its share to those behind it.
        reading = sorted((g for g in self._running if g.n_missing > 1), key=lambda generation: generation.n_missing)
        batch = []
        for index, generation in enumerate([*writing, *reading]):
            sequence = generation.sequence
            assert sequence is not None
            share = max(1, chunk // (len(self._running) - index)) if generation.n_missing > 1 else 1
            size = min(room, generation.n_missing, share)
            if size == 0:
                break
            position = len(sequence.tokens)
            tokens = generation.tokens[position : position + size]
            complete = size == generation.n_missing
            row = self._context.add(tokens, position=position, sequence=sequence.id, wants_logits=complete)
            generation.row = row if complete else -1
            generation.served = self._n_steps if complete else 0
            generation.held_before = position
            sequence.tokens.extend(tokens)
            room -= size
            if size > 1:
                chunk -= size
            batch.append(generation)
        return batch

    def _decode(self, batch: list[Generation]) -> bool:
        """Run the batch; False when it has to be filled anew.

        A full cache loses what idle sequences hold, then the youngest request. Another failure ends all that took part.
        """
        n_tokens = self._context.n_pending
        n_threads = self._threads.choose(n_tokens)
        started = time.perf_counter()
        code = self._context.decode(n_threads)
        seconds = time.perf_counter() - started
        self.batch_fill += 0.1 * (n_tokens / self._context.n_batch - self.batch_fill)
        if code == 0:
            self._threads.learn(n_tokens, n_threads, seconds)
            if n_tokens > len(self._running):
                self._reading_speed += 0.3 * (n_tokens / seconds - self._reading_speed)
            return True
        logger.error("llama_decode failed with code %d for %d tokens", code, n_tokens)
        if code == NO_KV_SLOT:
            for generation in batch:
                # Nothing of the batch is in the cache; it is decoded in the next step.
                assert generation.sequence is not None
                self._pool.shorten(generation.sequence, generation.held_before)
            if not self._pool.drop_idle():
                youngest = max(self._running, key=lambda generation: generation.submitted_at)
                self._fail(youngest, "The context has no room left for this reply. Try again when others are finished.")
        else:
            for generation in batch:
                self._fail(generation, "The model failed while computing this reply. Try again, or choose another.")
        return False

    def _advance(self, generation: Generation) -> None:
        """Sample the next token of a reply, or report how far its prompt has been read."""
        try:
            if generation.row < 0:
                assert generation.sequence is not None
                total = len(generation.prompt.tokens)
                generation.emit(PromptProgress(min(len(generation.sequence.tokens), total), total))
                return
            assert generation.sampler is not None
            token = generation.sampler.sample(self._context, generation.row)
            generation.first_token_at = generation.first_token_at or time.perf_counter()
            if self._model.is_end(token):
                self._finish(generation, "stop")
                return
            generation.tokens.append(token)
            thinking, text = generation.text.feed(self._model.piece(token))
            if thinking:
                generation.thought_until = time.perf_counter()
            generation.emit(Token(text, token, thinking, *self._logprobs(generation, token)))
            if generation.text.stopped:
                self._finish(generation, "stop")
            elif generation.n_replied >= generation.sampling.max_tokens or len(generation.tokens) >= self._n_ctx:
                self._finish(generation, "length")
        except Exception:
            logger.exception("a reply failed")
            self._fail(generation, "Choosing the next token failed. Try again, or reset the settings.")

    def _logprobs(
        self, generation: Generation, token: int
    ) -> tuple[float, tuple[TokenLogprob, ...], bytes] | tuple[()]:
        n_top = generation.sampling.top_logprobs
        if n_top is None:
            return ()
        logprob, top = log_probabilities(self._model, self._context, generation.row, token, n_top)
        return logprob, top, self._model.piece(token)

    def _finish(self, generation: Generation, reason: str) -> None:
        self._retire(generation)
        thinking, text = generation.text.finish()
        generation.emit(GenerationDone(text, generation.stats(reason), thinking))

    def _fail(self, generation: Generation, message: str, *, refused: bool = False) -> None:
        self._retire(generation, keep=False)
        generation.emit(GenerationFailed(message, refused))

    def _retire(self, generation: Generation, *, keep: bool = True) -> None:
        if generation in self._running:
            self._running.remove(generation)
        elif generation in self._waiting:
            self._waiting.remove(generation)
        if generation.sampler is not None:
            generation.sampler.close()
            generation.sampler = None
        if generation.sequence is not None:
            self._pool.release(generation.sequence, keep=keep)
            generation.sequence = None


def built(prompt: Prompt) -> PromptBuilt:
    return PromptBuilt(len(prompt.tokens), prompt.n_dropped, prompt.turn_tokens, prompt.text)
