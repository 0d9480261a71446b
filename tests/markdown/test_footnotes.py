from __future__ import annotations

import pytest

from localchat_ui.markdown import MarkdownStream, render_markdown
from tests.markdown.test_stream import tags_of, text_of

DEFINED_LAST = "One[^a] two[^b] one again[^a].\n\n# More\n\n[^b]: second *note*\n[^a]: first\n\n    with a paragraph\n"


def test_notes_stand_at_the_end_in_the_order_of_their_numbers():
    html = render_markdown(DEFINED_LAST + "\nThe end.")
    text, _, notes = html.partition('<ol class="footnotes" aria-label="Footnotes">')
    assert text.startswith(
        '<p>One<sup class="footnote">1</sup> two<sup class="footnote">2</sup> one again<sup class="footnote">1</sup>.'
    )
    assert text.endswith("<p>The end.</p>\n")
    assert notes == (
        "\n<li><p>first</p>\n<p>with a paragraph</p>\n</li>\n<li><p>second <em>note</em></p>\n</li>\n</ol>\n"
    )


def test_footnotes_have_no_names_that_another_message_could_have_too():
    attributes = {name for _, found in tags_of(render_markdown(DEFINED_LAST)) for name in found}
    assert attributes == {"class", "aria-label"}


@pytest.mark.parametrize("text", ["The class [^a-z] and x[^2].", "[^1]: never named", "a [^ b] c"])
def test_what_is_not_both_named_and_defined_is_no_footnote(text: str):
    html = render_markdown(text)
    assert "footnote" not in html
    assert text_of(html).strip() in (text, "")


def test_the_first_definition_counts():
    assert "<p>first</p>" in render_markdown("x[^1]\n\n[^1]: first\n[^1]: second[^1]\n")
    assert text_of(render_markdown("x[^1]\n\n[^1]: first\n[^1]: second[^1]\n")).split() == ["x1", "first"]


def test_notes_in_lists_and_quotes_are_found():
    html = render_markdown("- a[^1]\n\n  [^1]: in the list\n\n> [^2]: quoted\n\nb[^2]")
    assert text_of(html.partition("<ol")[2]).split() == [
        'class="footnotes"',
        'aria-label="Footnotes">',
        "in",
        "the",
        "list",
        "quoted",
    ]


def test_a_stream_knows_that_a_note_came_too_late_for_its_blocks():
    stream = MarkdownStream()
    finished, _ = stream.feed("See[^1].\n\nMore.\n")
    assert "".join(finished) == "<p>See[^1].</p>\n"
    assert not stream.outdated
    stream.feed("See[^1].\n\nMore.\n\n[^1]: why\n")
    assert stream.outdated
    stream.feed("See[^1].\n\nMore.\n\n[^1]: why\n\nMuch later.\n\nEnd.")
    assert stream.outdated


def test_a_stream_knows_that_a_link_was_defined_too_late_for_its_blocks():
    text = "See [the Docs].\n\nMore [other].\n\n[the docs]: https://e.org/docs\n\n[never]: https://e.org\n"
    stream = MarkdownStream()
    for length in range(len(text) + 1):
        finished, _ = stream.feed(text[:length])
        assert "<a" not in "".join(finished)
    assert stream.outdated
    assert 'href="https://e.org/docs"' in render_markdown(text)


def test_half_a_definition_changes_no_finished_block():
    text = "See [docs].\n\n# Head\n\n[docs]: https://e"
    stream = MarkdownStream()
    finished, _ = stream.feed(text)
    assert finished == ["<p>See [docs].</p>\n"]
    finished, _ = stream.feed(text + ".org/whole\n\nend\n")
    assert finished == ["<h1>Head</h1>\n"]
    assert stream.outdated


@pytest.mark.parametrize(
    "place", ["[x][docs]", "[docs][]", "![docs]", "> a [do\n> cs] b", "- [docs]", "|[docs]|\n|-|", "a[^docs]"]
)
def test_wherever_a_late_name_stands_it_is_noticed(place: str):
    text = f"{place}\n\n# Head\n\nText.\n"
    definitions = "\n[docs]: https://e.org\n\n[do cs]: https://e.org\n\n[^docs]: x\n\nend"
    stream, html = MarkdownStream(), ""
    for part in (text, text + definitions):
        finished, rest = stream.feed(part)
        html += "".join(finished)
    assert html + rest != render_markdown(text + definitions)
    assert stream.outdated


def test_a_definition_nobody_named_before_leaves_the_blocks_as_they_are():
    stream = MarkdownStream()
    stream.feed("Plain [x] text.\n\n# Head\n\nMore.\n")
    stream.feed("Plain [x] text.\n\n# Head\n\nMore.\n\n[docs]: https://e.org\n\n[^1]: n\n\n[docs] [^1]\n\nend")
    assert not stream.outdated
