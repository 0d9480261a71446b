"""One request on its way through the scheduler: a growing list of tokens, and what has become of it so far."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from itertools import accumulate

from localchat_ui.conversation import GenerationStats, RequestOptions, Role
from localchat_ui.engine.base import Emit, GenerationRequest, PromptProgress, Token
from localchat_ui.engine.context import Context
from localchat_ui.engine.grammar import Guide
from localchat_ui.engine.llama import Model
from localchat_ui.engine.prompt import Prompt
from localchat_ui.engine.prompt_lookup import LONGEST, PromptLookup
from localchat_ui.engine.sampler import Sampler, Scores, log_probabilities
from localchat_ui.engine.sequences import KvSequence
from localchat_ui.engine.text import Phase, TextStream
from localchat_ui.engine.thinking_budget import ThinkingBudget


@dataclass(eq=False)
class Generation:
    """Waits, reads, writes. Who runs has a sequence and a sampler; `row` is where its next token can be read from.

    `draft` are tokens that may follow the last one; they are decoded with it and kept as far as they are right.
    A grammar may have `forced` them.
    """

    request: GenerationRequest
    prompt: Prompt
    emit: Emit
    sampling: RequestOptions
    guide: Guide | None = None
    tokens: list[int] = field(init=False)
    seed: int = field(init=False)
    text: TextStream = field(init=False)
    budget: ThinkingBudget = field(init=False)
    lookup: PromptLookup = field(init=False)
    sequence: KvSequence | None = None
    sampler: Sampler | None = None
    row: int | None = None
    draft: list[int] = field(default_factory=list)
    forced: bool = False
    reused: int = 0
    place: int = 0
    cancelled: bool = False
    submitted_at: float = field(default_factory=time.perf_counter)
    first_token_at: float = 0.0
    thought_until: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = list(self.prompt.tokens)
        self.seed = secrets.randbelow(2**32 - 1) if self.sampling.seed is None else self.sampling.seed
        self.lookup = PromptLookup()
        prompt = self.prompt
        stop = (*prompt.stop, *self.request.stop)
        self.text = TextStream(stop, prompt.marks, prompt.phase, continued=prompt.continued)
        n_thought = prompt.n_begun if prompt.phase is Phase.THINKING else 0
        may_call = "tools" in self.request.template_arguments
        self.budget = ThinkingBudget(prompt.marks, n_begun=n_thought, may_call=may_call)

    def begin(self, model: Model, sequence: KvSequence) -> None:
        """Go on from what the sequence holds already. Raises EngineError for options that cannot be applied."""
        self.sequence = sequence
        self.reused = len(sequence.tokens)
        self.sampler = Sampler(model, self._seeded(), self.tokens)

    def change(self, model: Model, sampling: RequestOptions) -> None:
        """Go on with other options and the same guide. Raises EngineError for those that cannot be applied."""
        self.sampling = sampling
        if self.sampler is not None:
            changed = Sampler(model, self._seeded(), self.tokens)
            self.sampler.close()
            self.sampler = changed

    def guess(self, n_ctx: int) -> None:
        """Make a draft of what has to follow, else of what may.

        None where every rounding counts: several rows are rounded unlike one.
        """
        room = min(self.sampling.max_tokens - self.n_replied, n_ctx - len(self.tokens)) - 1
        if self.deterministic or room < 1:
            self.draft = []
            return
        self.draft = self.guide.forced()[: min(room, LONGEST)] if self.guide else []
        self.forced = bool(self.draft)
        self.draft = self.draft or self.lookup.guess(self.tokens, room)

    def add_to(self, context: Context, size: int) -> None:
        """Put the next `size` tokens that are missing into the batch, and the draft behind them."""
        sequence = self.sequence
        assert sequence is not None
        position = len(sequence.tokens)
        tokens = [*self.tokens[position : position + size], *self.draft]
        complete = position + size == len(self.tokens)
        n_logits = 1 + len(self.draft) if complete else 0
        row = context.add(tokens, position=position, sequence=sequence.id, n_logits=n_logits)
        self.row = row if complete else None
        sequence.tokens += tokens

    def advance(self, model: Model, context: Context, n_ctx: int) -> str | None:
        """Take a step on from what was just decoded; returns why the reply is finished, when it is."""
        if self.row is None:
            self._tell_progress()
            return None
        draft, self.draft = self.draft, []
        row = self.row - len(draft)
        if not self.n_replied and self.sequence is not None and not self.request.ephemeral:
            self.sequence.end_prompt(len(self.tokens), context.logits(row), canonical=self.deterministic)
        n_right = 0
        while True:
            token, reason = self.take(model, context.logits(row + n_right), n_ctx)
            if reason or n_right == len(draft) or token != draft[n_right]:
                break
            n_right += 1
        if draft and not self.forced:
            self.lookup.learn(len(draft), n_right, len(self.tokens))
        return reason

    def take(self, model: Model, scores: Scores, n_ctx: int) -> tuple[int, str | None]:
        """Choose a token by its scores and hand it out; tells why it is the last, when it is."""
        assert self.sampler is not None
        token = self._choose(model, scores)
        self.sampler.accept(token)
        if not self.first_token_at:
            self.first_token_at = time.perf_counter()
        if model.is_end(token):
            return token, "stop"
        if self.guide:
            self.guide.accept(token)
        self.tokens.append(token)
        piece = model.piece(token)
        before = self.text.phase
        thinking, text = self.text.feed(piece)
        self.budget.took(token, before, self.text.phase)
        if thinking:
            self.thought_until = time.perf_counter()
        if self.sampling.top_logprobs is None:
            self.emit(Token(text, token, thinking))
        else:
            logprob, top = log_probabilities(model, scores, token, self.sampling.top_logprobs)
            self.emit(Token(text, token, thinking, logprob, top, piece))
        if self.text.stopped:
            return token, "stop"
        full = self.n_replied >= self.sampling.max_tokens or len(self.tokens) >= n_ctx
        return token, "length" if full else None

    def _choose(self, model: Model, scores: Scores) -> int:
        """What ends thinking, if that is due; else what the model would say, unless the guide does not allow it.

        To look at all that is allowed takes longer than to ask for one token, and models mostly do what they are to.
        """
        assert self.sampler is not None
        guide = self.guide
        closing = self.budget.next(model, self.text, self.sampling.thinking_budget)
        if closing is not None and (guide is None or guide.allows(closing)):
            return closing
        token = self.sampler.sample(scores)
        return token if guide is None or guide.allows(token) else self.sampler.sample(scores, guide.allowed())

    @property
    def n_replied(self) -> int:
        return len(self.tokens) - len(self.prompt.tokens)

    @property
    def n_missing(self) -> int:
        """Tokens that are still to be decoded."""
        assert self.sequence is not None
        return len(self.tokens) - len(self.sequence.tokens)

    @property
    def n_prompt(self) -> int:
        """Tokens before the reply; what follows of a reply that was broken off was written one by one."""
        return len(self.prompt.tokens) - self.prompt.n_begun

    @property
    def borders(self) -> list[int]:
        """Where other prompts may go another way: about behind the system prompt, and before the last turn."""
        n_turns, n_dropped = len(self.prompt.turn_tokens), self.prompt.n_dropped
        sizes = [n for turn, n in enumerate(self.prompt.turn_tokens) if not 0 < turn <= n_dropped]
        ends = list(accumulate(sizes))
        return [ends[0], ends[-2]] if n_turns > 1 and len(ends) > 1 else []

    @property
    def n_first_question(self) -> int:
        """Tokens down to the end of the first question: who shares them is of the same conversation."""
        turns = self.request.turns
        n_turns = next((n for n, turn in enumerate(turns, start=1) if turn.role is Role.USER), len(turns))
        return sum(self.prompt.turn_tokens[:n_turns])

    @property
    def deterministic(self) -> bool:
        """Whether it is to be computed in the same way every time, whatever runs beside it or was kept from before."""
        if self.sampling.deterministic is not None:
            return self.sampling.deterministic
        return self.sampling.seed is not None or self.sampling.temperature == 0

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
            thinking_tokens=self.budget.n_tokens,
            notes=self.prompt.notes,
            finish_reason=finish_reason,
        )

    def _seeded(self) -> RequestOptions:
        return self.sampling.model_copy(update={"seed": self.seed})

    def _tell_progress(self) -> None:
        assert self.sequence is not None
        total = len(self.prompt.tokens)
        self.emit(PromptProgress(min(len(self.sequence.tokens), total), total))
