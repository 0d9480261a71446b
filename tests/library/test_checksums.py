"""Checksums of files, and when they are computed anew."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from localchat_ui.library import checksums as module
from localchat_ui.library.checksums import Checksums
from localchat_ui.library.errors import LibraryError
from localchat_ui.library.page_cache import is_cached


async def test_it_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "a-00001-of-00002.gguf"
    other = tmp_path / "a-00002-of-00002.gguf"
    file.write_bytes(b"one")
    other.write_bytes(b"two")
    shares: list[float] = []
    checksums = Checksums(tmp_path / "data" / "checksums.json")
    assert await checksums.known(file) == {}
    found = await checksums.compute(file, shares.append)
    assert found == {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in (file, other)}
    assert shares == [0.5, 1.0]

    again = Checksums(tmp_path / "data" / "checksums.json")
    assert await again.known(file) == found
    new = tmp_path / "new"
    new.write_bytes(b"One")
    os.utime(new, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    new.replace(file)
    assert await again.known(file) == {other.name: found[other.name]}
    file.unlink()
    other.unlink()
    assert await again.known(file) == {}
    file.mkdir()
    with pytest.raises(LibraryError, match="cannot be read"):
        await again.compute(file, shares.append)


async def test_whoever_waits_no_longer_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 1)
    file = tmp_path / "a.gguf"
    file.write_bytes(bytes(3_000_000))
    shares: list[float] = []
    checksums = Checksums(tmp_path / "checksums.json")
    work = asyncio.create_task(checksums.compute(file, shares.append))
    await asyncio.sleep(0.05)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await asyncio.sleep(0.05)
    read = len(shares)
    await asyncio.sleep(0.05)
    assert 0 < len(shares) == read < 3_000_000
    assert await checksums.known(file) == {}


def test_a_file_that_was_just_read_is_cached_and_one_that_is_not_there_is_none(tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(bytes(1_000_000))
    assert is_cached(file)
    assert not is_cached(tmp_path / "b.gguf")
    (tmp_path / "empty.gguf").touch()
    assert not is_cached(tmp_path / "empty.gguf")
