from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localchat_ui.markdown import MarkdownStream, code_block, render_markdown
from localchat_ui.markdown import stream as stream_module
from tests.markdown.test_stream import FRAGMENTS, few, tags_of, text_of

FUNCTIONS = "".join(f"def function_{n}(a):\n    total = a + {n}\n\n    return total\n\n\n" for n in range(400))
ENDLESS = "".join(f"    total_{n} = compute(values[{n}])\n" for n in range(2_000))


def test_code_has_its_language_and_a_button_that_copies_it():
    [figure, caption, label, button, *_] = tags_of(render_markdown("```python\nx\n```"))
    assert figure == ("figure", {"class": "code"})
    assert (caption, label) == (("figcaption", {}), ("span", {}))
    assert button == ("button", {"type": "button", "class": "copy-code", "aria-label": "Copy code"})
    assert tags_of(render_markdown('<button class="copy-code">')) == [("p", {})]


@pytest.mark.parametrize("code", [FUNCTIONS, ENDLESS, "x" * 20_000 + "\n", "\n" * 10_000, "short\n", ""])
def test_pieces_are_the_code_and_none_is_long(code: str):
    pieces = code_block.pieces(code)
    assert "".join(pieces) == code
    assert all(piece.endswith("\n") for piece in pieces[:-1])
    assert all(len(piece) <= code_block.HARD_LIMIT or piece.count("\n") <= 1 for piece in pieces)


def test_code_is_cut_where_something_new_begins():
    assert all(piece.startswith("def ") for piece in code_block.pieces(FUNCTIONS))


def test_the_pieces_of_long_code_form_one_figure():
    html = render_markdown(f"a\n\n```python\n{FUNCTIONS}```\n\nb")
    classes = re.findall(r'<figure class="([^"]*)">', html)
    assert len(classes) > 3
    assert classes == ["code cut", *["code more cut"] * (len(classes) - 2), "code more"]
    assert html.count("copy-code") == 1
    assert code_of(html) == FUNCTIONS


@pytest.mark.parametrize(("name", "code"), [("functions", FUNCTIONS), ("endless", ENDLESS)])
def test_growing_code_is_handed_out_in_pieces_and_little_of_it_is_open(name: str, code: str):
    text, stream, finished = f"```python\n{code}```\n\nend\n", MarkdownStream(), ""
    for length in [*range(0, len(text), 1_111), len(text)]:
        new, rest = stream.feed(text[:length])
        finished += "".join(new)
        assert len(text_of(rest)) < 2 * code_block.HARD_LIMIT
    assert finished + rest == render_markdown(text)
    assert code_of(finished) == code


def test_the_rows_of_a_growing_table_are_read_once_and_never_lost(monkeypatch: pytest.MonkeyPatch):
    parsed = []
    parse = stream_module.parse
    monkeypatch.setattr(stream_module, "parse", lambda text, env: parsed.append(len(text)) or parse(text, env))
    head = "Numbers:\n\n| a | b |\n|---|--:|\n"
    text, stream, finished = head + "".join(f"| {n} | `{n}` |\n" for n in range(500)), MarkdownStream(), ""
    for length in [*range(0, len(text), 80), len(text)]:
        new, rest = stream.feed(text[:length])
        finished += "".join(new)
    assert max(parsed) < 2_000 < len(text)
    assert finished + rest == render_markdown(text)
    finished += "".join(stream.feed(text + "\nend\n\n")[0])
    assert finished + "<p>end</p>\n" == render_markdown(text + "\nend\n")


def code_of(html: str) -> str:
    """What the Copy button copies: the text of all pieces."""
    return "".join(text_of(piece) for piece in re.findall("<code>(.*?)</code>", html, re.DOTALL))


LINES = ["a\n", "\n", "  b\n", "cc", "dddddddddd\n", "```\n", "``", "`", "```py\n", "~~~\n", "> ", "- ", "| x | y |\n"]
TABLES = ["| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |\n| 7 | 8 |\n", "| $a$ | [^1] |\n", "|[e]|\n", "\n\n"]


@settings(few, max_examples=500)
@given(st.lists(st.sampled_from([*LINES, *TABLES, *TABLES, *FRAGMENTS]), max_size=25).map("".join), st.data())
def test_tiny_pieces_give_the_same_html_however_the_text_is_cut(text: str, data: st.DataObject):
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=10), label="cuts")
    stream, finished = MarkdownStream(), ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_block, "SOFT_LIMIT", 8)
        patch.setattr(code_block, "HARD_LIMIT", 20)
        patch.setattr(stream_module, "_OPEN_ROWS", 1)
        for length in sorted([*cuts, len(text)]):
            new, rest = stream.feed(text[:length])
            finished += "".join(new)
            assert stream.outdated or finished + rest == render_markdown(text[:length])
