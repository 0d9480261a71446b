"""Tables whose cells hold pipes: a pipe inside code or a formula does not end its cell."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, table

# Every row is filled up to as many cells as the first one has.
MAX_COLUMNS = 60
# Characters of a row in which the ends of code and formulas are looked for.
MAX_ROW = 2_000


def tables_plugin(markdown: MarkdownIt) -> None:
    """GitHub's tables, which end a cell at every pipe, so that people have to write `a \\| b`. Models do not."""
    markdown.block.ruler.at("table", _read, {"alt": ["paragraph", "reference"]})


def _read(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    delimiter = start_line + 1
    if delimiter >= end_line or not _DELIMITER.fullmatch(state.src, state.bMarks[delimiter], state.eMarks[delimiter]):
        return False
    n_columns = _n_cells(state.src[state.bMarks[delimiter] : state.eMarks[delimiter]])
    if n_columns > MAX_COLUMNS:
        return False
    text, n_tokens = state.src, len(state.tokens)
    # Whether a table begins here is asked at every line of a paragraph, and its head alone tells.
    head = _hide_pipes(text[state.bMarks[start_line] : state.eMarks[start_line]], n_columns)
    is_table = abs(_n_cells(head) - n_columns) < 2
    hidden = _without_pipes(state, start_line, delimiter if silent else end_line, n_columns) if is_table else None
    if hidden is None:
        return table(state, start_line, end_line, silent)
    state.src = hidden
    found = table(state, start_line, end_line, silent)
    state.src = text
    for token in state.tokens[n_tokens:]:
        token.content = token.content.replace(_HIDDEN, "|")
    return found


def _without_pipes(state: StateBlock, start_line: int, end_line: int, n_columns: int) -> str | None:
    """The whole text, of the same length, if a row of this table has pipes to be hidden."""
    parts, position = [], 0
    for line in range(start_line, end_line):
        start, end = state.bMarks[line] + state.tShift[line], state.eMarks[line]
        if start >= end:
            break
        row = state.src[start:end]
        if _MARKS.search(row) and (hidden := _hide_pipes(row, n_columns)) != row:
            parts += [state.src[position:start], hidden]
            position = end
    return "".join([*parts, state.src[position:]]) if parts else None


def _hide_pipes(row: str, n_columns: int) -> str:
    """With another character for the pipes that end no cell. A row that has as many cells as it should is left."""
    if len(row) > MAX_ROW or _n_cells(row) <= n_columns:
        return row
    return _CODE_OR_FORMULA.sub(lambda found: found[0].replace("|", _HIDDEN), row)


def _n_cells(row: str) -> int:
    return len(_PIPE.findall(row.strip().removeprefix("|").removesuffix("|"))) + 1


_HIDDEN = "\ufdd0"  # means nothing in any text
_DELIMITER = re.compile(r"[ \t>]*[|:-][|:\- \t]*")
_MARKS = re.compile(r"[`$]|\\[(\[]")
_PIPE = re.compile(r"(?<!\\)\|")
_CODE_OR_FORMULA = re.compile(
    r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)|\$\$.+?\$\$|\$(?!\s)[^$`]+?(?<!\s)\$|\\\(.+?\\\)|\\\[.+?\\\]"
)
