"""What is decoded together: a batch is cheaper than its rows one by one, but not every row may be among others."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from localchat_ui.engine.context import Context
from localchat_ui.engine.generation import Generation
from localchat_ui.engine.prefill_budget import PrefillBudget
from localchat_ui.engine.sampler import Scores
from localchat_ui.engine.sequences import SequencePool

logger = logging.getLogger(__name__)

# So many steps a gap between the running sequences is borne before one is moved into it.
STEPS_WITH_GAP = 8
# A draft is a decode of its own: where more replies share one, a row in that is cheaper than a guess.
MOST_GUESSING = 2
# So many replies have to come out the same in a decode of one width before it is no longer tried. Where a kernel rounds
# otherwise, about every second one does not (gemma with AVX512: 4 rows and more).
ROWS_TO_TRUST = 16
# What one decode takes: whose tokens, and how many.
Decode = list[tuple[Generation, int]]


class BatchPlanner:
    """Plans the decodes of a step. Belongs to the engine's thread."""

    def __init__(self, context: Context, pool: SequencePool, budget: PrefillBudget, n_ctx: int) -> None:
        self._context = context
        self._pool = pool
        self._budget = budget
        self._n_ctx = n_ctx
        self._steps_with_gap = 0
        self._widest = pool.size if context.can_truncate else 1
        self._rows_right: Counter[int] = Counter()

    def plan(self, running: Sequence[Generation]) -> list[Decode]:
        """The next token of every reply, then a piece of every prompt."""
        return [*self._writing(running), *self._reading(running)]

    def _writing(self, running: Sequence[Generation]) -> Iterator[Decode]:
        """The next token of every reply: together, but for drafts, and for what others would round otherwise."""
        together: list[Generation] = []
        writing = [generation for generation in running if generation.n_missing == 1]
        for generation in writing:
            if self._context.can_truncate and len(writing) <= MOST_GUESSING:
                generation.guess(self._n_ctx)
            if generation.draft:
                yield [(generation, 1)]
            else:
                together.append(generation)
        self._watch_gap(together)
        for group in self._independent_groups(sorted(together, key=sequence_id)):
            yield [(generation, 1) for generation in group]

    def _reading(self, running: Sequence[Generation]) -> Iterator[Decode]:
        """A piece of every prompt, each its share of the budget, the shortest first."""
        reading = sorted((g for g in running if g.n_missing > 1), key=lambda generation: generation.n_missing)
        room = self._budget.n_tokens(alone=len(reading) == len(running))
        together: Decode = []
        for n_before, generation in enumerate(reading):
            size = self._piece(generation, max(self._block(generation), room // (len(reading) - n_before)))
            room -= size
            if generation.deterministic:
                yield [(generation, size)]
                continue
            if sum(n for _, n in together) + size > self._context.n_batch:
                yield together
                together = []
            together.append((generation, size))
        if together:
            yield together

    def _piece(self, generation: Generation, share: int) -> int:
        """How many tokens to read of a prompt: whole blocks, and at last what is left.

        That comes alone where every rounding counts, and a reply that was broken off one by one, as it was written.
        """
        assert generation.sequence is not None
        missing, block, position = generation.n_missing, self._block(generation), len(generation.sequence.tokens)
        if generation.deterministic:
            missing = generation.n_prompt - position
            if missing <= 0:
                return 1
        if not self._context.can_truncate:
            # The states behind these are kept, for whoever asks the same or goes another way.
            ends = [(end - 1) // block * block - position for end in (*generation.borders, generation.n_prompt)]
            share = min([share, *[end for end in ends if end > 0]])
        if missing > share:
            return share // block * block or share
        return missing // block * block or missing if generation.deterministic else missing

    def _block(self, generation: Generation) -> int:
        """The least that is read at a time; larger ones only where every rounding counts, or states are kept."""
        is_bound = generation.deterministic or not self._context.can_truncate
        return self._context.block if is_bound else self._budget.block

    def _independent_groups(self, generations: Sequence[Generation]) -> list[Sequence[Generation]]:
        """These in groups, in each of which a reply's next token comes out as it would alone.

        llama.cpp may take another kernel for a batch of another width, and that rounds differently, though not always.
        So it is tried with the replies that are there, until a width has been right so often that it is trusted.
        """
        alone = [[each] for each in generations if each.deterministic and not self._may_have_company(each)]
        generations = [each for each in generations if [each] not in alone]
        deterministic = [each for each in generations if each.deterministic]
        rest = [each for each in generations if not each.deterministic]
        while deterministic and self._widest > 1:
            if len(generations) <= self._widest:
                groups = [generations]
            else:
                slices = range(0, len(deterministic), self._widest)
                groups = [deterministic[start : start + self._widest] for start in slices]
                groups += [rest] if rest else []
            if all(self._is_independent(group) for group in groups):
                return [*alone, *groups]
        groups = [[each] for each in deterministic]
        return [*alone, *groups, *([rest] if rest else [])]

    def _may_have_company(self, generation: Generation) -> bool:
        assert generation.sequence is not None
        return len(generation.sequence.tokens) < self._context.longest_independent

    def _is_independent(self, group: Sequence[Generation]) -> bool:
        """If not, no decode shall be as wide again."""
        deterministic = [each for each in group if each.deterministic]
        widths = {width for width in _runs(list(map(sequence_id, group))) if width > 1}
        if not deterministic or all(self._rows_right[width] >= ROWS_TO_TRUST for width in widths):
            return True
        beside = self._try_decode(group)
        right = all(
            np.array_equal(self._try_decode([each]).get(each, ()), beside.get(each, 0)) for each in deterministic
        )
        if right:
            self._rows_right.update(dict.fromkeys(widths, len(deterministic)))
        else:
            self._widest = max(widths) - 1
            logger.debug("replies are independent of one another up to %d in a decode", self._widest)
        return right

    def _try_decode(self, generations: Sequence[Generation]) -> dict[Generation, Scores]:
        """The scores behind the next token of each reply, decoded together; none of it stays."""
        for generation in generations:
            generation.add_to(self._context, 1)
        rows = {generation: generation.row for generation in generations if generation.row is not None}
        scores = {}
        if self._context.decode() == 0:
            scores = {generation: self._context.logits(row).copy() for generation, row in rows.items()}
        for generation in generations:
            assert generation.sequence is not None
            self._pool.truncate(generation.sequence, len(generation.sequence.tokens) - 1)
        return scores

    def _watch_gap(self, generations: Sequence[Generation]) -> None:
        ids = sorted(map(sequence_id, generations))
        has_gap = len(ids) > 1 and ids[-1] - ids[0] >= len(ids)
        self._steps_with_gap = self._steps_with_gap + 1 if has_gap else 0
        if self._steps_with_gap > STEPS_WITH_GAP:
            self._steps_with_gap = 0
            self._pool.close_gap([each.sequence for each in generations if each.sequence is not None])


def sequence_id(generation: Generation) -> int:
    assert generation.sequence is not None
    return generation.sequence.id


def _runs(ids: Sequence[int]) -> tuple[int, ...]:
    """Lengths of the runs of neighbours in a sorted list: llama.cpp computes each of them as one batch."""
    return tuple(len(list(run)) for _, run in groupby(enumerate(ids), key=lambda each: each[1] - each[0]))
