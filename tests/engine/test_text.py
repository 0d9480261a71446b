from __future__ import annotations

import pytest

from localchat_ui.engine.text import Phase, TextStream
from localchat_ui.engine.thinking import KNOWN_MARKS, ThinkingMarks, marks_in

THINK = ThinkingMarks("<think>", "</think>")


def write(stream: TextStream, *pieces: bytes) -> list[str]:
    """The answer, piece by piece."""
    return [stream.feed(piece).text for piece in pieces]


def split(stream: TextStream, text: str, size: int) -> tuple[str, str]:
    """Thinking and answer of a text that arrives in pieces of so many bytes."""
    data = text.encode()
    pieces = [stream.feed(data[start : start + size]) for start in range(0, len(data), size)]
    pieces.append(stream.finish())
    return "".join(piece.thinking for piece in pieces), "".join(piece.text for piece in pieces)


def test_characters_are_whole_at_every_step():
    stream = TextStream()
    family = "👩‍👩‍👧".encode()
    shown = write(stream, *(family[i : i + 1] for i in range(len(family))))
    assert "".join(shown) == "👩‍👩‍👧"
    assert all("\ufffd" not in text for text in shown)


def test_half_a_character_at_the_end_of_a_stopped_reply_is_left_out():
    stream = TextStream()
    assert write(stream, b"caf", "é".encode()[:1]) == ["caf", ""]
    assert stream.finish().text == ""


def test_stop_string_never_leaks_a_part_of_itself():
    stream = TextStream(["\nUser:"])
    assert write(stream, b"Paris.", b"\nU", b"ser", b": and", b" more") == ["Paris.", "", "", "", ""]
    assert stream.stopped
    assert stream.finish().text == ""


def test_what_only_looked_like_a_stop_string_is_shown():
    stream = TextStream(["\nUser:"])
    assert "".join(write(stream, b"one\n", b"Us", b"e it")) == "one\nUse it"
    assert not stream.stopped


def test_beginning_of_a_stop_string_is_shown_when_the_reply_ends_there():
    stream = TextStream(["\nUser:"])
    assert write(stream, b"one\nUs") == ["one"]
    assert stream.finish().text == "\nUs"


def test_the_earliest_of_several_stop_strings_wins():
    stream = TextStream(["b", "ab"])
    assert write(stream, b"xxab") == ["xx"]
    assert stream.stop_string == "ab"


def test_leading_white_space_is_dropped_once():
    stream = TextStream()
    assert write(stream, b" ", b"\n Paris", b" is") == ["", "Paris", " is"]


# Thinking


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("written", "thinking", "answer"),
    [
        ("<think>\nHm, é 🦙.\n</think>\n\nYes.", "Hm, é 🦙.\n", "Yes."),
        ("\n<think></think>Yes.", "", "Yes."),
        ("Yes, <think> is a mark.</think>", "", "Yes, <think> is a mark.</think>"),
        ("<b>Yes</b>", "", "<b>Yes</b>"),
        ("<thin", "", "<thin"),
        ("<think>Hm</thi", "Hm</thi", ""),
        ("<think>Hm </think> <think>a</think>", "Hm ", "<think>a</think>"),
    ],
)
def test_thinking_is_kept_apart_however_it_arrives(written: str, thinking: str, answer: str, size: int):
    assert split(TextStream((), THINK), written, size) == (thinking, answer)


@pytest.mark.parametrize("marks", KNOWN_MARKS)
def test_each_known_pair_of_marks_is_found_in_a_template_and_taken_out_of_replies(marks: ThinkingMarks):
    found = marks_in("{% if x %}" + marks.begin + "{% else %}" + marks.answer + "{% endif %}")
    assert found == marks
    assert split(TextStream((), found), f"{marks.begin}Hm.{marks.end}{marks.answer}Yes.", 3) == ("Hm.", "Yes.")


def test_a_template_without_marks_has_models_that_do_not_think():
    assert marks_in("{{ messages[0].content }}") is None
    assert marks_in(None) is None
    assert split(TextStream(), "<think>Hm</think>Yes", 3) == ("", "<think>Hm</think>Yes")


@pytest.mark.parametrize("size", [1, 3, 99])
@pytest.mark.parametrize(
    ("written", "thinking", "answer"),
    [
        ("</think>\n\nYes.", "", "Yes."),
        ("<think>\n</think>\nYes </think>.", "", "Yes </think>."),
        ("</thin air", "", "</thin air"),
    ],
)
def test_an_end_without_its_beginning_is_no_part_of_the_answer(written: str, thinking: str, answer: str, size: int):
    assert split(TextStream((), THINK), written, size) == (thinking, answer)


@pytest.mark.parametrize("size", [1, 3, 99])
@pytest.mark.parametrize(
    ("written", "thinking"),
    [
        ("<think>Hm.</think><response>Yes.</response>", "Hm."),
        ("<think>Hm.</think>\n\nYes.", "Hm."),
        ("<response>Yes.</response>", ""),
        ("Yes.", ""),
    ],
)
def test_an_answer_may_stand_between_marks_of_its_own(written: str, thinking: str, size: int):
    marks = marks_in("{{ '<think></think><response></response>' }}")
    assert split(TextStream((), marks), written, size) == (thinking, "Yes.")


def test_a_prompt_may_have_opened_the_marks():
    assert split(TextStream((), THINK, Phase.THINKING), "Hm.</think>\nYes.", 2) == ("Hm.", "Yes.")


def test_stop_strings_end_answers_not_thinking():
    stream = TextStream(["."], THINK)
    assert split(stream, "<think>Hm. Well.</think>Yes. No.", 3) == ("Hm. Well.", "Yes")
    assert stream.stopped


def test_what_goes_on_keeps_its_white_space_and_opens_no_marks():
    assert split(TextStream((), THINK, Phase.ANSWER, continued=True), " <think> on", 1) == ("", " <think> on")
    assert split(TextStream((), THINK, Phase.THINKING, continued=True), " hm</think> on", 1) == (" hm", "on")


# Channels: each message of the model names one

HARMONY, SOLAR = KNOWN_MARKS[:2]


@pytest.mark.parametrize("size", [1, 4, 9, 200])
@pytest.mark.parametrize(
    ("written", "thinking", "answer"),
    [
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
            "Hm.",
            "Yes.",
        ),
        ("<|channel|>final<|message|>Yes.", "", "Yes."),
        (
            "<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>analysis<|message|> Two."
            "<|end|><|start|>assistant<|channel|>final<|message|>Yes <|channel|>.",
            "One.Two.",
            "Yes <|channel|>.",
        ),
        (
            "<|channel|>commentary<|message|>I look it up.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
            "I look it up.",
            "Yes.",
        ),
        ("<|channel|>analysis<|message|>Hm.<|en", "Hm.<|en", ""),
        ("Yes.", "", "Yes."),
    ],
)
def test_channels_are_told_apart(written: str, thinking: str, answer: str, size: int):
    assert split(TextStream((), HARMONY), written, size) == (thinking, answer)


def test_stop_strings_do_not_end_thinking_in_a_channel():
    stream = TextStream(["."], SOLAR)
    assert split(stream, "<|think|>Hm.<|end|><|begin|>assistant<|content|>Yes. No.", 3) == ("Hm.", "Yes")


# What the families' templates say, in short, and what their models write.
@pytest.mark.parametrize(
    ("template", "written"),
    [
        ("{%- if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}", "<think>\nHm.\n</think>\n\nYes."),
        ("{% if content %}{{ content.split('</think>')[-1] }}{% endif %}", "<think>Hm.\n</think>Yes."),
        ("{{ '<|channel>thought\\n' + thinking + '<channel|>' }}", "<|channel>thought\nHm.\n<channel|>Yes."),
        ("{%- set begin = '[THINK]' %}", "[THINK]Hm.\n[/THINK]Yes."),
        ("{%- set think_begin_token = '<seed:think>' %}", "<seed:think>Hm.\n</seed:think>Yes."),
        ("{%- set think_begin_token = '<mm:think>' %}", "<mm:think>Hm.\n</mm:think>Yes."),
        ("{%- set inner_token = '<|inner_prefix|>' -%}", "<|inner_prefix|>Hm.\n<|inner_suffix|>Yes."),
        ("<|CHATBOT_TOKEN|><|START_THINKING|>", "<|START_THINKING|>Hm.\n<|END_THINKING|>Yes."),
        (
            "<|channel|>analysis<|message|>{{ thinking }}<|end|><|start|>assistant<|channel|>final<|message|>",
            "<|channel|>analysis<|message|>Hm.\n<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
        ),
        (
            "<|begin|>assistant<|think|>{{ reasoning }}<|end|><|begin|>assistant<|content|>",
            "<|think|>Hm.\n<|end|><|begin|>assistant<|content|>Yes.",
        ),
    ],
)
def test_every_family_thinks_apart_from_its_answer(template: str, written: str):
    assert split(TextStream((), marks_in(template)), written, 2) == ("Hm.\n", "Yes.")
