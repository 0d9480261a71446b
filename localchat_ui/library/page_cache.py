"""Which files the system holds in memory anyway: they load without the disk."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress
from pathlib import Path

# Of its pages; the rest is read in passing.
MOST = 0.9


def is_cached(path: Path) -> bool:
    """Whether nearly all of a file is in the system's page cache; False where the system does not tell."""
    with suppress(OSError, ValueError, AttributeError, TypeError), path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        try:
            return _share(content) >= MOST
        finally:
            content.close()
    return False


def _share(content: mmap.mmap) -> float:
    n_pages = -(-len(content) // mmap.PAGESIZE)
    pages = (ctypes.c_ubyte * n_pages)()
    first = ctypes.c_char.from_buffer(content)
    try:
        if ctypes.CDLL(None, use_errno=True).mincore(ctypes.byref(first), ctypes.c_size_t(len(content)), pages) != 0:
            return 0.0
    finally:
        del first
    return bytes(pages).count(1) / n_pages
