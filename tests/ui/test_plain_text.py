from __future__ import annotations

import pytest

from localchat_ui.ui.plain_text import plain_text


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("Some **bold** and `code`.", "Some bold and code."),
        ("# Title\n\nText.", "Title\n\nText."),
        ("- one\n- two", "- one\n- two"),
        ("3. three\n4. four", "3. three\n4. four"),
        ("1. one\n   - inner\n2. two", "1. one\n   - inner\n2. two"),
        ("1. one\n\n2. two", "1. one\n\n2. two"),
        ("- one\n\n  more of it\n- two", "- one\n\n   more of it\n\n- two"),
        ("- one\n  - two\n    - three\n\nAfter.", "- one\n   - two\n      - three\n\nAfter."),
        ("> quoted\n\n- one", "quoted\n\n- one"),
        ("Text\n- one\n\n```\na\n\n\nb\n```", "Text\n\n- one\n\na\n\n\nb"),
        ("- ```\n  a\n  b\n  ```", "- a\nb"),
        ("Hard  spaces &amp; more", "Hard spaces & more"),
        ("- [x] done\n- [ ] open", "- [x] done\n- [ ] open"),
        ("```python\nif a:\n    b()\n```\n\nAfter.", "if a:\n    b()\n\nAfter."),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a\tb\n1\t2"),
        ("> quoted\n> lines", "quoted\nlines"),
        ("a  \nb", "a\nb"),
        ("one\n\n---\n\ntwo", "one\n\n---\n\ntwo"),
        ("[a link](https://example.com)", "a link"),
        ("1 < 2 & 3 > 2", "1 < 2 & 3 > 2"),
        ("2\\. no list", "2. no list"),
        ("", ""),
    ],
)
def test_marks_go_and_the_text_stays(markdown: str, text: str) -> None:
    assert plain_text(markdown) == text


def test_nothing_of_the_page_itself_is_in_it() -> None:
    assert "Copy" not in plain_text("```\ncode\n```")
