"""What must not reach llama.cpp, and what does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import EngineError
from localchat_ui.engine.grammar import with_grammar
from localchat_ui.engine.llama import Model
from localchat_ui.engine.sampler import Sampler


@pytest.fixture(scope="module")
def model(smollm: Path) -> Iterator[Model]:
    model = Model(smollm, vocab_only=True)
    yield model
    model.close()


def nested(n: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "integer"}
    for _ in range(n):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


# Each of these ended the whole program when it was taken as it is.
@pytest.mark.parametrize(
    "options",
    [
        {"grammar": "root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000},
        {"json_schema": {"type": "string", "maxLength": 20_000}},
        {"json_schema": {"type": "object", "properties": {"text": {"type": "string", "maxLength": 10**9}}}},
        {"json_schema": {"type": "array", "items": [{"type": "string", "pattern": "^a{3,100000000}$"}]}},
        {"json_schema": {"type": "string", "pattern": "^" + "(" * 600 + "a" + ")" * 600 + "$"}},
        {"json_schema": nested(2000)},
    ],
    ids=range(6),
)
def test_what_would_end_the_program_is_refused(options: dict[str, object]):
    with pytest.raises(EngineError, match="grammar"):
        with_grammar(RequestOptions.model_construct(**options))


def test_a_limit_that_is_too_high_is_named():
    with pytest.raises(EngineError, match=r"counts to 5,000, and 2,000 is the most"):
        with_grammar(RequestOptions(json_schema={"type": "string", "maxLength": 5000}))


@pytest.mark.parametrize("longest", [1, 2, 40, 1000, 2000])
@pytest.mark.parametrize("shortest", [0, 1])
def test_long_strings_are_counted_instead_of_nested(model: Model, longest: int, shortest: int):
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": shortest, "maxLength": longest}}}
    options = with_grammar(RequestOptions(json_schema=schema))
    assert options.json_schema is None
    assert options.grammar is not None
    assert options.grammar.count("(char") == 0 or longest == 1
    assert f"char{{0,{longest - shortest}}}" in options.grammar or longest - shortest < 2
    Sampler(model, options, []).close()


def test_options_without_a_schema_stay_what_they_are():
    options = RequestOptions(grammar='root ::= "a" | "(b)"')
    assert with_grammar(options) is options
