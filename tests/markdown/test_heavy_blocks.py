from __future__ import annotations

import random

import pytest

from localchat_ui.markdown import MarkdownStream, render_markdown
from localchat_ui.markdown.heavy_blocks import MAX_WEIGHT, weight
from tests.markdown.test_stream import assert_harmless, tags_of, text_of

PROSE = "**One** of many things that a model says in a list, with `code` and _stress_, in a line of its own"
LONG = 100_000


def reading_steps(text: str, step: int) -> tuple[MarkdownStream, str]:
    stream, finished, rest = MarkdownStream(), "", ""
    for length in [*range(0, len(text), step), len(text)]:
        new, rest = stream.feed(text[:length])
        finished += "".join(new)
    return stream, finished + rest


@pytest.mark.parametrize(
    "piece", ["[", "![", "(", "[a](", "*_", "` ", "<", ">", "- ", "- x\n", "1. x\n", "$", "\\(", "|"]
)
def test_a_hundred_thousand_characters_of_one_block_are_shown_as_they_were_written(piece: str):
    text = piece * (LONG // len(piece))
    html = render_markdown(text)
    assert {tag for tag, _ in tags_of(html)} == {"pre"}
    assert text_of(html).strip() == text.strip()


def test_a_list_three_hundred_lines_long_is_a_list():
    html = render_markdown(f"- {PROSE}\n" * 300)
    assert html.count("<li>") == 300
    assert "<pre>" not in html


def test_only_what_is_heavy_is_left_as_it_was_written():
    html = render_markdown("# Before\nit\n" + "- x\n" * 20_000 + "\n**After** it\n\n- a\n")
    assert [tag for tag, _ in tags_of(html)] == ["h1", "p", "pre", "p", "strong", "ul", "li"]


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"{n}. {PROSE}\n\n" for n in range(2_000)),
        "Some words. **Bold ones.**\n\n" * 4_000,
        "# A heading\n- a\n- b\n" * 4_000,
        "> quoted\n\n" * 8_000,
    ],
)
def test_many_blocks_are_no_heavy_one(text: str):
    assert weight(text) > MAX_WEIGHT
    html = render_markdown(text)
    assert ("<pre>" in html) == text.startswith("0.")  # one list is one block


def test_a_folded_part_is_one_block_however_many_are_inside_of_it():
    long = "<details>\n<summary>A</summary>\n\n" + "Some **words**.\n\n" * 4_000 + "</details>\n\n**After** it"
    assert [tag for tag, _ in tags_of(render_markdown(long))] == ["pre", "p", "strong"]
    many = "<details>\n<summary>A</summary>\n\nb\n</details>\n\n" * 1_000
    assert render_markdown(many).count("<details>") == 1_000


def test_a_list_inside_of_code_is_code():
    code = "- x\n\n# y\n[[[[" * 10_000
    html = render_markdown(f"```\n{code}\n```\n\nAfter it.")
    assert "<figure" in html
    assert html.endswith("<p>After it.</p>\n")


def test_a_long_table_is_a_table_and_a_very_wide_one_is_not():
    assert render_markdown("| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 5_000).count("<tr>") == 5_001
    assert render_markdown("words\n| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 5_000).count("<tr>") == 5_001
    wide = f"{'|a' * 100}|\n{'|-' * 100}|\n" + "|\n" * 1_000
    assert "<table>" not in render_markdown(wide)


def test_a_heavy_block_that_grows_ends_where_the_next_one_begins():
    text = "Before\n\n" + "- x\n" * 5_000 + "\nAfter\n\nEnd"
    stream, html = reading_steps(text, 997)
    assert stream.outdated
    assert html == render_markdown(text)


def test_no_mixture_is_too_heavy_and_nothing_of_it_is_lost():
    choose = random.Random(1)
    for _ in range(20):
        pieces = choose.choices(
            ["[", "- x\n", "\n\nwords\n", "# h\n", "```\n", "|a|b|\n|-|-|\n", "> q\n", "\n"], k=4_000
        )
        html = render_markdown("".join(pieces))
        assert_harmless(html)
        assert text_of(html).count("h") >= pieces.count("# h\n")
