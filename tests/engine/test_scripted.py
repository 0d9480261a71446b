"""What tests of other rooms rely on: that the scripted engine keeps an engine's promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localchat_ui.engine.base import GenerationDone, GenerationFailed, ModelLoadError, NoModelError
from localchat_ui.engine.scripted import ScriptedEngine
from tests.engine.harness import ask

MODEL = Path("tiny.gguf")


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    engine = ScriptedEngine(seconds_per_token=0.001)
    engine.load(MODEL, lambda share: None)
    yield engine
    engine.close()


def test_replies_follow_the_scripts_in_order(engine: ScriptedEngine):
    engine.enqueue("Hel", "lo")
    engine.enqueue("Bye")
    first, second = ask(engine, "Hi").wait(), ask(engine, "And now?").wait()
    assert [token.text for token in first.tokens] == ["Hel", "lo"]
    assert second.text == "Bye"
    assert first.stats.finish_reason == "stop"
    assert first.stats.reply_tokens == 2


def test_without_a_script_the_question_is_repeated(engine: ScriptedEngine):
    reply = ask(engine, "How are you?").wait()
    assert reply.text == "How are you?"
    assert len(reply.tokens) > 1


def test_a_reply_ends_at_its_limit(engine: ScriptedEngine):
    engine.enqueue("a", "b", "c")
    reply = ask(engine, "Hi", max_tokens=2).wait()
    assert (reply.text, reply.stats.finish_reason) == ("ab", "length")


def test_a_scripted_error_comes_after_the_text_and_is_the_last_event(engine: ScriptedEngine):
    engine.enqueue("one ", "two", error="The cache is full.")
    reply = ask(engine, "Count").wait()
    assert reply.text == "one two"
    assert reply.events[-1] == GenerationFailed("The cache is full.")


def test_a_cancelled_reply_keeps_what_was_written(engine: ScriptedEngine):
    engine.seconds_per_token = 0.01
    engine.enqueue(*["word "] * 500)
    reply = ask(engine, "Tell me a story", max_tokens=500)
    assert reply.first_token.wait(5)
    engine.cancel(reply.request.id)
    assert reply.stats.finish_reason == "cancelled"
    assert reply.text == "word " * reply.stats.reply_tokens
    assert 0 < reply.stats.reply_tokens < 500


def test_a_cancelled_reply_does_not_fail_as_well(engine: ScriptedEngine):
    engine.enqueue(*["word "] * 5000, error="too late")
    reply = ask(engine, "Tell me a story", max_tokens=5000)
    engine.cancel(reply.request.id)
    assert isinstance(reply.wait().events[-1], GenerationDone)


def test_several_replies_are_written_at_once(engine: ScriptedEngine):
    engine.seconds_per_token = 0.01
    for letter in "ab":
        engine.enqueue(*[letter] * 30)
    replies = [ask(engine, "Go") for _ in range(2)]
    assert all(reply.first_token.wait(5) for reply in replies)
    assert not any(reply.ended.is_set() for reply in replies)
    assert [reply.wait().text for reply in replies] == ["a" * 30, "b" * 30]


def test_requests_are_remembered(engine: ScriptedEngine):
    reply = ask(engine, "Hi", system="Be brief.", temperature=0.5).wait()
    assert engine.requests == [reply.request]
    assert [turn.text for turn in engine.requests[0].turns] == ["Be brief.", "Hi"]


def test_a_load_that_fails_leaves_the_old_model_in_use(engine: ScriptedEngine):
    engine.load_error = "broken.gguf could not be loaded: it is not a GGUF file."
    with pytest.raises(ModelLoadError, match="not a GGUF file"):
        engine.load(Path("broken.gguf"), lambda share: None)
    assert engine.model is not None
    assert engine.model.path == MODEL


def test_a_load_tells_how_far_it_is():
    shares: list[float] = []
    model = ScriptedEngine().load(MODEL, shares.append)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert shares == sorted(shares)
    assert model.path == MODEL


def test_without_a_model_requests_are_refused():
    with pytest.raises(NoModelError):
        ask(ScriptedEngine(), "Hello?")


def test_close_ends_every_reply_and_leaves_no_thread():
    engine = ScriptedEngine(seconds_per_token=0.01)
    engine.load(MODEL, lambda share: None)
    engine.enqueue(*["word "] * 500)
    reply = ask(engine, "Tell me a story", max_tokens=500)
    engine.close()
    assert reply.ended.is_set()
    assert not any(thread.is_alive() for thread in engine._threads)
    with pytest.raises(NoModelError):
        ask(engine, "Anybody there?")
