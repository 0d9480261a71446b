from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from localchat_ui.markdown import render_markdown
from localchat_ui.markdown.directions import with_technical_apart
from localchat_ui.markdown.language import language_of
from tests.markdown.test_stream import tags_of

PAGES = Path(__file__).parent / "cases"


def directions(text: str) -> list[tuple[str, str]]:
    return [(tag, each["dir"]) for tag, each in tags_of(render_markdown(text)) if "dir" in each]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello\n\nمرحبا\n\nשלום\n\nbye", [("p", "rtl"), ("p", "rtl")]),
        ("# عنوان\n## Title", [("h1", "rtl")]),
        ("- سلام\n- كتاب", [("ul", "rtl")]),
        ("- سلام\n- hello", [("ul", "rtl"), ("li", "ltr")]),
        ("1. hello\n2. سلام", [("li", "rtl")]),
        ("> اقتباس\n>\n> quote", [("blockquote", "rtl"), ("p", "ltr")]),
        ("| العمود | Value |\n|---|---|\n| أ | 1 |", [("table", "rtl"), ("th", "ltr")]),
        ("| name | اسم |\n|---|---|\n| a | ب |", [("th", "rtl"), ("td", "rtl")]),
        ("<details>\n<summary>المزيد</summary>\n\nنص\n</details>", [("details", "rtl")]),
        ("x[^1]\n\n[^1]: ملاحظة", [("p", "rtl")]),
        ("`pip install` يثبت", [("p", "rtl")]),
        ("$x$ هو المتغير", [("p", "rtl")]),
        ("https://e.org رابط", [("p", "rtl"), ("a", "ltr")]),
        ("Python هي لغة برمجة سهلة", [("p", "rtl")]),
        ("**Python** و**Ruby**: لغتان من لغات البرمجة الحديثة", [("p", "rtl")]),
        ("The word مرحبا means hello", []),
        ("123 456", []),
        ("```\nسلام\n```", []),
        ("    سلام", []),
        ("$$\n\\text{سلام}\n$$", []),
    ],
)
def test_each_block_runs_its_own_way(text: str, expected: list[tuple[str, str]]):
    assert directions(text) == expected


@pytest.mark.parametrize(
    "path",
    ["/etc/hosts", "./run.sh", "../a/b.py", "~/notes.txt", "C:\\Users\\me", "src/main.py", "src/", ".gitignore",
     "--force", "-v", "C++", "C#", "run()", "a/b/c"],
)  # fmt: skip
def test_paths_and_options_run_from_left_to_right(path: str):
    html = render_markdown(f"افتح {path}، ثم {path}.")
    assert re.findall(r'<bdi dir="ltr">(.*?)</bdi>', html) == [path, path]
    assert "bdi" not in render_markdown(f"Open {path}.")


def test_paths_in_a_question_too():
    assert with_technical_apart("شغّل ./run.sh <b>\nثم") == 'شغّل <bdi dir="ltr">./run.sh</bdi> &lt;b&gt;\nثم'
    for text in ("Run ./run.sh", "شغّل", "", "<b>"):
        assert with_technical_apart(text) == ""


@pytest.mark.parametrize("text", ["و/أو", "3/4 من الناس - كلهم", "كتاب. ثم", "a b"])
def test_what_is_no_path_is_left_alone(text: str):
    assert "bdi" not in render_markdown(f"سلام {text}")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("page-cases", ["rtl", "rtl", "rtl", "rtl", "ltr", "rtl"]),
        ("rtl2", ["rtl", "rtl"]),
    ],
)
def test_every_case_of_directions(name: str, expected: list[str]):
    [conversation] = json.loads((PAGES / f"{name}.json").read_text(encoding="utf-8"))["conversations"]
    replies = [message["text"] for message in conversation["messages"] if message["role"] == "assistant"]
    assert [direction for text in replies for _, direction in directions(text)] == expected


@pytest.mark.parametrize(
    ("text", "language"),
    [
        *(
            ("Hello “you”", ""),
            ("", ""),
            ("Здравствуйте", ""),
            ("你好，这是中文。", "zh-Hans"),
            ("你好，這是中文。", "zh-Hant"),
        ),
        *(
            ("概要\n\nこれは本です。", "ja"),
            ("カタカナ", "ja"),
            ("안녕하세요", "ko"),
            ("漢字 한글", "ko"),
            ("Use 变量 here", "zh-Hans"),
        ),
    ],
)
def test_the_language_of_a_message(text: str, language: str):
    assert language_of(text) == language
