"""What people and models write in all languages, and how it should look. `cases/` holds texts that failed once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from localchat_ui.markdown import MarkdownStream, code_block, render_markdown
from tests.markdown.test_stream import assert_harmless, tags_of, text_of

CASES = {path.stem: path.read_text(encoding="utf-8") for path in (Path(__file__).parent / "cases").glob("*.md")}


def plain(text: str) -> str:
    """The HTML without what every link and code block has, and on one line."""
    html = render_markdown(text).replace(' target="_blank" rel="noopener noreferrer nofollow"', "")
    html = re.sub(r"<math.*?</math>", "[formula]", html, flags=re.DOTALL)
    html = re.sub(r"</?span[^>]*>|<button.*?</button>|</?(?:thead|tbody|tr)>", "", html)
    return html.replace("\n", "").removeprefix("<p>").removesuffix("</p>")


@pytest.mark.parametrize(
    ("name", "expected"),
    {
        "bare-environment": ["[formula]"],
        "bare-url": ['<a href="https://docs.example.org/guide?x=1&amp;y=2">', "</a> for more."],
        "blank-line-in-display": ["[formula]"],
        "br-in-table": ["<td>Stop<br>Close</td>"],
        "cjk-bold": [
            "<strong>“重点”</strong>",
            "<strong>注意：</strong>请",
            "<strong>「重要」</strong>",
            '<strong>"강조"',
        ],
        "glued-formula": ["若[formula]为偶数，则[formula]。", "H[formula]O and CO[formula]"],
        "mhchem-substack": ["[formula]</p><p>[formula]"],
        "nested-fence": ["# Title", "```bashmake```", "More text</code></pre></figure><p>After."],
        "rtl": ['<p dir="rtl">هذا', '<p dir="rtl">شغّل <code>./run.sh -v!</code>', "<p>More info"],
        "single-newlines": ["Roses are red,<br>Violets are blue,<br>Sugar is sweet."],
    }.items(),
)
def test_every_case(name: str, expected: list[str]):
    html = plain(CASES[name])
    for part in expected:
        assert part in html
    assert not re.search(r"[$*]{1,2}|\\begin|\\ce|&lt;br", html)


@pytest.mark.parametrize("text", CASES.values(), ids=CASES.keys())
def test_every_case_as_it_is_written(text: str):
    stream, finished = MarkdownStream(), ""
    for length in range(len(text) + 1):
        new, rest = stream.feed(text[:length])
        finished += "".join(new)
        assert finished + rest == render_markdown(text[:length])


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("他说**「你好」**。", "他说<strong>「你好」</strong>。"),
        ("~~删除：~~请", "<s>删除：</s>请"),
        ("これは**ABC（例）**です", "これは<strong>ABC（例）</strong>です"),
        ("この**『本』**を*「読む」*。", "この<strong>『本』</strong>を<em>「読む」</em>。"),
        ("안녕**하세요(인사)**입니다", "안녕<strong>하세요(인사)</strong>입니다"),
        ("用**`code`**表示", "用<strong><code>code</code></strong>表示"),
        ("**“A”**和**“B”**", "<strong>“A”</strong>和<strong>“B”</strong>"),
        ("价格**100%**上涨", "价格<strong>100%</strong>上涨"),
        ("**第一步：**打开；**第二步：**关闭", "<strong>第一步：</strong>打开；<strong>第二步：</strong>关闭"),
        ("2 ** 3 和 4 ** 5", "2 ** 3 和 4 ** 5"),
        ("snake_case_名前", "snake_case_名前"),
        ('a**"b"**c', 'a**"b"**c'),  # as CommonMark has it
    ],
)
def test_bold_beside_letters_without_spaces(text: str, html: str):
    assert plain(text) == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("12 High Street\nOxford\nEngland", "12 High Street<br>Oxford<br>England"),
        ("1. a\nb", "<ol><li>a<br>b</li></ol>"),
        ("> q1\n> q2", "<blockquote><p>q1<br>q2</p></blockquote>"),
        ("a  \nb\\\nc", "a<br>b<br>c"),
        ("**a\nb**", "<strong>a<br>b</strong>"),
    ],
)
def test_line_feeds_are_kept(text: str, html: str):
    assert plain(text) == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("H<sub>2</sub>O x<SUP>2</SUP>", "H<sub>2</sub>O x<sup>2</sup>"),
        ("<kbd>Ctrl</kbd>+<kbd>C</kbd>", "<kbd>Ctrl</kbd>+<kbd>C</kbd>"),
        ("a<br>b<br/>c<BR />d", "a<br>b<br>c<br>d"),
        ("x<sup>**b**</sup>", "x<sup><strong>b</strong></sup>"),
        ("<sub>a<sub>b</sub></sub>", "<sub>a<sub>b</sub></sub>"),
        ("<b>b</b> <i>i</i> <u>u</u> <mark>m</mark>", "<b>b</b> <i>i</i> <u>u</u> <mark>m</mark>"),
        ("<sub>*a</sub>*", "<sub>*a</sub>*"),
        ("[l<sub>i</sub>nk](https://e.org)", '<a href="https://e.org">l<sub>i</sub>nk</a>'),
        ("`<sub>x</sub>`", "<code>&lt;sub&gt;x&lt;/sub&gt;</code>"),
        ("<sub>never closed", "&lt;sub&gt;never closed"),
        ("<sub class=x>y</sub>", "&lt;sub class=x&gt;y&lt;/sub&gt;"),
        ("</sub> <sub/> <subx>", "&lt;/sub&gt; &lt;sub/&gt; &lt;subx&gt;"),
    ],
)
def test_a_few_tags_are_obeyed_and_no_others(text: str, html: str):
    assert plain(text) == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("\n<summary>*x*</summary>\n\n**b**\n\n- c\n",
         "<summary><em>x</em></summary><p><strong>b</strong></p><ul><li>c</li></ul>"),
        ("<summary>A</summary>b", "<summary>A</summary><p>b</p>"),
        ("\n\nno summary\n\n", "<summary>Details</summary><p>no summary</p>"),
        ("\n<summary>A</summary>\n", "<summary>A</summary>"),
        ("\n<summary>\n  **A**\n</summary>\n\nb\n", "<summary><strong>A</strong></summary><p>b</p>"),
        ("\n\n<summary>A</summary>\n- b\n", "<summary>A</summary><ul><li>b</li></ul>"),
        (
            "<summary>A</summary>\n<details>\n<summary>B</summary>\nb\n</details>\n",
            "<summary>A</summary><details><summary>B</summary><p>b</p></details>",
        ),
        (
            "\n```\n</details>\n```\n",
            '<summary>Details</summary><figure class="code"><figcaption>text</figcaption>'
            "<pre tabindex=\"0\"><code>&lt;/details&gt;</code></pre></figure>",
        ),
    ],
)  # fmt: skip
def test_details_fold_what_is_inside(text: str, html: str):
    assert plain(f"<details>{text}</details>\nAfter") == f"<details>{html}</details><p>After"
    assert plain(f"> <details open>{text}</details>".replace("\n", "\n> ")).startswith('<blockquote><details open="">')


def test_details_that_are_still_being_written_are_folded_already():
    assert plain("<details>\n<summary>A") == "<details><summary>A</summary></details>"
    assert (
        plain("<details>\n<summary>A</summary>\n\nb\n\nc") == "<details><summary>A</summary><p>b</p><p>c</p></details>"
    )
    assert plain("- a\n  <details>\n  b\n- c") == (
        "<ul><li>a<details><summary>Details</summary><p>b</p></details></li><li>c</li></ul>"
    )
    assert "<details" not in plain("text <details> in a line")
    assert "<details" not in plain("<details class=x>\n<summary>a</summary>")


@pytest.mark.parametrize(
    ("text", "target", "shown"),
    [
        ("https://example.org.", "https://example.org", "https://example.org"),
        ("(see https://e.org/a_(b))", "https://e.org/a_(b)", "https://e.org/a_(b)"),
        ("**https://e.org/x**", "https://e.org/x", "https://e.org/x"),
        ("请看https://e.org/文档。谢谢", "https://e.org/%E6%96%87%E6%A1%A3", "https://e.org/文档"),
        ("https://e.org에서", "https://e.org", "https://e.org"),
        ("官网是https://python.org，可以", "https://python.org", "https://python.org"),
        ("http://localhost:8080/x?y=1#z", "http://localhost:8080/x?y=1#z", "http://localhost:8080/x?y=1#z"),
        ("https://e.org?a=1&copy=2", "https://e.org?a=1&amp;copy=2", "https://e.org?a=1&amp;copy=2"),
        ("| https://e.org/x_y_z |\n|---|", "https://e.org/x_y_z", "https://e.org/x_y_z"),
        ('"https://e.org/~me"!', "https://e.org/~me", "https://e.org/~me"),
        ("[https://e.org](https://f.org)", "https://f.org", "https://e.org"),
        ("Write to me@example.org.", "mailto:me@example.org", "me@example.org"),
        ("https://e.org/\u202egnp.exe", "https://e.org/", "https://e.org/"),
        ("at www.example.org/a, or", "http://www.example.org/a", "www.example.org/a"),
    ],
)  # fmt: skip
def test_bare_links(text: str, target: str, shown: str):
    html = plain(text)
    assert f'<a href="{target}">{shown}</a>' in html
    assert html.count("<a ") == 1


@pytest.mark.parametrize(
    "text",
    ["`https://e.org`", "xhttps://e.org", "https://", "see main.py, README.md, e.org", "ftp://x.org javascript://x",
     "git@github.com:a/b", "file:///etc/passwd", "```\nhttps://e.org\n```", "https://?", "www. and @ me"],
)  # fmt: skip
def test_what_is_no_link(text: str):
    assert "<a " not in plain(text)


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ("| `x | y` | 2 |", ["x | y", "2"]),
        ("| `x|y` | `a||b` |", ["x|y", "a||b"]),
        ("| ``a`|`` | 2 |", ["a`|", "2"]),
        (r"| `x \| y` | 2 |", ["x | y", "2"]),
        ("| $|x|$ | $P(A|B)$ |", ["|x|", "P(A|B)"]),
        (r"| \(a|b\) | 2 |", ["a|b", "2"]),
        ("| $5 | $10 |", ["$5", "$10"]),
        ("| ` | ` |", ["`", "`"]),
        ("`x|y` | 2", ["x|y", "2"]),
    ],
)
def test_pipes_in_code_and_formulas_stay_in_their_cell(row: str, cells: list[str]):
    for before in ("", "> ", "  "):
        html = render_markdown(f"{before}| a | b |\n{before}|---|---|\n{before}{row}\n{before}| end | of it |")
        shown = re.findall(r"<td>(.*?)</td>", html, re.DOTALL)
        assert [text_of(cell) for cell in shown] == [*cells, "end", "of it"]


def test_pipes_in_the_head_of_a_table():
    assert plain("| `a|b` | c |\n|---|---|\n| 1 | 2 |").startswith("<table><th><code>a|b</code></th><th>c</th>")


@pytest.mark.parametrize(
    "code",
    [
        "a\n```sh\nb\n```\nc",
        "```sh\nb\n```\n\n```py\nd\n```",
        "1. a\n   ```sh\n   b\n   ```\n2. c",
        "~~~sh\n~~~",
        "no fence",
    ],
)
@pytest.mark.parametrize("language", ["markdown", "md", "Markdown title=x"])
def test_fences_in_a_markdown_document_stay_in_it(code: str, language: str):
    html = render_markdown(f"```{language}\n{code}\n```\nAfter.")
    assert html.count("<figure") == 1
    assert text_of(html).endswith(f"{code}\n\nAfter.\n")


def test_fences_in_other_code_end_it():
    assert plain("```python\n```x\n```\nAfter").endswith("<p>After")
    assert plain("```markdown\n```\nAfter").endswith("<p>After")


def test_a_long_markdown_document_is_one_however_it_is_cut(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(code_block, "SOFT_LIMIT", 8)
    monkeypatch.setattr(code_block, "HARD_LIMIT", 20)
    text = "```markdown\n# A\n\n```sh\nmake all\n\nmake test\n```\n\n- b\n\n```py\nprint(1)\n```\n\nend\n```\n\n"
    text += "After *it*.\n"
    stream, finished = MarkdownStream(), ""
    for length in range(len(text) + 1):
        new, rest = stream.feed(text[:length])
        finished += "".join(new)
        assert finished + rest == render_markdown(text[:length])
    assert (finished + rest).endswith("<p>After <em>it</em>.</p>\n")


def test_code_that_describes_something_can_be_shown():
    for language, expected in {
        "mermaid": 1,
        "svg": 1,
        "html": 1,
        "csv": 1,
        "tsv": 1,
        "JSON": 1,
        "python": 0,
        "": 0,
    }.items():
        html = render_markdown(f"```{language}\nx\n```")
        assert html.count('class="preview-code"') == expected
        assert_harmless(html)
    for text, expected in {"```xml\n<svg/>": 1, "```\n<svg/>": 1, "```xml\n<a/>": 0, "```python\n<svg/>": 0}.items():
        assert render_markdown(text).count('class="preview-code"') == expected
    long = render_markdown("```csv\n" + "1,2,3,4,5,6,7,8,9\n" * 2_000 + "```")
    assert [tag for tag, each in tags_of(long) if each.get("class") == "preview-code"] == ["button"]
