from __future__ import annotations

import re
import time
from collections.abc import Sequence
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localchat_ui.ui.markdown import MarkdownStream, render_markdown

REPLY = """\
# A plan

First **bold**, _italic_, ~~gone~~ and `code`.
Still the same paragraph.

1. one
2. two

   with a paragraph of its own

   - nested
     - deeper

| name | value |
|------|------:|
| a    | 1     |

```python
def greet(name: str) -> None:

    print(f"Hello {name}")
```

> quoted
> on

- [ ] open
- [x] done

See [the page](https://example.org/a?b=1&c=2) or ![a picture](https://example.org/p.png).

Setext
======

The end.
"""

# Words of Markdown, mixed at will. No reference definitions: what comes later cannot change a finished block.
FRAGMENTS = [
    *("# ", "## ", "- ", "* ", "+ ", "1. ", "2) ", "10. ", "> ", "- [ ] ", "- [x] ", "---\n", "===\n"),
    *("```", "```python\n", "~~~\n", "    ", "  ", "\t", "\n", "\n\n", "\r\n", "\r", " ", "word", "def f():\n"),
    *("*", "**", "_", "`", "~~", "\\", "[", "](", "![", "[a](https://e.org)", "![i](x.png)", "<https://e.org>"),
    *("| a | b |\n", "|---|:-:|\n", "| 1 | 2 |\n", "<b>", "<!-- ", "-->", "&amp;", "é🦙", "\0", "\u2028", "\f"),
]
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join)
few = settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


def test_a_reply_that_arrives_letter_by_letter_looks_like_the_whole_reply_at_every_moment():
    stream, finished = MarkdownStream(), ""
    for length in range(len(REPLY) + 1):
        new, rest = stream.feed(REPLY[:length])
        finished += "".join(new)
        assert finished + rest == render_markdown(REPLY[:length])
    assert "<h1>Setext</h1>" in finished


@pytest.mark.parametrize(
    "text",
    [
        "1. one\n\n2. two\n10. ten\n",
        "- a\n\n- b\n\n  c\n\nd",
        "> a\n\n> b\nc\n\nd",
        "a\n\n    code\n\n    more\n\nb",
        "a\nb\n===\n\nc\n---\n",
        "| a |\n|---|\n| 1 |\n\n| no table |\n",
        "```\n\n```\n```\n\n\n```\n~~~ x\n```",
        "a\r\n\r\nb\r\n- c\r\n",
        "# a\n\rb\n\nc",
        "[docs]: https://example.org/docs\n\nSee [docs].\n",
    ],
)
def test_blocks_that_grow_together_look_the_same_letter_by_letter(text: str):
    stream, finished = MarkdownStream(), ""
    for length in range(len(text) + 1):
        new, rest = stream.feed(text[:length])
        finished += "".join(new)
        assert finished + rest == render_markdown(text[:length])


@few
@given(texts, st.data())
def test_however_a_text_is_cut_its_pieces_give_the_same_html(text: str, data: st.DataObject):
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8), label="cuts")
    stream, finished = MarkdownStream(), ""
    for length in sorted([*cuts, len(text)]):
        new, rest = stream.feed(text[:length])
        finished += "".join(new)
    assert finished + rest == render_markdown(text)


def test_only_the_last_block_stays_open():
    stream = MarkdownStream()
    text = "".join(f"Paragraph {n}.\n\n" for n in range(50))
    finished, rest = stream.feed(text)
    assert len(finished) == 49
    assert rest == "<p>Paragraph 49.</p>\n"
    assert stream.feed(text + "On") == (["<p>Paragraph 49.</p>\n"], "<p>On</p>\n")
    assert stream.feed(text + "One") == ([], "<p>One</p>\n")


def test_nothing_gives_nothing():
    assert MarkdownStream().feed("") == ([], "")
    assert render_markdown("\n \n") == ""


def test_a_code_block_looks_like_code_before_its_end_has_arrived():
    text = "```python\nprint(1)\n\nprint(2)\n```\n"
    for length in range(len("```python\n"), len(text)):
        assert render_markdown(text[:length]).startswith('<figure class="code"><figcaption>python</figcaption>')
        assert "<p>" not in render_markdown(text[:length])


def test_code_is_highlighted_in_its_language_and_named():
    html = render_markdown("```python\nprint('hi')\n```")
    assert "<figcaption>python</figcaption>" in html
    assert '<span class="nb">print</span>' in html


@pytest.mark.parametrize(
    ("fence", "label"), [("```", "text"), ("```no-such-language", "no-such-language"), ("```js title=x", "js")]
)
def test_code_in_an_unknown_language_stays_as_it_is(fence: str, label: str):
    html = render_markdown(f"{fence}\na < b && c\n```")
    assert f"<figcaption>{label}</figcaption>" in html
    assert text_of(html).endswith("a < b && c\n\n")


def test_code_keeps_every_space_and_empty_line():
    code = "\n\n  def f():\n\n\n      pass  \n\n"
    assert code in text_of(render_markdown(f"```python\n{code}```"))
    assert "  two\n\n    four" in text_of(render_markdown("      two\n\n        four"))


def test_tables_have_a_head_a_body_and_their_alignment():
    html = render_markdown("| a | b |\n|:-:|--:|\n| 1 | `2` |")
    assert '<th style="text-align:center">a</th>' in html
    assert '<td style="text-align:right"><code>2</code></td>' in html
    assert html.index("<thead>") < html.index("<tbody>")


def test_task_lists_have_boxes_that_cannot_be_ticked():
    html = render_markdown("- [ ] open\n- [x] done\n")
    boxes = [attributes for tag, attributes in tags_of(html) if tag == "input"]
    assert [box["type"] for box in boxes] == ["checkbox", "checkbox"]
    assert ["checked" in box for box in boxes] == [False, True]
    assert all("disabled" in box for box in boxes)


def test_lists_nest_and_numbers_go_on_where_the_text_says():
    html = render_markdown("3. three\n   - a\n     - b\n4. four")
    assert '<ol start="3">' in html
    assert [tag for tag, _ in tags_of(html)] == ["ol", "li", "ul", "li", "ul", "li", "li"]


def test_twenty_levels_of_a_list_are_all_shown():
    text = "".join("  " * level + f"- level {level}\n" for level in range(20))
    assert re.findall(r"level (\d+)", render_markdown(text)) == [str(level) for level in range(20)]


def test_inline_marks():
    html = render_markdown("**b** _i_ ~~s~~ `c` a\\\nb")
    assert html == "<p><strong>b</strong> <em>i</em> <s>s</s> <code>c</code> a<br>\nb</p>\n"


def test_links_open_elsewhere_and_tell_nothing():
    html = render_markdown('[page](https://example.org/?a=1&b=2 "Title")')
    [_, (tag, link)] = tags_of(html)
    assert tag == "a"
    assert link == {
        "href": "https://example.org/?a=1&b=2",
        "title": "Title",
        "target": "_blank",
        "rel": "noopener noreferrer nofollow",
    }


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java&#10;script:alert(1)",
        "&#106;avascript:alert(1)",
        "vbscript:x",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "blob:https://e.org/1",
    ],
)
@pytest.mark.parametrize("pattern", ["[x]({})", "![x]({})", "<{}>", "[x](<{}>)", "[x]\n\n[x]: {}"])
def test_dangerous_addresses_never_become_links(url: str, pattern: str):
    assert_harmless(render_markdown(pattern.format(url)))


def test_an_image_becomes_a_link_so_that_nothing_is_fetched():
    html = render_markdown("![A <b>dog</b>](https://tracker.example/dog.png?id=1)")
    [_, (tag, link)] = tags_of(html)
    assert tag == "a"
    assert link["href"] == "https://tracker.example/dog.png?id=1"
    assert text_of(html) == "A <b>dog</b>\n"
    assert text_of(render_markdown("![](https://e.org/x.png)")) == "image\n"


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<style>*{display:none}</style>",
    "<iframe src=https://e.org></iframe>",
    "</textarea></div><b>",
    "<!-- <b> -->",
    "<a href='javascript:alert(1)'>x</a>",
    "<div style='position:fixed;inset:0'>",
    "<form action=https://e.org><input name=a></form>",
    "&lt;b&gt; is shown as &amp;lt;",
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    "pattern",
    [
        *("{}", "# {}", "- {}", "> {}", "*{}*", "`{}`", "[{}](https://e.org)", "![{}](https://e.org)"),
        *("```{}\n{}\n```", "```html\n{}", "    {}", "|{}|\n|-|\n|{}|", '[x](https://e.org "{}")', "[x](<{}>)"),
    ],
)
def test_html_in_a_reply_is_shown_and_never_becomes_an_element(attack: str, pattern: str):
    assert_harmless(render_markdown(pattern.replace("{}", attack)))


def test_html_in_a_reply_is_shown_as_it_was_written():
    for attack in ATTACKS[:-1]:
        assert text_of(render_markdown(f"    {attack}")).endswith(f"{attack}\n\n")
    assert text_of(render_markdown("a <b>bold</b> <img src=x>")) == "a <b>bold</b> <img src=x>\n"


@few
@given(st.lists(st.sampled_from([*FRAGMENTS, *ATTACKS, '"', "'", ">", "<", "javascript:", "="]), max_size=20))
def test_no_mixture_of_markdown_and_html_becomes_dangerous(parts: list[str]):
    assert_harmless(render_markdown("".join(parts)))


@pytest.mark.parametrize("piece", [">", "> ", "[", "![", "(", "*", "**a ", "_a", "`", "<", "1. ", "|", "\\", "&", "#"])
def test_ten_thousand_times_the_same_neither_hangs_nor_recurses(piece: str):
    """A quadratic renderer would need minutes for this, a recursive one would end the request."""
    started = time.monotonic()
    assert_harmless(render_markdown(piece * 10_000 + " end"))
    assert time.monotonic() - started < 10


PLAIN = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "strong", "em", "s", "code", "pre"),
    *("figcaption", "table", "thead", "tbody", "tr"),
}
WITH_ATTRIBUTES = {
    "a": {"href", "title", "target", "rel"},
    "ol": {"start"},
    "ul": {"class"},
    "li": {"class"},
    "span": {"class"},
    "figure": {"class"},
    "input": {"type", "checked", "disabled", "class"},
    "th": {"style"},
    "td": {"style"},
}


def assert_harmless(html: str) -> None:
    """Only elements and attributes that can do nothing, and links that lead to pages."""
    for tag, attributes in tags_of(html):
        assert tag in PLAIN or tag in WITH_ATTRIBUTES, html
        assert set(attributes) <= WITH_ATTRIBUTES.get(tag, set()), html
        assert attributes.get("style", "text-align:left").startswith("text-align:"), html
        assert urlsplit(attributes.get("href", "")).scheme in ("", "http", "https", "mailto"), html


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment came through: {data}")


def tags_of(html: str) -> list[tuple[str, dict[str, str]]]:
    return read(html).tags


def text_of(html: str) -> str:
    return read(html).text


def read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader
