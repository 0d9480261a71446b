from __future__ import annotations

import pytest
from pydantic import ValidationError

from localchat_ui.conversation import (
    TITLE_LENGTH,
    ChatOptions,
    GenerationStats,
    SamplingOptions,
    fork_title,
    new_id,
    title_of,
    utc_now,
)


def test_title_is_the_first_line_that_says_something():
    assert title_of("\n  \n  Hello there \nsecond line") == "Hello there"


def test_nothing_but_white_space_has_no_title():
    assert title_of(" \n\t\n") == ""


def test_a_line_that_just_fits_is_not_cut():
    assert title_of("x" * TITLE_LENGTH) == "x" * TITLE_LENGTH


@pytest.mark.parametrize("text", ["word " * 40, "x" * 81, "ab " + "y" * 200, "long, " * 30])
def test_a_long_line_is_cut_at_a_word_where_there_is_one(text: str):
    title = title_of(text)
    assert len(title) <= TITLE_LENGTH
    assert title.endswith("…")
    beginning = title[:-1]
    assert text.startswith(beginning)
    assert not beginning.endswith(" ")
    assert " " not in text[:TITLE_LENGTH] or text[len(beginning)] == " "


@pytest.mark.parametrize(
    ("field", "lowest", "highest"),
    [
        ("temperature", 0, 2),
        ("top_p", 0.01, 1),
        ("top_k", 0, 200),
        ("min_p", 0, 1),
        ("repeat_penalty", 0.5, 2),
        ("max_tokens", 1, 32768),
        ("seed", 0, 2**32 - 2),
    ],
)
def test_options_hold_their_bounds(field: str, lowest: float, highest: float):
    for value in (lowest, highest):
        assert getattr(SamplingOptions.model_validate({field: value}), field) == value
    for value in (lowest - 1, highest + 1, "many"):
        with pytest.raises(ValidationError):
            SamplingOptions.model_validate({field: value})


def test_options_cannot_be_changed_behind_anybodys_back():
    with pytest.raises(ValidationError):
        ChatOptions().temperature = 1.0


def test_a_misspelt_option_is_refused():
    with pytest.raises(ValidationError):
        ChatOptions.model_validate({"temprature": 1})


def test_ids_are_unique_and_safe_in_a_url():
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(id_.replace("-", "").replace("_", "").isalnum() for id_ in ids)


def test_moments_know_their_time_zone():
    assert utc_now().tzinfo is not None


def test_a_receipt_holds_sampling_and_no_system_prompt():
    stats = GenerationStats(sampling=ChatOptions(top_k=3, system_prompt="secret"))
    assert stats.sampling == SamplingOptions(top_k=3)
    assert GenerationStats.model_validate(stats.model_dump(mode="json")) == stats


@pytest.mark.parametrize(("title", "fork"), [("", ""), ("Rome", "Rome (2)"), ("Rome (2)", "Rome (3)")])
def test_a_fork_says_so_once(title: str, fork: str):
    assert fork_title(title) == fork


def test_the_title_of_a_fork_is_not_longer_than_another():
    assert len(fork_title("x" * TITLE_LENGTH)) == TITLE_LENGTH
