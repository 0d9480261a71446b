"""Thinking that takes too long is closed for the model, and the reply goes on behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from localchat_ui.conversation import RequestOptions, Role
from localchat_ui.engine.base import GenerationRequest, Turn
from localchat_ui.engine.llama import Model
from localchat_ui.engine.loader import LoadOptions
from localchat_ui.engine.text import Phase, TextStream
from localchat_ui.engine.thinking import KNOWN_MARKS, ThinkingMarks
from localchat_ui.engine.thinking_budget import ThinkingBudget
from localchat_ui.engine.worker import LlamaEngine
from tests.engine.harness import Collected, ask
from tests.engine.templated import THINKER, templated

SCHEMA = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}


@pytest.fixture(scope="module")
def thinker(smollm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    engine = LlamaEngine(LoadOptions(n_ctx=1024, parallel=2))
    engine.load(templated(smollm, tmp_path_factory.mktemp("thinker"), THINKER), lambda share: None)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def model(smollm: Path) -> Iterator[Model]:
    model = Model(smollm, vocab_only=True)
    yield model
    model.close()


@pytest.mark.parametrize("budget", [0, 1, 7, 20])
def test_an_answer_follows_when_the_budget_is_used_up(thinker: LlamaEngine, budget: int):
    reply = ask(thinker, "Why is the sky blue?", thinking_budget=budget, max_tokens=60).wait()
    assert reply.stats.thinking_tokens == budget
    assert len(reply.thinking) < 10 * budget + 1
    assert reply.text.strip()
    assert "think>" not in reply.thinking


def test_thinking_without_a_budget_goes_on(thinker: LlamaEngine):
    reply = ask(thinker, "Why is the sky blue?", max_tokens=40).wait()
    assert (reply.text, reply.stats.thinking_tokens) == ("", 40)


@pytest.mark.parametrize("again", ["</think>", "\n\n</think>\n\n"])
def test_a_mark_that_the_model_writes_once_more_is_no_part_of_the_answer(again: str):
    stream = TextStream(marks=ThinkingMarks("<think>", "</think>"), phase=Phase.THINKING)
    pieces = [stream.feed(letter.encode()) for letter in f"Hm.\n</think>\n\n{again}Yes."]
    pieces.append(stream.finish())
    assert "".join(piece.thinking for piece in pieces).strip() == "Hm."
    assert "".join(piece.text for piece in pieces) == "Yes."


def test_a_schema_binds_behind_thinking_that_was_ended(thinker: LlamaEngine):
    reply = ask(thinker, "Is the sky blue?", thinking_budget=9, json_schema=SCHEMA, max_tokens=60).wait()
    assert reply.stats.thinking_tokens == 9
    assert json.loads(reply.text)["a"] in (True, False)


def test_a_grammar_that_writes_the_marks_itself_is_never_broken(thinker: LlamaEngine):
    grammar = 'root ::= [a-z ]{60} "</think>" "Yes"'
    reply = ask(thinker, "Is the sky blue?", thinking_budget=3, grammar=grammar, max_tokens=120).wait()
    assert reply.text == "Yes"


def test_a_reply_that_goes_on_has_used_part_of_its_budget(thinker: LlamaEngine):
    request = GenerationRequest(
        [Turn(Role.USER, "Why?"), Turn(Role.ASSISTANT, "", "Well, because it is so, and was so before.")],
        RequestOptions(temperature=0, max_tokens=30, thinking_budget=3),
    )
    collected = Collected(request)
    thinker.submit(request, collected.emit)
    assert collected.wait().thinking.strip() == ""
    assert collected.text.strip()


def test_a_running_reply_gets_another_budget(thinker: LlamaEngine):
    reply = ask(thinker, "Tell me about the sea.", max_tokens=300)
    assert reply.first_token.wait(30)
    thinker.change(reply.request.id, RequestOptions(temperature=0, max_tokens=300, thinking_budget=0))
    assert reply.wait().text.strip()


@pytest.mark.parametrize("marks", KNOWN_MARKS, ids=lambda marks: marks.begin)
@pytest.mark.parametrize("may_call", [False, True])
def test_every_family_gets_to_its_answer(model: Model, marks: ThinkingMarks, may_call: bool):
    """However often the model begins to think again."""
    stream, budget = TextStream(marks=marks), ThinkingBudget(marks, may_call=may_call)
    answer = written = ""
    wants = model.tokenize(marks.begin + "Hm, let me see: a, b, c.")
    for _ in range(200):
        if stream.phase is Phase.ANSWER and not wants:
            break
        forced = budget.next(model, stream, 4)
        if forced is None:
            wants = wants or model.tokenize(f"{marks.begin}And again." if marks.answer else "Yes")
        token = wants.pop(0) if forced is None else forced
        wants = [] if forced is not None else wants
        before = stream.phase
        answer += stream.feed(model.control_text(token).encode()).text
        written += model.control_text(token)
        budget.took(token, before, stream.phase)
    assert stream.phase is Phase.ANSWER, written
    assert answer + stream.finish().text == ("" if marks.answer else "Yes")


def test_a_character_is_finished_first(model: Model):
    marks = ThinkingMarks("<think>", "</think>")
    stream, budget = TextStream(marks=marks, phase=Phase.THINKING), ThinkingBudget(marks)
    pieces = "🦙".encode()
    for byte in pieces[:-1]:
        assert budget.next(model, stream, 1) is None
        budget.took(0, stream.phase, Phase.THINKING)
        stream.feed(bytes([byte]))
    stream.feed(pieces[-1:])
    assert budget.next(model, stream, 1) is not None
