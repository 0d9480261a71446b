"""Reads the header of a GGUF file: its metadata and the names of its tensors, not the weights, and without llama.cpp.

llama.cpp opens only what it can load; an adapter, a projector or half a download still says what it is here.
"""

from __future__ import annotations

import math
import mmap
import struct
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
# Longer lists are vocabularies; only their length is kept.
LONGEST_LIST = 10_000
# What people have instead of a model, by how it begins.
MISTAKEN = {
    b"version https://git-lfs": "is a pointer of Git LFS, not the model itself. Run `git lfs pull`.",
    b"<!doctype html": "is a web page, not a model. Use the hub's download button.",
    b"<html": "is a web page, not a model. Use the hub's download button.",
    b"pk\x03\x04": "is a ZIP or PyTorch file, not a GGUF file.",
}
INCOMPLETE = "is incomplete: it ends in the middle of its weights. Download it again."
CUT_OFF = "is incomplete: it ends in the middle of its description. Download it again."

_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

Buffer: TypeAlias = bytes | mmap.mmap
Value: TypeAlias = str | int | float | tuple[float, ...]


class GgufError(Exception):
    """What is wrong with a file, as the end of a sentence that begins with its name."""


class CutOffError(GgufError):
    """The file ends in the middle of its description."""


class Tensor(NamedTuple):
    """How many weights a tensor has, and in how many bytes they are packed."""

    n_weights: int
    n_bytes: int


@dataclass(frozen=True)
class GgufHeader:
    """`values` is the metadata; of a list of strings or a very long list only the length is in it.

    `tensors` are those of this file, by name: a split model has more.
    """

    values: dict[str, Value]
    tensors: dict[str, Tensor]

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    def of_architecture(self, key: str) -> Value | None:
        """The value of a key that begins with the name of the architecture."""
        return self.values.get(f"{self.architecture}.{key}")


def read_header(path: Path) -> GgufHeader:
    """Raises GgufError, and OSError when the file cannot be read."""
    with path.open("rb") as file:
        if not file.read(1):
            raise GgufError("is empty. Download it again.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return parse_header(content)


def parse_beginning(content: bytes) -> GgufHeader:
    """As much of the metadata as stands in the first bytes of a file. Raises GgufError for no GGUF file.

    Of a list that goes on behind them the length is known.
    """
    values: dict[str, Value] = {}
    with suppress(CutOffError):
        _, n_values, cursor = _begin(content)
        for _ in range(n_values):
            key = cursor.string()
            kind = cursor.number("I")
            if kind == _ARRAY:
                values[key] = cursor.peek_length()
            values[key] = cursor.value(kind)
    return GgufHeader(values, {})


def parse_header(content: Buffer) -> GgufHeader:
    """The header at the beginning of `content`. Raises GgufError."""
    n_tensors, n_values, cursor = _begin(content)
    values: dict[str, Value] = {}
    for _ in range(n_values):
        key = cursor.string()
        values[key] = cursor.value(cursor.number("I"))
    weights: dict[str, int] = {}
    offsets: dict[str, int] = {}
    for _ in range(n_tensors):
        name = cursor.string()
        weights[name] = math.prod(cursor.numbers("Q", cursor.number("I")))
        cursor.skip(4)
        offsets[name] = cursor.number("Q")
    start = cursor.position + -cursor.position % ALIGNMENT
    if offsets and start + max(offsets.values()) >= len(content):
        raise GgufError(INCOMPLETE)
    # A tensor goes on to where the next one begins.
    ends = dict(pairwise([*sorted({*offsets.values()}), len(content) - start]))
    return GgufHeader(values, {name: Tensor(weights[name], ends[at] - at) for name, at in offsets.items()})


def _begin(content: Buffer) -> tuple[int, int, _Cursor]:
    """How many tensors and values there are, and where the values begin."""
    beginning = bytes(content[:32])
    if not beginning.startswith(MAGIC):
        raise GgufError(
            next((why for start, why in MISTAKEN.items() if beginning.lower().startswith(start)), "is not a GGUF file.")
        )
    cursor = _Cursor(content, len(MAGIC))
    version = cursor.number("I")
    if version.to_bytes(4, "big") in (n.to_bytes(4, "little") for n in VERSIONS):
        raise GgufError("is made for a machine of another kind (big-endian). Look for another download of it.")
    if version not in VERSIONS:
        raise GgufError(
            f"is a GGUF file of version {version}, which is not supported. Look for another download of it."
        )
    return cursor.number("Q"), cursor.number("Q"), cursor


class _Cursor:
    def __init__(self, content: Buffer, position: int) -> None:
        self._content = content
        self.position = position

    def number(self, form: str) -> int:
        return self.numbers(form, 1)[0]

    def numbers(self, form: str, count: int) -> tuple[int, ...]:
        return tuple(map(int, self._numbers(form, count)))

    def string(self) -> str:
        start = self.position + 8
        self.skip(self.number("Q"))
        return self._content[start : self.position].decode("utf-8", errors="replace")

    def value(self, kind: int) -> Value:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._list()
        [number] = self._numbers(self._format(kind), 1)
        return number

    def skip(self, count: int) -> None:
        self.position += count
        if self.position > len(self._content):
            raise CutOffError(CUT_OFF)

    def peek_length(self) -> int:
        """How long the list is that begins here."""
        return _Cursor(self._content, self.position + 4).number("Q")

    def _list(self) -> Value:
        kind, count = self.number("I"), self.number("Q")
        if kind == _STRING:
            for _ in range(count):
                self.skip(self.number("Q"))
            return count
        form = self._format(kind)
        if count > LONGEST_LIST:
            self.skip(count * struct.calcsize(f"<{form}"))
            return count
        return self._numbers(form, count)

    def _format(self, kind: int) -> str:
        if kind not in _FORMATS:
            raise GgufError("is damaged: its description makes no sense. Download it again.")
        return _FORMATS[kind]

    def _numbers(self, form: str, count: int) -> tuple[float, ...]:
        layout = f"<{count}{form}"
        start = self.position
        self.skip(struct.calcsize(layout))
        return struct.unpack_from(layout, self._content, start)
