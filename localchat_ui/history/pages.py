"""Rows read from the pages of a SQLite file one by one, for when its tables cannot be walked through any more."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TABLE_LEAF = 0x0D
PAGE_SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # serial type: bytes


class Pages:
    """The format is https://www.sqlite.org/fileformat.html; what cannot be understood is left out."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        size = int.from_bytes(self._data[16:18], "big")
        size = 65536 if size == 1 else size
        self._size = size if size in PAGE_SIZES else 4096
        reserved = self._data[20] if len(self._data) > 20 and self._data[20] <= 64 else 0
        self._usable = self._size - reserved

    def rows(self) -> Iterator[list[Any]]:
        """The values of every row in every leaf of a table, in the order of the file; pages that are free are not."""
        free = self._free_pages()
        for number in range(1, len(self._data) // self._size + 1):
            if number not in free:
                yield from self._leaf(number)

    def _page(self, number: int) -> bytes:
        return self._data[(number - 1) * self._size : number * self._size]

    def _free_pages(self) -> set[int]:
        free: set[int] = set()
        trunk = int.from_bytes(self._data[32:36], "big")
        while trunk and trunk not in free and len(page := self._page(trunk)) == self._size:
            free.add(trunk)
            trunk, count = struct.unpack(">II", page[:8])
            if count <= self._usable // 4 - 2:
                free.update(struct.unpack(f">{count}I", page[8 : 8 + 4 * count]))
        return free

    def _leaf(self, number: int) -> Iterator[list[Any]]:
        page, start = self._page(number), 100 if number == 1 else 0
        if page[start] != TABLE_LEAF:
            return
        count = int.from_bytes(page[start + 3 : start + 5], "big")
        for place in range(start + 8, min(start + 8 + 2 * count, self._size - 1), 2):
            try:
                yield self._row(page, int.from_bytes(page[place : place + 2], "big"))
            except (ValueError, IndexError):
                continue

    def _row(self, page: bytes, at: int) -> list[Any]:
        length, at = _varint(page, at)
        _rowid, at = _varint(page, at)
        if length > len(self._data):
            raise ValueError("longer than the file")
        return _values(self._payload(page, at, length))

    def _payload(self, page: bytes, at: int, length: int) -> bytes:
        """The record of a cell: in the page, and behind its beginning in a chain of overflow pages."""
        usable = self._usable
        if length <= usable - 35:
            return page[at : at + length]
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        local = local if local <= usable - 35 else least
        parts, missing = [page[at : at + local]], length - local
        following = int.from_bytes(page[at + local : at + local + 4], "big")
        while missing > 0:
            overflow = self._page(following) if following else b""
            if len(overflow) < usable:
                raise ValueError("the chain is broken")
            parts.append(overflow[4 : min(usable, 4 + missing)])
            missing -= len(parts[-1])
            following = int.from_bytes(overflow[:4], "big")
        return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where it ends."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    return value << 8 | data[at + 8], at + 9


def _values(record: bytes) -> list[Any]:
    header, at = _varint(record, 0)
    types = []
    while at < header:
        kind, at = _varint(record, at)
        types.append(kind)
    values: list[Any] = []
    at = header
    for kind in types:
        if kind in INTEGERS:
            size = INTEGERS[kind]
            value: Any = int.from_bytes(record[at : at + size], "big", signed=True)
        elif kind == 7:
            size = 8
            [value] = struct.unpack(">d", record[at : at + 8]) if len(record) >= at + 8 else [None]
        elif kind in (0, 8, 9):
            size, value = 0, {0: None, 8: 0, 9: 1}[kind]
        elif kind >= 12:
            size = (kind - 12) // 2
            value = record[at : at + size]
            value = value.decode("utf-8", "replace") if kind % 2 else value
        else:
            raise ValueError("a kind of value that is not used")
        values.append(value)
        at += size
    if at > len(record):
        raise ValueError("the record is too short")
    return values
