"""What sampling options do to a real model's replies."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import EngineError, GenerationFailed
from localchat_ui.engine.context import Context, ContextOptions
from localchat_ui.engine.llama import Model
from localchat_ui.engine.loader import LoadOptions
from localchat_ui.engine.sampler import Sampler, log_probabilities
from localchat_ui.engine.thinking import ThinkingMarks
from localchat_ui.engine.worker import LlamaEngine
from tests.engine.harness import Collected, ask


@pytest.fixture(scope="module")
def engine(smollm: Path) -> Iterator[LlamaEngine]:
    engine = LlamaEngine(LoadOptions(n_ctx=512, parallel=2))
    engine.load(smollm, lambda share: None)
    yield engine
    engine.close()


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1, "typical_p": 0.5},
        {"temperature": 1, "presence_penalty": 0.5, "frequency_penalty": 0.5},
        {"temperature": 1, "xtc_probability": 0.5},
        {"temperature": 1, "mirostat_tau": 5},
        {"temperature": 1, "dry_multiplier": 0.8},
        {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0},
        {"temperature": 0, "repeat_penalty": 1.2},
    ],
    ids=", ".join,
)
def test_every_sampler_writes_a_reply_and_the_same_seed_the_same(engine: LlamaEngine, options: dict[str, float]):
    first, second = (ask(engine, "Tell me about rivers.", seed=3, max_tokens=12, **options).wait() for _ in range(2))
    assert first.tokens
    assert first.text == second.text


def test_penalty_against_repeated_phrases_breaks_a_loop(engine: LlamaEngine):
    question, system = "What is the capital of France?", "You are helpful."
    looping = ask(engine, question, system=system, max_tokens=100).wait()
    free = ask(engine, question, system=system, max_tokens=100, dry_multiplier=2.0).wait()
    assert repeated_phrases(looping) > 2 * repeated_phrases(free)


def repeated_phrases(reply: Collected) -> int:
    """How many phrases of four tokens occurred before."""
    ids = [token.id for token in reply.tokens]
    phrases = [tuple(ids[i : i + 4]) for i in range(len(ids) - 3)]
    return len(phrases) - len(set(phrases))


def test_forbidden_token_is_never_chosen(engine: LlamaEngine):
    first = ask(engine, "What is 2 + 2?", max_tokens=8).wait().tokens[0].id
    reply = ask(engine, "What is 2 + 2?", max_tokens=8, logit_bias={first: -100.0}).wait()
    assert first not in [token.id for token in reply.tokens]


def test_grammar_is_followed(engine: LlamaEngine):
    reply = ask(
        engine, "Is the sky blue?", max_tokens=10, temperature=1.5, seed=1, grammar='root ::= "maybe" | "never"'
    )
    assert reply.wait().text in ("maybe", "never")
    assert reply.stats.finish_reason == "stop"


def test_json_schema_is_followed(engine: LlamaEngine):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "maximum": 99}},
        "required": ["name", "age"],
    }
    reply = ask(engine, "Describe a person called Ann, 30 years old.", max_tokens=80, json_schema=schema).wait()
    person = json.loads(reply.text)
    assert set(person) == {"name", "age"}
    assert isinstance(person["age"], int)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"logit_bias": {10_000_000: 1.0}}, "logit_bias names the token 10000000"),
    ],
)
def test_options_that_cannot_be_applied_fail_their_request_alone(
    engine: LlamaEngine, options: dict[str, object], message: str
):
    other = ask(engine, "Tell me a story.", max_tokens=20)
    failed = ask(engine, "Hello", **options).wait().events[-1]
    assert isinstance(failed, GenerationFailed)
    assert message in failed.message
    assert other.stats.reply_tokens == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"json_schema": {"type": "no such type"}}, "JSON schema cannot be turned into a grammar"),
        ({"grammar": "this is not GBNF"}, "not valid GBNF"),
    ],
)
def test_a_grammar_that_is_none_is_refused_before_anything_is_read(
    engine: LlamaEngine, options: dict[str, object], message: str
):
    with pytest.raises(EngineError, match=message):
        ask(engine, "Hello", **options)
    assert engine.figures.running == engine.figures.waiting == 0


@pytest.mark.parametrize("kind", ["json_schema", "grammar"])
def test_thinking_is_free_and_its_answer_bound(smollm: Path, kind: str):
    """For this model thinking is a sentence: it begins with the reply and ends with the first full stop."""
    options: dict[str, Any] = {
        "json_schema": {"json_schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
        "grammar": {"grammar": r'root ::= "{\"n\": " [0-9]{1,5} "}"'},
    }[kind]
    engine = LlamaEngine(LoadOptions(n_ctx=512, parallel=1))
    try:
        engine.load(smollm, lambda share: None)
        engine._pool.all()[0].model.thinking_marks = ThinkingMarks("<|im_start|>assistant", ".")
        question = "How many legs does a dog have?"
        free = ask(engine, question, max_tokens=100).wait()
        bound, again = (ask(engine, question, max_tokens=100, **options).wait() for _ in range(2))
    finally:
        engine.close()
    assert len(bound.thinking) > 10
    assert bound.thinking == free.thinking
    assert isinstance(json.loads(bound.text)["n"], int)
    assert bound.stats.finish_reason == "stop"
    assert (bound.thinking, bound.text) == (again.thinking, again.text)


def test_a_grammar_that_leaves_no_token_ends_its_request_and_not_the_program(engine: LlamaEngine):
    forbidden = ask(engine, "Hi", max_tokens=1, grammar='root ::= "!"').wait().tokens[0].id
    end = engine._pool.all()[0].model.tokenize("<|im_end|>")[0]
    other = ask(engine, "Tell me a story.", max_tokens=20)
    failed = ask(engine, "Hi", grammar='root ::= "!"', logit_bias={forbidden: -math.inf, end: -math.inf}).wait()
    assert isinstance(failed.events[-1], GenerationFailed)
    assert "no token left" in failed.events[-1].message
    assert failed.events[-1].kind == "refused"
    assert other.stats.reply_tokens == 20


def test_new_options_leave_a_grammar_where_it_is(engine: LlamaEngine):
    grammar = 'root ::= "a" "b"{300} "c"'
    reply = ask(engine, "Hi", grammar=grammar, max_tokens=400)
    assert reply.first_token.wait(30)
    for temperature in (0.5, 1.0, 0.0):
        engine.change(reply.request.id, RequestOptions(temperature=temperature, grammar=grammar, max_tokens=400))
    assert reply.wait().text == "a" + "b" * 300 + "c"


@pytest.mark.parametrize("bias", [math.nan, math.inf])
def test_a_bias_that_is_no_number_is_refused(engine: LlamaEngine, bias: float):
    failed = ask(engine, "Hi", logit_bias={5: bias}).wait().events[-1]
    assert isinstance(failed, GenerationFailed)
    assert "not a number" in failed.message


@pytest.mark.parametrize("options", [{"top_k": 1}, {"min_p": 1}, {"top_p": 0.001}], ids=", ".join)
def test_what_keeps_one_token_takes_the_likeliest(engine: LlamaEngine, options: dict[str, float]):
    greedy = ask(engine, "Tell me about rivers.", max_tokens=12).wait().text
    everything = {"temperature": 2, "top_k": 0, "top_p": 1, "min_p": 0, **options}
    texts = {ask(engine, "Tell me about rivers.", max_tokens=12, seed=n, **everything).wait().text for n in range(3)}
    assert texts == {greedy}


def test_log_probabilities_are_those_of_the_row_just_sampled(engine: LlamaEngine):
    tokens = ask(engine, "What is 2 + 2?", max_tokens=6, top_logprobs=5).wait().tokens
    for token in tokens:
        assert token.logprob is not None
        assert len(token.top) == 5
        # At temperature 0 the likeliest token is the one that was chosen.
        assert token.top[0].id == token.id
        assert token.top[0].logprob == pytest.approx(token.logprob)
        assert [other.logprob for other in token.top] == sorted((o.logprob for o in token.top), reverse=True)
        assert sum(math.exp(other.logprob) for other in token.top) <= 1.0001
    assert "".join(token.top[0].piece.decode() for token in tokens).strip() == "".join(t.text for t in tokens).strip()


@pytest.mark.parametrize("n_top", [0, 1, 20])
def test_log_probabilities_are_the_softmax_of_their_row(smollm: Path, n_top: int):
    model = Model(smollm)
    context = Context(model, ContextOptions(n_ctx=256, n_sequences=1, n_batch=64, n_threads=1))
    try:
        row = context.add(model.tokenize("The capital of France is"), position=0, sequence=0, n_logits=1)
        assert context.decode() == 0
        scores = context.logits(row).astype(np.float64)
        expected = np.log(np.exp(scores) / np.exp(scores).sum())
        token = int(np.argsort(expected)[-3])
        logprob, top = log_probabilities(model, context.logits(row), token, n_top)
        assert logprob == pytest.approx(expected[token], abs=1e-4)
        assert [other.id for other in top] == np.argsort(expected)[::-1][:n_top].tolist()
        assert [other.logprob for other in top] == pytest.approx(np.sort(expected)[::-1][:n_top].tolist(), abs=1e-4)
    finally:
        context.close()
        model.close()


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0},
        {"temperature": 0.7},
        {"temperature": 2, "top_k": 200, "min_p": 0, "top_p": 1},
        {"temperature": 1, "top_k": 0},
        {"temperature": 1, "top_k": 5, "typical_p": 0.5, "xtc_probability": 0.5},
    ],
)
def test_looking_at_the_likeliest_tokens_alone_changes_no_choice(smollm: Path, options: dict[str, Any]):
    """llama.cpp's own way looks at every token of the vocabulary."""
    model = Model(smollm)
    random = np.random.default_rng(1)
    ours, whole = (Sampler(model, RequestOptions(seed=3, **options), [1, 2, 3]) for _ in range(2))
    try:
        whole._is_greedy, whole._n_likeliest = False, 0
        for spread in np.linspace(0.1, 6, 60):
            scores = (spread * random.standard_normal(model.n_vocab)).astype(np.float32)
            assert ours.sample(scores) == whole.sample(scores)
    finally:
        ours.close()
        whole.close()
        model.close()


def test_log_probabilities_cost_nothing_unless_asked_for(engine: LlamaEngine):
    assert all(token.logprob is None and not token.top for token in ask(engine, "Hi", max_tokens=3).wait().tokens)


def test_running_request_obeys_new_options(engine: LlamaEngine):
    options = RequestOptions(temperature=0, max_tokens=400)
    reply = ask(engine, "Tell me a very long story about the sea.", **options.model_dump())
    assert reply.first_token.wait(30)
    exclamation = ask(engine, "Hi", max_tokens=1, grammar='root ::= "!"').wait().tokens[0].id
    engine.change(reply.request.id, options.model_copy(update={"logit_bias": {exclamation: 100.0}, "max_tokens": 300}))
    assert reply.wait().text.endswith("!!!!")
    assert reply.stats.reply_tokens == 300
