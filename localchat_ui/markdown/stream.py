"""Model text to safe HTML, block by block, so that a growing reply only redraws its last block."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from markdown_it.common.utils import normalizeReference
from markdown_it.token import Token
from markdown_it.utils import EnvType

from localchat_ui.markdown import code_block, footnotes, nested_fences
from localchat_ui.markdown.renderer import parse, render, render_notes


class MarkdownStream:
    """Renders a text that only grows. Blocks that can no longer change are handed out once, the open rest each time."""

    def __init__(self) -> None:
        self._start = 0
        self._env: dict[str, Any] = {}
        # A long block is not read again from its first line: its opening is put in front of what is still unread, and
        # a table's rows that were read stay here, because a table cannot be handed out in pieces as code can.
        self._opening = ""
        self._rows = ""
        self._named: set[str] = set()
        self._fences_open = 0  # of those inside of Markdown code whose first lines were handed out
        self._late = self._late_in_rest = self._heavy = False

    @property
    def outdated(self) -> bool:
        """Whether `render_markdown` of the whole text may give something else.

        A finished block may name a link or footnote that was defined only after it, and shows it as plain text; and
        what has become too heavy to be read was lighter when blocks before it were handed out.
        """
        return self._late or self._late_in_rest or self._heavy

    def feed(self, text: str) -> tuple[list[str], str]:
        """HTML of the blocks finished since the last call, and of everything behind them. `text` is the whole text.

        The notes of all footnotes so far stand at the end of the second part.
        """
        rest = self._opening + text.replace("\r", "")[self._start :]
        # What is still open must not leave anything behind: half a link definition would be taken for the whole.
        env = {**footnotes.copy_env(self._env), "fences_open": self._fences_open}
        blocks = _blocks(parse(rest, env), resumed=bool(self._opening))
        self._heavy = self._heavy or any(block.tokens[0].type == "heavy" for block in blocks)
        # An unfinished line may still change how it joins what is before it ("2" becomes "2. item" of the list
        # above), so the block of the last finished line stays open.
        last_line = rest.count("\n") - 1
        n_finished = next((i for i, block in enumerate(blocks) if block.end > last_line), len(blocks) - 1)
        html = [render(block.tokens, env) for block in blocks[max(n_finished, 0) :]]
        finished: list[str] = []
        if n_finished > 0:
            finished = self._finish(rest, blocks[n_finished])
        elif blocks and blocks[0].is_table:
            html[0] = _with_rows(html[0], self._rows)
            self._keep_rows(rest, blocks[0], last_line)
        self._late_in_rest = not self._named.isdisjoint(_defined(env) - _defined(self._env))
        return finished, "".join(html) + render_notes(env)

    def _finish(self, rest: str, following: _Block) -> list[str]:
        """HTML of all that stands before the block `following`, which is the first open one."""
        size = _offset(rest, following.start)
        self._env["fences_open"] = self._fences_open
        blocks = _blocks(self._read(rest[:size]), resumed=bool(self._opening))
        self._fences_open = _fences_open(blocks, self._fences_open) if following.goes_on else 0
        if following.goes_on:
            blocks[-1].tokens[0].meta["cut"] = True
        html = [render(block.tokens, self._env) for block in blocks]
        html[0] = _with_rows(html[0], self._rows)
        self._start += size - len(self._opening)
        self._rows = ""
        self._opening = _lines(rest, following.opening, following.opening + 1) if following.goes_on else ""
        return html

    def _keep_rows(self, rest: str, table: _Block, last_line: int) -> None:
        first = table.start + 2
        stop = min(table.end, last_line) - _OPEN_ROWS
        if stop - first < _OPEN_ROWS:
            return
        size = _offset(rest, stop)
        [block] = _blocks(self._read(rest[:size]))
        self._rows += render(block.tokens, self._env).partition("<tbody>\n")[2].rpartition("</tbody>")[0]
        self._start += size - len(self._opening)
        self._opening = _lines(rest, table.start, first)

    def _read(self, text: str) -> list[Token]:
        """Tokens of text that can no longer change; what later text needs of it stays in the environment."""
        known = _defined(self._env)
        tokens = parse(text, self._env)
        if not self._named.isdisjoint(_defined(self._env) - known):
            self._late = True
        self._named.update(_names(tokens))
        notes = self._env.get("notes", {})
        for label, note in notes.items():
            if not isinstance(note, str):
                self._named.update(_names(note))
                notes[label] = render(note, self._env)
        return tokens


def render_markdown(text: str) -> str:
    """A finished text, whole. Links and footnotes may be defined anywhere in it."""
    env: dict[str, Any] = {}
    blocks = _blocks(parse(text.replace("\r", ""), env))
    return "".join(render(block.tokens, env) for block in blocks) + render_notes(env)


class _Block:
    """Tokens of one top-level block, and its lines from `start` up to but not with `end`.

    Long code makes several blocks; `opening` is the line that all of them begin with.
    """

    def __init__(self, tokens: Sequence[Token], opening: int | None = None) -> None:
        self.tokens = tokens
        lines = tokens[0].map or [0, 0]
        self.start, self.end = lines[0], lines[1]
        self.opening = self.start if opening is None else opening
        self.goes_on = self.opening < self.start
        self.is_table = tokens[0].type == "table_open"


def _blocks(tokens: Sequence[Token], *, resumed: bool = False) -> list[_Block]:
    """`resumed`: the first block goes on with one that was begun before."""
    blocks: list[_Block] = []
    first = 0
    for index, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            if token.type == "fence":
                blocks.extend(_pieces(token, resumed and not blocks))
            else:
                blocks.append(_Block(tokens[first : index + 1]))
            first = index + 1
    return blocks


def _pieces(fence: Token, resumed: bool) -> Iterator[_Block]:
    start, end = fence.map or [0, 0]
    pieces = code_block.pieces(fence.content)
    line = start
    for index, code in enumerate(pieces):
        last = index == len(pieces) - 1
        stop = end if last else line + code.count("\n") + (index == 0)
        meta = {"more": resumed or index > 0, "cut": not last}
        yield _Block([fence.copy(content=code, map=[line, stop], meta=meta)], start)
        line = stop


def _offset(text: str, line: int) -> int:
    """How many characters stand before a line."""
    return len(text) - len(text.split("\n", line)[-1])


def _lines(text: str, first: int, stop: int) -> str:
    return text[_offset(text, first) : _offset(text, stop)]


def _names(tokens: Iterable[Token]) -> Iterator[str]:
    """Whatever in the text may be the name of a link or footnote, defined or not."""
    for token in tokens:
        if token.type == "inline":
            yield from map(normalizeReference, _NAME.findall(token.content))


def _defined(env: EnvType) -> set[str]:
    return {*env.get("references", ()), *(normalizeReference("^" + label) for label in env.get("notes", ()))}


def _fences_open(blocks: Sequence[_Block], before: int) -> int:
    """In the code that the last of these blocks is a part of."""
    depth = before
    for number, block in enumerate(blocks):
        code = block.tokens[0]
        depth = depth if block.goes_on or number == 0 else 0
        depth = nested_fences.depth_after(code.content, code.info, code.markup, depth)
    return depth


def _with_rows(html: str, rows: str) -> str:
    return html.replace("<tbody>\n", "<tbody>\n" + rows, 1) if rows else html


_OPEN_ROWS = 20
_NAME = re.compile(r"\[((?:\\.|[^\[\]\\])+)\]", re.DOTALL)
