from __future__ import annotations

import pytest

from localchat_ui.markdown.data_table import DataError, data_table
from tests.markdown.test_stream import ATTACKS, tags_of


def cells(html: str) -> list[list[str]]:
    rows = html.replace(' dir="auto"', "").split("<tr>")[1:]
    return [[cell.split("</t")[0] for cell in row.replace("<th>", "<td>").split("<td>")[1:]] for row in rows]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("csv", "a,b\n1,2\n", [["a", "b"], ["1", "2"]]),
        ("csv", 'a;b\n"x;y";2', [["a", "b"], ["x;y", "2"]]),
        ("csv", "\ufeffa,b\n\n1\n2,3,4\n", [["a", "b", ""], ["1", "", ""], ["2", "3", "4"]]),
        ("csv", 'a\n"two\nlines"\n', [["a"], ["two\nlines"]]),
        ("tsv", "a\tb\n1,5\t2", [["a", "b"], ["1,5", "2"]]),
        ("json", '[{"a": 1, "b": "x"}, {"b": null, "c": [1]}]', [["a", "b", "c"], ["1", "x", ""], ["", "null", "[1]"]]),
        ("json", '{"a": 1, "ü": "é"}', [["Key", "Value"], ["a", "1"], ["ü", "é"]]),
        ("json", '{"rows": [{"a": true}]}', [["a"], ["true"]]),
        ("json", "[[1, 2], [3]]", [["1", "2"], ["1", "2"], ["3", ""]]),
        ("jsonl", '{"a": 1}\n\n{"a": 2}\n', [["a"], ["1"], ["2"]]),
        ("json", '["a", "b"]', [["Value"], ["a"], ["b"]]),
    ],
)
def test_csv_and_json_are_tables(language: str, text: str, expected: list[list[str]]):
    assert cells(data_table(text, language)) == expected


@pytest.mark.parametrize(
    ("language", "text"),
    [
        *(("json", "{"), ("json", "1"), ("json", "[]"), ("json", "{}"), ("json", "[" * 100_000), ("csv", "")),
        *(("csv", "only,a,head"), ("csv", "x" * 200_001), ("json", "[{}]"), ("csv", "a\n" + "b" * 140_000)),
    ],
)
def test_what_is_no_table_says_why(language: str, text: str):
    with pytest.raises(DataError, match=r"\.$"):
        data_table(text, language)


def test_long_and_wide_tables_are_cut_and_say_so():
    html = data_table("\n".join(",".join(map(str, range(80))) for _ in range(601)), "csv")
    assert (len(cells(html)), len(cells(html)[0])) == (501, 50)
    assert html.endswith("<p>The first of 600 rows and 80 columns.</p>")


@pytest.mark.parametrize("attack", ATTACKS)
def test_cells_are_text(attack: str):
    import json

    for html in (
        data_table(f'a\n"{attack.replace(chr(34), chr(34) * 2)}"', "csv"),
        data_table(json.dumps({attack: attack}), "json"),
    ):
        assert {tag for tag, _ in tags_of(html)} == {"table", "thead", "tbody", "tr", "th", "td"}
