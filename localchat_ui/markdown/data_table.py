"""CSV and JSON as tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from html import escape
from itertools import islice

from localchat_ui.i18n import _, number

MAX_ROWS = 500
MAX_COLUMNS = 50
MAX_CHARACTERS = 200_000


class DataError(ValueError):
    """Why a text is no table."""


def data_table(text: str, language: str) -> str:
    """Safe HTML of the table that this `csv`, `tsv`, `json` or `jsonl` text describes."""
    if len(text) > MAX_CHARACTERS:
        raise DataError(
            _("It is too long: {n} characters, and {most} are the most.").format(
                n=number(len(text)), most=number(MAX_CHARACTERS)
            )
        )
    head, rows = _of_json(text, language) if language.startswith("json") else _of_csv(text, language)
    if not head or not rows:
        raise DataError(_("There are no rows in it."))
    width = min(len(head), MAX_COLUMNS)
    n_rows, n_columns = number(len(rows)), number(len(head))
    if len(rows) > MAX_ROWS and len(head) > width:
        note = _("The first of {rows} rows and {columns} columns.")
    elif len(rows) > MAX_ROWS:
        note = _("The first of {rows} rows.")
    else:
        note = _("The first of {columns} columns.") if len(head) > width else ""
    note = note.format(rows=n_rows, columns=n_columns)
    body = "".join(_row(row[:width], "td") for row in rows[:MAX_ROWS])
    table = f"<table><thead>{_row(head[:width], 'th')}</thead><tbody>{body}</tbody></table>"
    return table + (f"<p>{escape(note)}</p>" if note else "")


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f'<{tag} dir="auto">{escape(cell)}</{tag}>' for cell in cells) + "</tr>"


def _of_csv(text: str, language: str) -> tuple[list[str], list[list[str]]]:
    first = text.lstrip("\ufeff\n").partition("\n")[0]
    delimiter = "\t" if language == "tsv" else max(",;\t|", key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text.lstrip("\ufeff")), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise DataError(_("It is no CSV: {error}.").format(error=error)) from None
    width = max(map(len, rows), default=0)
    filled = [row + [""] * (width - len(row)) for row in rows]
    return (filled[0], filled[1:]) if filled else ([], [])


def _of_json(text: str, language: str) -> tuple[list[str], list[list[str]]]:
    """A list of objects has a column for each of their keys; one object has a row for each."""
    try:
        value = json.loads(text) if language == "json" else [json.loads(line) for line in text.splitlines() if line]
    except (ValueError, RecursionError) as error:
        raise DataError(_("It is no JSON: {error}.").format(error=error)) from None
    if isinstance(value, dict):
        lists = [each for each in value.values() if _is_table(each)]
        if len(value) == 1 and lists:
            value = lists[0]
        else:
            return [_("Key"), _("Value")], [[key, _cell(each)] for key, each in value.items()]
    if _is_table(value):
        keys = list(dict.fromkeys(key for each in value for key in islice(each, MAX_COLUMNS + 1)))
        return keys, [[_cell(each.get(key, "")) for key in keys[: MAX_COLUMNS + 1]] for each in value[: MAX_ROWS + 1]]
    if isinstance(value, list):
        rows = [each if isinstance(each, list) else [each] for each in value]
        width = max(map(len, rows), default=0)
        head = [str(number + 1) for number in range(width)] if width > 1 else [_("Value")]
        return head, [[_cell(cell) for cell in row] + [""] * (width - len(row)) for row in rows]
    raise DataError(_("It is a single value."))


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _cell(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
