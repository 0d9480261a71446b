from __future__ import annotations

import re
import time
from collections.abc import Sequence
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localchat_ui.markdown import MarkdownStream, directions, render_markdown

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

# Words of Markdown, mixed at will.
FRAGMENTS = [
    *("# ", "## ", "- ", "* ", "+ ", "1. ", "2) ", "10. ", "> ", "- [ ] ", "- [x] ", "---\n", "===\n"),
    *("```", "```python\n", "~~~\n", "    ", "  ", "\t", "\n", "\n\n", "\r\n", "\r", " ", "word", "def f():\n"),
    *("*", "**", "_", "`", "~~", "\\", "[", "](", "![", "[a](https://e.org)", "![i](x.png)", "<https://e.org>"),
    *("| a | b |\n", "|---|:-:|\n", "| 1 | 2 |\n", "<b>", "<!-- ", "-->", "&amp;", "é🦙", "\0", "\u2028", "\f"),
    *("$", "$$", "$$\n", "\\(", "\\)", "\\[", "\\]", "\\]\n", "$x$", "\\frac{a}{b}", "x_1", "="),
    *(
        "[^1]",
        "[^n]",
        "\n[^1]: ",
        "\n[^n]: ",
        "[^1]: a\n\n    b",
        "[e]",
        "[a][e]",
        "\n[e]: https://e.org/1\n",
        "[e]: x\n",
    ),
    *(
        "<details>\n",
        "<details open>",
        "</details>\n",
        "<summary>s</summary>\n",
        "<summary>",
        "<sub>",
        "</sub>",
        "<br>",
    ),
    *("https://e.org/a_b", "www.e.org ", "a@e.org", "\\begin{align}\n", "\\end{align}\n", "```markdown\n", "```sh\n"),
    *("سلام ", "/etc/x ", "中文", "：", "“", "x & y", "\\ce{H2O}"),
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
        assert stream.outdated or finished + rest == render_markdown(text[:length])


@few
@given(texts, st.data())
def test_nothing_is_outdated_when_every_definition_comes_first(text: str, data: st.DataObject):
    text = "[e]: https://e.org\n\n[^1]: one\n\n[^n]: two\n\n# A\n\n" + text
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8), label="cuts")
    stream = MarkdownStream()
    for length in sorted([*cuts, len(text)]):
        stream.feed(text[:length])
        assert not stream.outdated


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
        assert render_markdown(text[:length]).startswith('<figure class="code"><figcaption><span>python</span>')
        assert "<p>" not in render_markdown(text[:length])


def test_code_is_highlighted_in_its_language_and_named():
    html = render_markdown("```python\nprint('hi')\n```")
    assert "<figcaption><span>python</span>" in html
    assert '<span class="nb">print</span>' in html


@pytest.mark.parametrize(
    ("fence", "label"), [("```", "text"), ("```no-such-language", "no-such-language"), ("```js title=x", "js")]
)
def test_code_in_an_unknown_language_stays_as_it_is(fence: str, label: str):
    html = render_markdown(f"{fence}\na < b && c\n```")
    assert f"<figcaption><span>{label}</span>" in html
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
    "<img src=https://e.org/x.png srcset=https://e.org/y.png>",
    "<svg onload=alert(1)>",
    "<svg><a xlink:href=javascript:alert(1)><text>x</text></a><use href=https://e.org/x.svg#a /></svg>",
    "<style>*{display:none}</style>",
    "<style>@import 'https://e.org/x.css'; a{background:url(https://e.org)}</style>",
    "<iframe src=https://e.org></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data=https://e.org></object><embed src=https://e.org>",
    "<video poster=https://e.org><source src=https://e.org></video>",
    "<meta http-equiv=refresh content='0;url=https://e.org'>",
    "<base href=https://e.org/><link rel=stylesheet href=https://e.org/x.css>",
    "</textarea></div><b>",
    "</code></pre></figure><b>",
    "</math></span></p><b>",
    "<!-- <b> -->",
    "<!--><img src=x onerror=alert(1)>-->",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>' ping=https://e.org>x</a>",
    "<div style='position:fixed;inset:0'>",
    "<div style='background:url(https://e.org)'>",
    "<form action=https://e.org><input name=a></form>",
    "<button class=copy-code onclick=alert(1) formaction=https://e.org>x</button>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<math href=javascript:alert(1)>x</math>",
    "<math><mi xlink:href=https://e.org>x</mi></math>",
    "<math><maction actiontype=statusline#https://e.org>x</maction></math>",
    "<math><annotation-xml encoding=text/html><img src=x onerror=alert(1)></annotation-xml></math>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template><xmp><b></xmp><plaintext>",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<?xml version=1 ?><x:script xmlns:x='http://www.w3.org/1999/xhtml'>alert(1)</x:script>",
    "&lt;b&gt; is shown as &amp;lt;",
]
PLACES = [
    *("<sub>{}</sub>", "<details>\n<summary>{}</summary>\n{}\n</details>", "<details open>{}", "https://e.org/{}"),
    *(
        "```markdown\n```sh\n{}\n```\n```",
        "سلام /etc/{} https://e.org/{}",
        "**{}**中",
        "$\\ce{{}}$",
        "$\\substack{{}}$",
    ),
    *("{}", "# {}", "- {}", "> {}", "*{}*", "`{}`", "[{}](https://e.org)", "![{}](https://e.org)"),
    *("```{}\n{}\n```", "```html\n{}", "    {}", "|{}|\n|-|\n|{}|", '[x](https://e.org "{}")', "[x](<{}>)"),
    *("${}$", "$\\text{{}}$", "$$\n{}\n$$", "\\[\n\\text{{}}\n\\]", "\\({}\\)", "$$\n{}", "$\\{}$", "$\\color{{}}{x}$"),
    *("x[^1]\n\n[^1]: {}", "[^{}]\n\n[^{}]: x", "x[^{}]", "[{}]: {}\n\n[{}]"),
]


@pytest.mark.parametrize("place", PLACES)
def test_html_in_a_reply_is_shown_and_never_becomes_an_element(place: str):
    for attack in ATTACKS:
        assert_harmless(render_markdown(place.replace("{}", attack)))


@pytest.mark.parametrize("place", PLACES)
def test_an_attack_is_harmless_at_every_moment_of_its_arrival(place: str):
    for attack in ATTACKS:
        text, stream = place.replace("{}", attack) + "\n\nend", MarkdownStream()
        for length in range(len(text) + 1):
            finished, rest = stream.feed(text[:length])
            assert_harmless("".join(finished))
            assert_harmless(rest)


@pytest.mark.parametrize(
    "latex",
    [
        *(r"\href{javascript:alert(1)}{x}", r"\url{https://e.org}", r"\includegraphics{https://e.org/x.png}"),
        *(r"\style{position:fixed}{x}", r"\class{page}{x}", r"\htmlId{conversations}{x}", r"\cssId{a}{x}"),
        *(r"\text{</mtext></math><img src=x onerror=alert(1)>}", r"\text{<mglyph><style>}", r"\tag{<b>}x"),
        *(r"\color{red;position:fixed}{x}", r"\color{#f00}{x}", r"\textcolor{url(https://e.org)}{x}"),
        *(r"\begin{equation}x\label{settings}\end{equation}\eqref{settings}", r"\label{<b>}x", r"\unicode{60}"),
        *(r"\operatorname{<script>alert(1)</script>}", r"\begin{array}{<b>}x\end{array}", r"\cancel{<b>}"),
        *(
            r"\require{action}\toggle{a}{b}\endtoggle",
            r"\def\a{<b>}\a",
            "\0",
            "&lt;img src=x&gt;",
            "&#60;img src=x&#62;",
        ),
    ],
)
def test_latex_writes_no_links_styles_or_elements_of_its_own(latex: str):
    for text in (f"${latex}$", f"$$\n{latex}\n$$", f"\\({latex}\\)", f"| a |\n|---|\n| ${latex}$ |"):
        html = render_markdown(text)
        assert_harmless(html)
        assert "href" not in {name for _, attributes in tags_of(html) for name in attributes}


def test_html_in_a_reply_is_shown_as_it_was_written():
    for attack in ATTACKS[:-1]:
        assert text_of(render_markdown(f"    {attack}")).endswith(f"{attack}\n\n")
    assert text_of(render_markdown("a <div>block</div> <img src=x>")) == "a <div>block</div> <img src=x>\n"


@few
@given(st.lists(st.sampled_from([*FRAGMENTS, *ATTACKS, '"', "'", ">", "<", "javascript:", "="]), max_size=20))
def test_no_mixture_of_markdown_and_html_becomes_dangerous(parts: list[str]):
    assert_harmless(render_markdown("".join(parts)))


@pytest.mark.parametrize(
    "piece",
    [
        *(">", "> ", "[", "![", "(", "*", "**a ", "_a", "`", "<", "1. ", "|", "\\", "&", "#"),
        *(
            "<sub>",
            "</sub>",
            "<sub></sub>",
            "<b><i>",
            "<br>",
            "<details>\n",
            "<details>\nx\n</details>\n",
            "</details>\n",
        ),
        *("https://e.org/", "://", "www.", "a@", "a@e.org ", "```markdown\n", "```markdown\n```\n", "\\begin{align}\n"),
        *("$\\ce{", "سلام /a/b ", "/", "a.b/", "**中", "| `", "$x|", "\\(|", "|a|\n|-|\n|`|`|\n"),
        *("$", "$$", "$$\n", "$a$", "\\(", "\\[", "\\[\n", "[^1]", "[^1]: ", "[^1]: a\n"),
    ],
)
def test_ten_thousand_times_the_same_neither_hangs_nor_recurses(piece: str):
    """A quadratic renderer would need minutes for this, a recursive one would end the request."""
    started = time.monotonic()
    assert_harmless(render_markdown(piece * 10_000 + " end"))
    assert time.monotonic() - started < 10


PLAIN = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "strong", "em", "s", "code"),
    *("figcaption", "table", "thead", "tbody", "tr"),
    *("mrow", "mn", "mtext", "msqrt", "mroot", "mphantom", "mpadded", "mtr", "b", "i", "mprescripts"),
    *("msub", "msup", "msubsup", "mmultiscripts", "summary", "bdi", "del", "ins", "kbd", "mark", "sub", "u"),
}
WITH_ATTRIBUTES = {
    "details": {"open"},
    "a": {"href", "title", "target", "rel"},
    "pre": {"tabindex"},
    "ol": {"start", "class", "aria-label"},
    "ul": {"class"},
    "li": {"class"},
    "sup": {"class"},
    "span": {"class"},
    "figure": {"class"},
    "button": {"type", "class", "aria-label"},
    "input": {"type", "checked", "disabled", "class", "aria-label"},
    "th": {"style"},
    "td": {"style"},
    "math": {"display"},
    "mi": {"mathvariant"},
    "mo": {"form", "stretchy", "symmetric", "lspace", "rspace", "minsize", "maxsize", "movablelimits", "largeop"},
    "mspace": {"width"},
    "mfrac": {"linethickness", "displaystyle"},
    "mrow": {"displaystyle", "scriptlevel"},
    "mtable": {"displaystyle", "scriptlevel"},
    "mtd": {"class"},
    "mover": {"accent"},
    "munder": {"accentunder"},
    "munderover": {"accent", "accentunder"},
    "menclose": {"notation"},
}
CLASSES = {
    "ol": {"footnotes"},
    "sup": {"footnote"},
    "button": {"copy-code", "preview-code"},
    "figure": {"code", "more", "cut"},
    "ul": {"contains-task-list"},
    "li": {"task-list-item"},
    "input": {"task-list-item-checkbox"},
}


def assert_harmless(html: str) -> None:
    """Only elements and attributes that can do nothing, and links that lead to pages."""
    for tag, attributes in tags_of(html):
        if tag in directions.TAGS:
            assert attributes.pop("dir", "rtl") in ("ltr", "rtl"), html
        assert tag in PLAIN or tag in WITH_ATTRIBUTES, html
        assert set(attributes) <= WITH_ATTRIBUTES.get(tag, set()), html
        assert attributes.get("style", "text-align:left").startswith("text-align:"), html
        assert ";" not in attributes.get("style", ""), html
        assert urlsplit(attributes.get("href", "")).scheme in ("", "http", "https", "mailto"), html
        if tag in CLASSES:
            assert set(attributes.get("class", "").split()) <= CLASSES[tag], html
        if tag == "button":
            assert attributes["type"] == "button", html


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.in_button = False

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.in_button = tag == "button"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        self.in_button = self.in_button and tag != "button"

    def handle_data(self, data: str) -> None:
        """What is written, without the page's own buttons."""
        self.text += "" if self.in_button else data

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
