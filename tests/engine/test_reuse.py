"""Nothing is read twice, and what is written is what it would be if everything were: on real models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import GenerationFailed, GenerationRequest
from localchat_ui.engine.context import Context
from localchat_ui.engine.generation import Generation
from localchat_ui.engine.llama import Model
from localchat_ui.engine.prompt import plain_prompt
from localchat_ui.engine.scheduler import NO_ROOM, Scheduler
from localchat_ui.engine.threads import ThreadTuner
from localchat_ui.engine.worker import LlamaEngine
from tests.engine.harness import Collected, ask
from tests.engine.tiny import write_mamba

pytestmark = pytest.mark.usefixtures("any_pace")

SYSTEM = "You answer in one short sentence, as an old sailor would."
LONG = "Read this: " + ", ".join(f"ship {n} has {n * n} sails" for n in range(60)) + ". How many ships are there?"


@pytest.fixture(scope="session")
def mamba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mamba(tmp_path_factory.mktemp("tiny") / "mamba.gguf")


@pytest.fixture(params=["smollm", "gemma", "mamba"])
def path(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@contextmanager
def running(path: Path, *, n_ctx: int = 4096, parallel: int = 2) -> Iterator[LlamaEngine]:
    engine = LlamaEngine(n_ctx=n_ctx, parallel=parallel, n_threads=1)
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


def begins_like(reply: Collected, other: Collected) -> bool:
    ids = [token.id for token in other.tokens]
    return len(ids) > 3 and [token.id for token in reply.tokens][: len(ids)] == ids


def reuses(path: Path) -> bool:
    return path.name != "mamba.gguf"


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
    if reuses(path):
        assert all(reply.stats.reused_tokens > 10 for reply in warm[1:])
    for talk, reply in zip(talks, warm, strict=True):
        assert reply.text == cold(path, *talk, system=SYSTEM, max_tokens=24).text


def test_a_state_that_cannot_be_cut_is_used_whole(mamba: Path):
    """A reply that goes on begins with all that the sequence holds; another answer to the same question does not."""
    with running(mamba, parallel=1) as engine:
        first = ask(engine, "Ahoy", max_tokens=20).wait()
        [resident] = engine._residents.all()
        assert not resident.context.can_cut, "llama.cpp said so"
        held = len(resident.scheduler._pool._sequences[0].tokens)
        tokens = [*resident.scheduler._pool._sequences[0].tokens, first.tokens[-1].id]
        further = Collected(GenerationRequest((), RequestOptions(temperature=0, max_tokens=5), prompt=tokens))
        engine.submit(further.request, further.emit)
        assert further.stats.reused_tokens == held
        assert ask(engine, "Ahoy", max_tokens=20).stats.reused_tokens == 0


def test_the_same_question_again(path: Path):
    with running(path) as engine:
        first, again = (ask(engine, LONG, max_tokens=24).wait() for _ in range(2))
    if reuses(path):
        assert again.stats.reused_tokens == again.stats.prompt_tokens - 1
    assert first.text == again.text == cold(path, LONG, max_tokens=24).text


def test_a_beginning_that_is_being_used_is_copied(path: Path):
    # A grammar keeps it from ending by itself.
    options: dict[str, Any] = {"system": SYSTEM, "grammar": "root ::= [a-z ]{400}"}
    with running(path) as engine:
        busy = ask(engine, "Tell me a very long story.", max_tokens=400, **options)
        assert busy.first_token.wait(60)
        other = ask(engine, "What is a harbour?", system=SYSTEM, max_tokens=24).wait()
        assert not busy.ended.is_set()
        if reuses(path):
            assert other.stats.reused_tokens > 10
        engine.cancel(busy.request.id)
    # Beside another reply sums are rounded in another way: sooner or later two tokens are all but equally likely.
    assert begins_like(other, cold(path, "What is a harbour?", system=SYSTEM, max_tokens=8))


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
    if not reuses(path):
        pytest.skip("it writes bytes that are no text, which cannot be given back to it")
    with running(path) as engine:
        question = "Tell me about the sea."
        whole = ask(engine, question, max_tokens=40).wait().text
        begun = ask(engine, question, max_tokens=15).wait().text
        rest = ask(engine, question, begun, max_tokens=25)
        assert begun + rest.wait().text == whole
        assert rest.stats.reused_tokens > rest.stats.prompt_tokens - 4


# A cache that is really full


@pytest.fixture
def model(smollm: Path) -> Iterator[Model]:
    model = Model(smollm)
    yield model
    model.close()


class House:
    """A scheduler that was promised more cells than its context has."""

    def __init__(self, model: Model, *, n_cells: int) -> None:
        self.model = model
        self.context = Context(model, n_cells=n_cells, n_sequences=3, n_batch=512)
        self.scheduler = Scheduler(model, self.context, ThreadTuner(1), n_ctx=400, n_sequences=3)

    def ask(self, text: str, max_tokens: int) -> Collected:
        request = GenerationRequest((), RequestOptions(temperature=0, max_tokens=max_tokens))
        collected = Collected(request)
        prompt = plain_prompt(self.model, text, n_ctx=400)
        self.scheduler.add(Generation(request, prompt, collected.emit, request.sampling))
        return collected

    def run(self) -> None:
        while self.scheduler.busy:
            self.scheduler.step()


@pytest.fixture
def house(model: Model) -> Iterator[House]:
    house = House(model, n_cells=512)
    yield house
    house.scheduler.fail_all("the end")
    house.context.close()


def alone(model: Model, text: str, max_tokens: int) -> Collected:
    house = House(model, n_cells=2048)
    reply = house.ask(text, max_tokens)
    house.run()
    house.context.close()
    return reply


def test_a_full_cache_first_loses_what_was_used_least_recently(house: House, model: Model):
    texts = [f"{n} ships sailed out to sea. " * 25 for n in (11, 12, 13)]
    for text in texts[:2]:
        house.ask(text, 4)
        house.run()
    last = house.ask(texts[2], 4)
    house.run()
    assert last.text == alone(model, texts[2], 4).text
    kept = house.ask(texts[1], 4)
    house.run()
    assert kept.stats.reused_tokens > 100, "only the oldest had to leave"
    assert kept.text == alone(model, texts[1], 4).text


def test_a_full_cache_ends_the_youngest_and_the_others_go_on(house: House, model: Model):
    texts = [f"{n} ships sailed out to sea. " * 16 for n in (11, 12, 13)]
    replies = [house.ask(text, 100) for text in texts]
    house.run()
    assert replies[2].events[-1] == GenerationFailed(NO_ROOM)
    assert [reply.stats.reply_tokens for reply in replies[:2]] == [100, 100]
    for text, reply in zip(texts[:2], replies[:2], strict=True):
        assert begins_like(reply, alone(model, text, 10))
    afterwards = house.ask(texts[2], 10)
    house.run()
    assert afterwards.text == alone(model, texts[2], 10).text
