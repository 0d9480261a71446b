"""What holds a reply to a schema: every text it allows obeys; what it cannot do is refused at once with a reason."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import EngineError
from localchat_ui.engine.grammar import Guide, guide_of
from localchat_ui.engine.llama import Model
from localchat_ui.engine.text import Phase, TextStream
from localchat_ui.engine.thinking import KNOWN_MARKS, ThinkingMarks
from tests.engine.random_text import some_text
from tests.engine.schemas import HOSTILE, REFUSED, SCHEMAS, fields
from tests.engine.tiny import write_mamba


@pytest.fixture(scope="module")
def model(smollm: Path) -> Iterator[Model]:
    model = Model(smollm, vocab_only=True)
    yield model
    model.close()


@pytest.mark.parametrize(("kind", "n"), [(kind, n) for kind, each in SCHEMAS.items() for n in range(len(each))])
def test_every_text_it_allows_obeys_the_schema(model: Model, kind: str, n: int):
    schema = SCHEMAS[kind][n]
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    guide_for = {"json_schema": schema}
    ended = 0
    for seed in range(4):
        text = some_text(model, guided(model, **guide_for), seed)
        if text is not None:
            ended += 1
            assert validator.is_valid(json.loads(text)), text
    assert ended


@pytest.mark.parametrize(
    ("schema", "text", "allowed"),
    [
        ({"type": "object", "properties": {"a": {}}}, '{"b', False),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": True}, '{"b', True),
        ({"type": "object", "properties": {"properties": {"const": 1}, "format": {"const": 2}}}, '{"format":2', True),
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}], "type": "object"}, '{"a":1,"b":', True),
        ({"type": "object"}, '{"b', True),
    ],
)  # fmt: skip
def test_properties_that_are_named_are_all_there_are(model: Model, schema: dict[str, Any], text: str, allowed: bool):
    guide = guided(model, json_schema=schema)
    with contextlib.nullcontext() if allowed else pytest.raises(EngineError):
        accept(guide, model.tokenize(text))


def test_json_mode_allows_objects_alone_and_no_endless_white_space(model: Model):
    guide = guided(model, json_schema={"type": "object"})
    assert {model.piece(token).decode()[:1] for token in guide.allowed()} == {"{"}
    for token in model.tokenize("{\n\n  "):
        guide.accept(token)
    for letter in "\n\r":
        with pytest.raises(EngineError):
            guide.accept(model.tokenize(letter)[0])


def accept(guide: Guide, tokens: list[int]) -> None:
    for token in tokens:
        guide.accept(token)


def guided(model: Model, marks: ThinkingMarks | None = None, phase: Phase = Phase.START, **options: Any) -> Guide:
    guide = guide_of(model, RequestOptions(**options), marks, phase)
    assert guide is not None
    return guide


def test_models_that_put_a_space_before_a_text_follow_a_schema(tmp_path: Path):
    model = Model(write_mamba(tmp_path / "tiny.gguf"), vocab_only=True)
    try:
        assert model.tokenize("a") != [model.tokenize("a")[-1]]
        for n in range(3):
            text = some_text(model, guided(model, json_schema=fields(**{'a "name"': {"const": "né\n"}})), n)
            assert json.loads(text or "") == {'a "name"': "né\n"}
    finally:
        model.close()


def test_forced_tokens_are_the_only_ones_allowed(model: Model):
    guide = guided(model, json_schema=fields(the_full_legal_name={"type": "boolean"}))
    accept(guide, model.tokenize('{\n  "'))
    forced = guide.forced()
    assert b"".join(map(model.piece, forced)).decode().startswith("the_full_legal_na")
    for token in forced:
        assert guide.allowed().tolist() == [token]
        guide.accept(token)


# Thinking

ANSWER = '{"a": "b"}'
SCHEMA = fields(a={"type": "string"})
CONTROL = ThinkingMarks("<repo_name>", "<file_sep>")  # tokens of this model that stand for no text


@pytest.mark.parametrize("marks", [*KNOWN_MARKS, CONTROL], ids=lambda marks: marks.begin)
@pytest.mark.parametrize("gap", ["", "\n\n"])
def test_it_binds_behind_the_thinking(model: Model, marks: ThinkingMarks, gap: str):
    thought = 'Well, {"a": 1} or\n<this>'
    behind = f"{thought}{marks.end}{gap}{marks.answer}{ANSWER}{marks.close}"
    for phase, text, thinks in (
        (Phase.START, ANSWER, ""),
        (Phase.START, f"{marks.begin}{behind}", thought),
        (Phase.THINKING, behind, thought),
        (Phase.ANSWER, ANSWER, ""),
    ):
        guide, stream = guided(model, marks, phase, json_schema=SCHEMA), TextStream((), marks, phase)
        thinking = answer = ""
        for token in model.tokenize(text):
            guide.accept(token)
            piece = stream.feed(model.control_text(token).encode())
            thinking, answer = thinking + piece.thinking, answer + piece.text
        assert set(guide.allowed().tolist()) & set(model.ends), text
        rest = stream.finish()
        assert (thinking + rest.thinking, answer + rest.text) == (thinks, ANSWER)


@pytest.mark.parametrize("marks", [*KNOWN_MARKS, CONTROL], ids=lambda marks: marks.begin)
def test_no_other_answer_is_allowed_behind_the_thinking(model: Model, marks: ThinkingMarks):
    for phase, text in (
        (Phase.START, "Sure"),
        (Phase.START, f"{marks.begin}hm{marks.end}Sure"),
        (Phase.THINKING, f"hm{marks.end}{marks.answer}Sure"),
    ):
        guide = guided(model, marks, phase, json_schema=SCHEMA)
        with pytest.raises(EngineError):
            accept(guide, model.tokenize(text))


@pytest.mark.parametrize("phase", [Phase.START, Phase.THINKING])
def test_a_reply_that_thinks_cannot_end_before_its_answer(model: Model, phase: Phase):
    guide = guided(model, ThinkingMarks("<think>", "</think>"), phase, json_schema=SCHEMA)
    for token in model.tokenize("<think>hm"):
        guide.accept(token)
    assert not set(guide.allowed().tolist()) & set(model.ends)


# What cannot be done


@pytest.mark.parametrize(("schema", "reason"), REFUSED, ids=range(len(REFUSED)))
def test_a_schema_that_it_cannot_do_is_refused_with_the_reason(model: Model, schema: dict[str, Any], reason: str):
    with pytest.raises(EngineError, match=f"^The JSON schema cannot be turned into a grammar: .*({reason})") as refused:
        guided(model, json_schema=schema)
    assert len(str(refused.value)) < 400


def test_objects_of_very_many_properties_are_followed_or_refused_in_plain_words(model: Model):
    def answer(n_properties: int) -> Guide:
        guide = guided(model, json_schema={"properties": {f"a{n}": {"type": "null"} for n in range(n_properties)}})
        accept(guide, model.tokenize('{"a7": null}'))
        return guide

    assert set(answer(2000).allowed().tolist()) & set(model.ends)
    with pytest.raises(EngineError, match=r": it is too large\.$"):
        answer(5000)


@pytest.mark.parametrize("options", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_grammars_are_refused_or_followed_quickly(model: Model, options: dict[str, Any]):
    """Some took the engine's thread for seconds or ended the program; this is a bound against hanging, not a speed."""
    guided(model, json_schema={})
    started = time.perf_counter()
    with contextlib.suppress(EngineError):
        some_text(model, guided(model, **options), seed=1)
    assert time.perf_counter() - started < 20


def test_nothing_binds_a_reply_without_a_grammar(model: Model):
    assert guide_of(model, RequestOptions(), None, Phase.START) is None
