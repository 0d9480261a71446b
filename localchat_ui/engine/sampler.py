"""Chooses the next token of one sequence, with llama.cpp's own samplers in llama.cpp's default order."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence

import llama_cpp
import numpy as np
import numpy.typing as npt

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import EngineError, TokenLogprob
from localchat_ui.engine.llama import Model

PENALTY_WINDOW = 64
DRY_BREAKERS = (b"\n", b":", b'"', b"*")
NO_PENALTIES = (1, 0, 0)
# Tokens this much below the likeliest one, in logits, are looked at only when there are too few others.
NEAR = 8.0
Scores = npt.NDArray[np.float32]
Ids = npt.NDArray[np.intp]
CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Sampler:
    """Belongs to the engine's thread. Raises EngineError when the options cannot be applied."""

    def __init__(self, model: Model, options: RequestOptions, history: Sequence[int]) -> None:
        """`history` is what the sequence holds so far; penalties look back at it."""
        leaves_scores = not options.logit_bias and _penalties(options) == NO_PENALTIES and not options.dry_multiplier
        self._is_greedy = leaves_scores and options.temperature == 0
        self._n_likeliest = options.top_k if leaves_scores and options.mirostat_tau == 0 else 0
        self._chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        try:
            for sampler in _samplers(model, options):
                llama_cpp.llama_sampler_chain_add(self._chain, sampler)
        except EngineError:
            self.close()
            raise
        # Phrases may repeat from far back.
        for token in history if options.dry_multiplier > 0 else history[-PENALTY_WINDOW:]:
            llama_cpp.llama_sampler_accept(self._chain, token)

    def sample(self, scores: Scores, allowed: Ids | None = None) -> int:
        """The next token, from the scores of all of them; one of those `allowed`, if not all are.

        Penalties know of it once it is accepted.
        """
        if self._is_greedy:
            return int(scores.argmax() if allowed is None else allowed[scores[allowed].argmax()])
        return _Candidates.likeliest(scores, self._n_likeliest, allowed).apply(self._chain)

    def accept(self, token: int) -> None:
        """Go on behind a token, whoever chose it."""
        llama_cpp.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        if self._chain:
            llama_cpp.llama_sampler_free(self._chain)
        self._chain = None


def log_probabilities(model: Model, scores: Scores, token: int, n_top: int) -> tuple[float, tuple[TokenLogprob, ...]]:
    """Log-probability of a token and of the likeliest ones, before sampling changed anything."""
    peak = float(scores.max())
    normaliser = peak + float(np.log(np.exp(scores - peak).sum()))
    likeliest = np.argpartition(scores, -n_top)[-n_top:] if n_top else np.empty(0, np.int64)
    likeliest = likeliest[np.argsort(scores[likeliest])[::-1]]
    top = tuple(TokenLogprob(int(i), model.piece(int(i)), float(scores[i]) - normaliser) for i in likeliest)
    return float(scores[token]) - normaliser, top


class _Candidates:
    """Tokens with their scores, as llama.cpp's samplers take them."""

    def __init__(self, ids: Ids, scores: Scores) -> None:
        self.data = np.empty(len(ids), CANDIDATE)
        self.data["id"], self.data["logit"], self.data["p"] = ids, scores, 0
        pointer = self.data.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data))
        self._array = llama_cpp.llama_token_data_array(pointer, len(ids), -1, False)

    @classmethod
    def likeliest(cls, scores: Scores, n: int, allowed: Ids | None = None) -> _Candidates:
        """The `n` likeliest tokens and perhaps some more; all (of those allowed) if `n` is 0.

        A sampler that looks at every token of a large vocabulary takes longer than a small model does for the token.
        """
        given = scores if allowed is None else scores[allowed]
        if n:
            near = np.flatnonzero(given > given.max() - NEAR)
            if len(near) >= n:
                return cls(near if allowed is None else allowed[near], given[near])
        return cls(np.arange(len(scores)) if allowed is None else allowed, given)

    def apply(self, chain: llama_cpp.llama_sampler_p) -> int:
        """Let a chain choose one of them. Raises EngineError if it left none."""
        llama_cpp.llama_sampler_apply(chain, ctypes.byref(self._array))
        chosen = self.data[self._array.selected]
        if chosen["logit"] == -np.inf:
            raise EngineError("There is no token left that may come next.")
        return int(chosen["id"])


def _samplers(model: Model, options: RequestOptions) -> Iterator[llama_cpp.llama_sampler_p]:
    seed = llama_cpp.LLAMA_DEFAULT_SEED if options.seed is None else options.seed
    if options.logit_bias:
        yield _logit_bias(model, options)
    if (penalties := _penalties(options)) != NO_PENALTIES:
        yield llama_cpp.llama_sampler_init_penalties(model.n_vocab, PENALTY_WINDOW, *penalties)
    if options.dry_multiplier > 0:
        yield _dry(model, options)
    if options.temperature == 0:
        yield llama_cpp.llama_sampler_init_greedy()
        return
    if options.mirostat_tau > 0:
        yield llama_cpp.llama_sampler_init_temp(options.temperature)
        yield llama_cpp.llama_sampler_init_mirostat_v2(seed, options.mirostat_tau, options.mirostat_eta)
        return
    if options.top_k > 0:
        yield llama_cpp.llama_sampler_init_top_k(options.top_k)
    if options.typical_p < 1:
        yield llama_cpp.llama_sampler_init_typical(options.typical_p, 1)
    if options.top_p < 1:
        yield llama_cpp.llama_sampler_init_top_p(options.top_p, 1)
    if options.min_p > 0:
        yield llama_cpp.llama_sampler_init_min_p(options.min_p, 1)
    if options.xtc_probability > 0:
        yield llama_cpp.llama_sampler_init_xtc(options.xtc_probability, options.xtc_threshold, 1, seed)
    yield llama_cpp.llama_sampler_init_temp(options.temperature)
    yield llama_cpp.llama_sampler_init_dist(seed)


def _penalties(options: RequestOptions) -> tuple[float, float, float]:
    return options.repeat_penalty, options.frequency_penalty, options.presence_penalty


def _logit_bias(model: Model, options: RequestOptions) -> llama_cpp.llama_sampler_p:
    unknown = [token for token in options.logit_bias if not 0 <= token < model.n_vocab]
    if unknown:
        raise EngineError(f"logit_bias names the token {unknown[0]}, but the model has {model.n_vocab:,} tokens.")
    if any(math.isnan(bias) or bias == math.inf for bias in options.logit_bias.values()):
        raise EngineError("logit_bias has a value that is not a number.")
    biases = [llama_cpp.llama_logit_bias(token, bias) for token, bias in options.logit_bias.items()]
    array = (llama_cpp.llama_logit_bias * len(biases))(*biases)
    sampler: llama_cpp.llama_sampler_p = llama_cpp.llama_sampler_init_logit_bias(model.n_vocab, len(biases), array)
    return sampler


def _dry(model: Model, options: RequestOptions) -> llama_cpp.llama_sampler_p:
    breakers = (ctypes.c_char_p * len(DRY_BREAKERS))(*DRY_BREAKERS)
    sampler: llama_cpp.llama_sampler_p = llama_cpp.llama_sampler_init_dry(
        model.vocab,
        options.dry_multiplier,
        options.dry_base,
        options.dry_allowed_length,
        model.n_ctx_train,
        breakers,
        len(DRY_BREAKERS),
    )
    return sampler
