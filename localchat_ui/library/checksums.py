"""The sha256 of model files, computed when somebody asks and kept for as long as the file is the same."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from localchat_ui.atomic_file import write_atomically
from localchat_ui.library.errors import LibraryError
from localchat_ui.library.scan import parts_of
from localchat_ui.text import Text

logger = logging.getLogger(__name__)

BLOCK = 4 << 20
_KEPT = TypeAdapter(dict[str, str])


class Checksums:
    """A file counts as the same while its path, size, time of change and inode are. One is read at a time."""

    def __init__(self, cache_file: Path) -> None:
        self._cache_file = cache_file
        self._kept: dict[str, str] | None = None
        self._reading = asyncio.Lock()

    async def known(self, path: Path) -> dict[str, str]:
        """Those of a model's files by their names, as far as they were computed before."""
        return await asyncio.to_thread(self._known, path)

    async def compute(self, path: Path, on_share: Callable[[float], None]) -> dict[str, str]:
        """Of all files of a model, by their names; `on_share` is told on the reading thread, from 0 to 1.

        Raises LibraryError. Ends at the next block when it is cancelled.
        """
        async with self._reading:
            stop = False

            def report(share: float) -> bool:
                on_share(share)
                return not stop

            try:
                return await asyncio.to_thread(self._compute, path, report)
            except asyncio.CancelledError:
                stop = True
                raise
            except OSError as error:
                raise LibraryError(
                    Text("{name} cannot be read: {error}.", name=path.name, error=error.strerror or str(error))
                ) from error

    def _known(self, path: Path) -> dict[str, str]:
        if self._kept is None:
            self._kept = _load(self._cache_file)
        known = {}
        for part in parts_of(path):
            try:
                checksum = self._kept.get(_key(part))
            except OSError:
                continue
            if checksum:
                known[part.name] = checksum
        return known

    def _compute(self, path: Path, report: Callable[[float], bool]) -> dict[str, str]:
        parts, known = parts_of(path), self._known(path)
        assert self._kept is not None
        total, done = sum(part.stat().st_size for part in parts) or 1, 0
        for part in parts:
            key, digest = _key(part), hashlib.sha256()
            with part.open("rb") as file:
                while part.name not in known and (block := file.read(BLOCK)):
                    digest.update(block)
                    done += len(block)
                    if not report(done / total):
                        return known
            # It may have been written to meanwhile.
            if part.name not in known and key == _key(part):
                known[part.name] = self._kept[key] = digest.hexdigest()
        self._save()
        return known

    def _save(self) -> None:
        try:
            write_atomically(self._cache_file, _KEPT.dump_json(self._kept or {}))
        except OSError as error:
            logger.warning("Checksums are not kept in %s: %s", self._cache_file, error)


def _load(cache_file: Path) -> dict[str, str]:
    try:
        return _KEPT.validate_json(cache_file.read_bytes())
    except (OSError, ValidationError):
        return {}


def _key(path: Path) -> str:
    status = path.stat()
    return f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
