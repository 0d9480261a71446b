from __future__ import annotations

import re
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localchat_ui.markdown import MarkdownStream, mathml, render_markdown
from tests.markdown.test_stream import assert_harmless, few, tags_of, text_of

X = "<math><mi>x</mi></math>"
DISPLAY_X = '<span class="maths"><math display="block"><mi>x</mi></math></span>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a $x$ b", f"<p>a {X} b</p>\n"),
        (r"a \(x\) b", f"<p>a {X} b</p>\n"),
        ("($x$)-axis, the $x$th", f"<p>({X})-axis, the {X}th</p>\n"),
        ("# $x$", f"<h1>{X}</h1>\n"),
        ("**$x$**", f"<p><strong>{X}</strong></p>\n"),
        ("a $$x$$ b", f"<p>a {DISPLAY_X} b</p>\n"),
        (r"a \[ x \] b", f"<p>a {DISPLAY_X} b</p>\n"),
        ("$$x$$", f"<p>{DISPLAY_X}</p>\n"),
        ("$$\nx\n$$", f"<p>{DISPLAY_X}</p>\n"),
        ("So:\n\\[\n  x\n\\]\nand", f"<p>So:</p>\n<p>{DISPLAY_X}</p>\n<p>and</p>\n"),
        ("$$\nx\n$$ and *so*", f"<p>{DISPLAY_X}</p>\n<p>and <em>so</em></p>\n"),
        ("> $$\n> x\n> $$", f"<blockquote>\n<p>{DISPLAY_X}</p>\n</blockquote>\n"),
        ("- \\[\n  x\n  \\]", f"<ul>\n<li>\n<p>{DISPLAY_X}</p>\n</li>\n</ul>\n"),
    ],
)
def test_formulas_are_read_wherever_models_write_them(text: str, html: str):
    assert render_markdown(text) == html


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $10.",
        "From $5-$10, or $20/$30 a month.",
        "Between US$5 and US$6.",
        "$5, or 10$ with tip$",
        "Pay $20 for one and 30$.",
        "$1,000.50 is more than 900$.",
        "Set $HOME/$USER and $PATH.",
        "a$b$c",
        "$ x $ and $x $",
        "$$$ x $$$",
        "100$",
        *("$100 (or 50$)", "$user@$host", "$5k-$10k", "R$10, R$20", "$3.50/each, or $5.00 for 2", "$1 = 100¢ and 2$"),
        *("价格是$5，而那个是$8。", "$5美元和7$", "A$5 and A$6", "tip is 5$ or 6$ today", "It was $20 - now $15"),
        *("echo $HOME:$PATH", "$foo$bar", "between $1 million and $2 million", "earn $1,000-$2,000", "US$1 (US$2)"),
    ],
)
def test_prices_and_variables_are_no_formulas(text: str):
    assert render_markdown(text) == f"<p>{text}</p>\n"


@pytest.mark.parametrize(
    ("text", "n_formulas"),
    [
        *(
            ("若$n$为偶数，则$x=1$。", 2),
            ("在$x$和$y$之间", 2),
            ("$x$が偶数、$n$は", 2),
            ("값$n$은", 1),
            ("（$x$）", 1),
        ),
        *(("H$_2$O and CO$_2$", 2), ("10$^{-3}$ m, cm$^2$, 2$^{nd}$", 3), (r"$\alpha$Fe", 1), ("$A_1$B", 1)),
        *(("$[0,1)$ and $(a,b]$", 2), ("$n$th, $n$-th, $k$s", 3), ("$x_i$s and $x_{i}$th", 2), (r"α$\to$β", 1)),
        *(("$1$ and $2$", 2), ("$0.05$", 1), (r"$\$5$ or so", 1)),
    ],
)
def test_formulas_stand_beside_letters(text: str, n_formulas: int):
    html = render_markdown(text)
    assert html.count("<math>") == n_formulas
    assert "$" not in html.replace("<mi>$</mi>", "")


@pytest.mark.parametrize(
    ("text", "n_formulas"),
    [
        ("$$\nx = 1\n\ny = 2\n$$\n\nEnd.", 1),
        ("\\[\na\n\n\n\nb\n\\]", 1),
        ("$$\\begin{aligned}\na&=b\n\nc&=d\n\\end{aligned}$$", 1),
        ("\\begin{align}\na &= b\\\\\nc &= d\n\\end{align}", 1),
        ("So:\n\\begin{equation}x=1\\end{equation}\nand\n\\begin{gather*}\na\n\n\\end{gather*}", 2),
        ("- \\begin{cases}\n  a\\\\b\n  \\end{cases}", 1),
        ("> \\begin{pmatrix}1\\end{pmatrix}.", 1),
        ("$$\nx\n\n$$ and *so*", 1),
    ],
)
def test_display_maths_keeps_its_empty_lines_and_needs_no_dollars(text: str, n_formulas: int):
    html = render_markdown(text)
    assert html.count('<math display="block">') == n_formulas
    assert "<code>" not in html
    stream, finished = MarkdownStream(), ""
    for length in range(len(text) + 1):
        new, rest = stream.feed(text[:length])
        finished += "".join(new)
        assert finished + rest == render_markdown(text[:length])


@pytest.mark.parametrize(
    "prose",
    [
        "The *end*.",
        "**Then** it goes on",
        "中文后面",
        "然后",
        "これは",
        "Затем так",
        "# Heading",
        "- A point",
        "```\nx",
    ],
)
def test_prose_behind_an_empty_line_ends_a_formula_that_was_never_closed(prose: str):
    html = render_markdown(f"$$\nx\n\n{prose}\n\nMore words.")
    assert html.startswith('<p><span class="maths"><code>$$\nx</code></span></p>\n')
    assert html.endswith("</code></pre></figure>\n" if "```" in prose else "<p>More words.</p>\n")


@pytest.mark.parametrize("text", ["$$\n\nab\n\n> x", "$$\nx\n\ny\n\nTwo words.\n\nEnd", "\\[\n\n\nz\n\n# H\n"])
def test_a_formula_that_was_never_closed_looks_the_same_as_it_is_written(text: str):
    stream, finished = MarkdownStream(), ""
    for length in range(len(text) + 1):
        new, rest = stream.feed(text[:length])
        finished += "".join(new)
        assert finished + rest == render_markdown(text[:length])


def test_other_environments_are_text():
    assert "math" not in render_markdown("\\begin{verbatim}\nx\n\\end{verbatim}\n\\begin{document}")


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        *(("2H2 + O2 -> 2H2O", "2H2+O2⟶2H2O"), ("SO4^2-", "SO42−"), ("Na+ + Cl-", "Na++Cl−"), ("H2O(l)", "H2O(l)")),
        *(("[Fe(CN)6]^3-", "[Fe(CN)6]3−"), ("N2 + 3H2 <=> 2NH3", "N2+3H2⇌2NH3"), ("CuSO4.5H2O", "CuSO4⋅5H2O")),
        *(("CaCO3 ->[\\Delta] CaO + CO2 ^", "CaCO3→ΔCaO+CO2↑"), ("AgCl v", "AgCl↓"), ("HC#CH", "HC≡CH")),
        *(("^{227}_{90}Th+", "90227Th+"), ("1/2 O2", "12O2"), ("Fe^{III}", "FeIII"), ("CH3-CH=CH2", "CH3−CH=CH2")),
        ("A ->[a][b] B", "A→baB"),
    ],
)
def test_chemistry(formula: str, text: str):
    html = render_markdown(f"$\\ce{{{formula}}}$")
    assert "<code>" not in html
    assert re.sub(r"\s", "", text_of(html)) == text
    assert_harmless(html)


def test_code_and_escaped_signs_are_no_formulas():
    assert "math" not in render_markdown(
        "`$x$` and `$$x$$`\n\n```\n$x$ \\(x\\)\n$$\nx\n$$\n```\n\n    $$\n    x\n    $$"
    )
    assert render_markdown(r"\$x\$ and \\(x\\)") == "<p>$x$ and \\(x\\)</p>\n"
    assert render_markdown(r"\[x\](e.org) \[\] \(\)") == "<p>[x](e.org) [] ()</p>\n"
    assert text_of(render_markdown("costs $5 `a` and `b`$")) == "costs $5 a and b$\n"


def test_lines_of_a_formula_that_look_like_markdown_stay_in_it():
    html = render_markdown("$$\na\n= b\n- c\n+ d\n> e\n1. f\n$$")
    assert [tag for tag, _ in tags_of(html)][:3] == ["p", "span", "math"]
    assert text_of(html).strip() == "a=b−c+d>e1.f"


@pytest.mark.parametrize(
    "latex", [r"\unknowncommand{x}", r"\frac{1}", "x_{", "a & b", r"\begin{matrix}a", r"\ce{", r"\end{x}", "{}}"]
)
def test_latex_that_does_not_convert_is_shown_as_it_was_written(latex: str):
    assert text_of(render_markdown(f"a ${latex}$ b")) == f"a ${latex}$ b\n"
    assert f"<code>$$\n{latex}\n$$</code>".replace("&", "&amp;") in render_markdown(f"$$\n{latex}\n$$")


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"\frac{-b\pm\sqrt{b^2-4ac}}{2a}", "<mfrac>"),
        (r"\begin{pmatrix}1&0\\0&1\end{pmatrix}", "<mtable"),
        (r"\begin{cases}1&x>0\\0&\text{otherwise}\end{cases}", '<mtd class="left close-right gap-left">'),
        (r"\begin{array}{l|r}1&2\\\hline 3&4\end{array}", "line-top"),
        (r"\begin{align}a&=b\\&=c\end{align}", '<mtd class="right close-right">'),
        (r"\begin{equation*}x\label{eq}\end{equation*}", "<mi>x</mi>"),
        (r"x = 1 \tag{3}", "<mtext>(3)</mtext>"),
        (r"\boxed{42}", '<menclose notation="box">'),
        (r"\lim_{x\to0}\sum_{i=1}^n\int_a^b\ldots\pmod 3", "<munder>"),
        (r"\mathbb{R}\mathcal{L}\mathbf{v}\vec{v}\hat{x}\widetilde{ab}", "ℝ"),
        (r"\textcolor{red}{x}", "<mi>x</mi>"),
        (r"\textbf{a}", "<b>a</b>"),
        (r"\sum_{\substack{i<n\\ j<m}} a_{ij}", '<mtable displaystyle="false" scriptlevel="1">'),
        (r"\begin{alignedat}{2}a&=b\end{alignedat}", "<mtable"),
        (r"\begin{pmatrix*}[r]1&2\end{pmatrix*}", "<mtable"),
        (r"\begin{smallmatrix}a&b\\c&d\end{smallmatrix}", "<mtable"),
        (r"x \text{ if $y>0$ and } z", "<mi>y</mi>"),
        (r"\mathop{\mathrm{arg\,max}}\limits_x", "<munder>"),
        (r"\pmb{x}\smash{y}90\textdegree", "<mi>𝒙</mi>"),
    ],
)
def test_what_models_write_is_converted_and_survives_the_cleaning(latex: str, expected: str):
    html = render_markdown(f"$$\n{latex}\n$$")
    assert expected in html
    assert "<code>" not in html
    assert "(1)" not in html, "the number of a formula on its own says nothing"
    assert_harmless(html)


@pytest.mark.parametrize("opening", ["$$\n", "\\[\n", "$$", "\\[ ", "Text\n$$\n", "- $$\n  ", "> \\[\n> "])
def test_an_open_formula_looks_like_code_until_it_is_closed(opening: str):
    """Its half is neither emphasis nor a list, and nothing of it is handed out."""
    latex = r"a_1 *b* _c_ [x](y) **d** = e"
    stream = MarkdownStream()
    for length in range(len(opening) + 1, len(opening + latex)):
        finished, rest = stream.feed((opening + latex)[:length])
        assert not [tag for tag, _ in tags_of(rest) if tag in ("em", "strong", "a", "math")]
        assert "".join(finished) in ("", "<p>Text</p>\n")
        assert re.search(r"<code>(\$\$|\\\[)", rest)


def test_a_formula_without_an_end_ends_with_its_paragraph():
    html = render_markdown("$$\nx\n\nThe *end*.")
    assert html.endswith("<p>The <em>end</em>.</p>\n")
    assert "<code>$$\nx</code>" in html


NESTED = {
    "{": "}",
    r"\sqrt{": "}",
    r"\frac{1}{": "}",
    r"x\over{": "}",
    r"\text{": "}",
    r"\underbrace{": "}",
    r"\fbox{": "}",
    "x^{": "}",
    r"\left(": r"\right)",
    r"\sqrt[": "]",
    r"\begin{matrix}": r"\end{matrix}",
    **dict.fromkeys((r"\frac1", r"\sqrt", r"\hat ", r"\not", r"\mathbf ", r"\middle|", r"\color{red}"), ""),
}


@pytest.mark.parametrize("piece", NESTED)
@pytest.mark.parametrize("size", [250, 1_000, mathml.MAX_LATEX, 10 * mathml.MAX_LATEX])
def test_nested_latex_cannot_overflow_the_stack(piece: str, size: int):
    """The converter is native and calls itself: an overflow would end the whole program, not raise."""
    closing = NESTED[piece]
    levels = size // len(piece + closing)
    for latex in (piece * (size // len(piece)), piece * levels + "x" + closing * levels):
        drawn = in_a_small_stack(lambda: mathml.to_mathml(latex[:size], display=True))  # noqa: B023
        assert drawn is None or mathml._depth(drawn) <= mathml.MAX_DEPTH
        assert_harmless(render_markdown(f"$$\n{latex}\n$$"))


def in_a_small_stack(convert: Callable[[], str | None]) -> str | None:
    """As small as a thread's may be on macOS; that of this test's own thread hides what others would run into."""
    outcome: list[str | None] = []
    usual = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=lambda: outcome.append(convert()))
        thread.start()
    finally:
        threading.stack_size(usual)
    thread.join()
    return outcome[0]


@pytest.mark.parametrize(
    "latex",
    [
        r"\def\a{xxxxxxxxxx}" + r"\a" * 500,
        r"\newcommand{\aa}{xxxxxxxx}\newcommand{\bb}{\aa\aa\aa\aa\aa\aa\aa\aa}\bb\bb\bb",
        r"\renewcommand*{\alpha}{xx}\alpha",
        r"\let\a=x\a",
        r"\def\a{" + r"\sqrt" * 300 + "}" + r"\a" * 800 + "x",
        r"\gdef\a{\a\a}\a",
        "x" + "'" * 3_990,
        r"\hspace{10000cm}x",
        r"\hspace{99999em}x",
    ],
)
def test_latex_cannot_multiply_itself_or_fill_the_page(latex: str):
    assert mathml.to_mathml(latex, display=True) is None or len(mathml.to_mathml(latex, display=True) or "") < 100_000
    assert not re.search(r'width="\d{3,}', render_markdown(f"$${latex}$$"))


LATEX = [
    *(r"\frac", r"\sqrt", "{", "}", "[", "]", "^", "_", "x", "1", " ", "&", r"\\", r"\left(", r"\right)", "'", "%"),
    *(r"\begin{aligned}", r"\end{aligned}", r"\begin{array}{l}", r"\end{array}", r"\text{", r"\tag{1}", r"\label{a}"),
    *(r"\color{red}", r"\def\a{", r"\a", r"\mathbb", "<b>", '"', r"\hspace{1em}", r"\operatorname{", "é", "\0", "#"),
]


@few
@given(st.lists(st.sampled_from(LATEX), max_size=20))
def test_any_latex_gives_harmless_html_and_no_error(parts: list[str]):
    latex = "".join(parts)
    for text in (f"${latex}$", f"$$\n{latex}\n$$", f"\\[{latex}"):
        assert_harmless(render_markdown(text))
