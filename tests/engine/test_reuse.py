"""Nothing is read twice, and what is written is what it would be if everything were: on real models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from localchat_ui.conversation import RequestOptions, Role
from localchat_ui.engine.base import GenerationFailed, GenerationRequest, Turn
from localchat_ui.engine.loader import LoadOptions
from localchat_ui.engine.worker import LlamaEngine
from tests.engine.harness import Collected, ask
from tests.engine.tiny import write_lfm2, write_mamba

SYSTEM = "You answer in one short sentence, as an old sailor would."
LONG = "Read this: " + ", ".join(f"ship {n} has {n * n} sails" for n in range(60)) + ". How many ships are there?"


@pytest.fixture(scope="session")
def mamba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mamba(tmp_path_factory.mktemp("tiny") / "mamba.gguf")


@pytest.fixture(scope="session")
def lfm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lfm2(tmp_path_factory.mktemp("tiny") / "lfm2.gguf")


@pytest.fixture(params=["smollm", "gemma", "mamba", "lfm2"])
def path(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@contextmanager
def running(path: Path, *, n_ctx: int = 4096, parallel: int = 2) -> Iterator[LlamaEngine]:
    engine = LlamaEngine(LoadOptions(n_ctx=n_ctx, parallel=parallel, n_threads=1))
    try:
        engine.load(path, lambda share: None)
        yield engine
    finally:
        engine.close()


def cold(path: Path, *texts: str, **options: Any) -> Collected:
    """The same request in an engine that has read nothing."""
    with running(path) as engine:
        reply = ask(engine, *texts, **options).wait()
    assert reply.stats.reused_tokens == 0
    return reply


def test_turn_by_turn_with_an_edited_message_and_a_shared_system_prompt(path: Path):
    talks = [
        ("What is a lighthouse?",),
        ("What is a lighthouse?", "A tower with a lamp.", "Who keeps it?"),
        ("What is a lighthouse?", "A tower with a lamp.", "Who built the first one, and when?"),
        ("What is a harbour?",),
        ("What is a lighthouse?", "A tower with a lamp.", "Who keeps it?", "A keeper.", "Is it lonely?"),
    ]
    with running(path) as engine:
        warm = [ask(engine, *talk, system=SYSTEM, max_tokens=24).wait() for talk in talks]
    assert all(reply.stats.reused_tokens >= 16 for reply in warm[1:])
    for talk, reply in zip(talks, warm, strict=True):
        assert reply.text == cold(path, *talk, system=SYSTEM, max_tokens=24).text


def test_what_is_ephemeral_leaves_the_cache_as_it_was(path: Path):
    def whisper(*turns: Turn) -> Collected:
        request = GenerationRequest(turns, RequestOptions(max_tokens=8, deterministic=False), ephemeral=True)
        engine.submit(request, (heard := Collected(request)).emit)
        return heard.wait()

    with running(path) as engine:
        ask(engine, "What is a harbour?", system=SYSTEM, max_tokens=8).wait()
        first = ask(engine, LONG, system=SYSTEM, max_tokens=24).wait()
        sequences = engine._pool.all()[0].scheduler._pool._sequences
        before = [list(each.tokens) for each in sequences]
        talk = [*first.request.turns, Turn(Role.ASSISTANT, first.text), Turn(Role.USER, "Summarize it.")]
        title = whisper(*talk)
        n_missing = title.stats.prompt_tokens - title.stats.reused_tokens
        assert n_missing < 100, "it goes on from the conversation"
        after = [list(each.tokens) for each in sequences]
        assert all(old[: len(new)] == new for old, new in zip(before, after, strict=True))
        assert sum(map(len, before)) - sum(map(len, after)) <= 40, "the prompts are all there"
        stranger = whisper(Turn(Role.SYSTEM, SYSTEM), Turn(Role.USER, "A question that nobody asked before"))
        assert isinstance(stranger.events[-1], GenerationFailed)
        assert [list(each.tokens) for each in sequences] == after


def test_a_state_that_cannot_be_truncated_is_used_whole_or_from_a_checkpoint(mamba: Path):
    """A reply that goes on begins with all that the sequence holds, another answer with the state before the end."""
    options = RequestOptions(temperature=0, max_tokens=5, deterministic=False)
    with running(mamba, parallel=1) as engine:
        first = ask(engine, "Ahoy, you there in the rigging", max_tokens=20).wait()
        [pooled] = engine._pool.all()
        assert not pooled.context.can_truncate, "llama.cpp said so"
        [sequence] = pooled.scheduler._pool._sequences
        held = len(sequence.tokens)
        tokens = [*sequence.tokens, first.tokens[-1].id]
        further = Collected(GenerationRequest((), options, prompt=tokens))
        engine.submit(further.request, further.emit)
        assert further.stats.reused_tokens == held
        again = ask(engine, "Ahoy, you there in the rigging", max_tokens=20)
        assert 0 < again.stats.prompt_tokens - again.stats.reused_tokens <= 16
        assert again.text == first.text


def test_the_same_question_again(path: Path):
    with running(path) as engine:
        first, again = (ask(engine, LONG, max_tokens=24).wait() for _ in range(2))
    assert again.stats.prompt_tokens - again.stats.reused_tokens <= 32
    assert first.text == again.text == cold(path, LONG, max_tokens=24).text


def test_a_beginning_that_is_being_used_is_copied(path: Path):
    # A grammar keeps it from ending by itself.
    options: dict[str, Any] = {"system": SYSTEM, "grammar": "root ::= [a-z ]{400}"}
    with running(path) as engine:
        busy = ask(engine, "Tell me a very long story.", max_tokens=400, **options)
        assert busy.first_token.wait(60)
        other = ask(engine, "What is a harbour?", system=SYSTEM, max_tokens=24).wait()
        assert not busy.ended.is_set()
        assert other.stats.reused_tokens >= 16
        engine.cancel(busy.request.id)
    assert other.text == cold(path, "What is a harbour?", system=SYSTEM, max_tokens=24).text


def test_after_a_stop_while_the_prompt_was_read(path: Path):
    with running(path, parallel=1) as engine:
        stopped = ask(engine, LONG, max_tokens=24)
        stopped.reading.wait(60)
        engine.cancel(stopped.request.id)
        assert stopped.stats.finish_reason == "cancelled"
        read = stopped.progress[-1].read
        again = ask(engine, LONG, max_tokens=24).wait()
    assert again.stats.reused_tokens == read, "what was read before the stop was not for nothing"
    assert again.text == cold(path, LONG, max_tokens=24).text


def test_after_a_stop_in_the_middle_of_a_reply(path: Path):
    with running(path, parallel=1) as engine:
        stopped = ask(engine, LONG, max_tokens=300)
        assert stopped.first_token.wait(60)
        engine.cancel(stopped.request.id)
        stopped.wait()
        again = ask(engine, LONG, max_tokens=24).wait()
    assert again.text == cold(path, LONG, max_tokens=24).text


def test_a_reply_that_goes_on_is_the_one_that_was_never_broken_off(path: Path):
    if path.name in ("mamba.gguf", "lfm2.gguf"):
        return  # it writes bytes that are no text, which cannot be given back to it
    with running(path) as engine:
        question = "Tell me about the sea."
        whole = ask(engine, question, max_tokens=40).wait().text
        begun = ask(engine, question, max_tokens=4).wait()
        assert begun.stats.finish_reason == "length"
        rest = ask(engine, question, begun.text, max_tokens=36)
        assert begun.text + rest.wait().text == whole
        assert rest.stats.reused_tokens > rest.stats.prompt_tokens - 4
