"""A file that grows beside its final name and takes it only when it is complete and correct."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from localchat_ui.library.errors import DownloadError
from localchat_ui.library.model_file import readable_size
from localchat_ui.text import Text

if sys.platform != "win32":
    import fcntl

HASH_BLOCK = 1 << 20


class PartialFile:
    """The part of `path` that is on disk already, of the version that `etag` names and that has `size` bytes.

    The etag of a large file on the hub is its sha256; that of a small one is git's, and only the size is checked then.
    """

    def __init__(self, path: Path, size: int, etag: str) -> None:
        self.path = path
        self.size = size
        self.sha256 = etag if re.fullmatch("[0-9a-f]{64}", etag) else None
        version = hashlib.sha256(etag.encode()).hexdigest()[:12]
        self.part = path.with_name(f"{path.name}.{version}.part")

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The part, to be appended to, by one process at a time. Raises DownloadError when there is no room for it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._remove_older_versions()
        self._check_room()
        with self.part.open("ab") as file:
            self._lock(file)
            yield file
            file.flush()
            # The rename to come must not survive a power failure that the bytes do not.
            os.fsync(file.fileno())

    def finish(self, on_block: Callable[[int], None]) -> None:
        """Verify the part and give it its name. A wrong one is removed; raises DownloadError then."""
        if problem := self._problem(self.part, on_block):
            raise self.damaged(problem)
        self.part.replace(self.path)

    def damaged(self, problem: str) -> DownloadError:
        """Remove the part; the error to raise about it."""
        self.part.unlink()
        return DownloadError(
            f"{self.path.name} arrived damaged ({problem}) and was removed. Download it again; if that does not"
            " help, the file on the hub or a proxy in between is broken."
        )

    def accept_existing(self, on_block: Callable[[int], None]) -> bool:
        """Whether the complete file is there already. Raises DownloadError when another file has its name."""
        if not self.path.exists():
            return False
        if self._problem(self.path, on_block):
            raise DownloadError(
                Text(
                    "{file} exists and is another file. Rename or delete it, then download again.", file=str(self.path)
                )
            )
        return True

    def _remove_older_versions(self) -> None:
        older = re.compile(re.escape(self.path.name) + r"\.[0-9a-f]{12}\.part")
        for file in self.path.parent.iterdir():
            if file != self.part and older.fullmatch(file.name):
                file.unlink()

    def _check_room(self) -> None:
        missing = self.size - (self.part.stat().st_size if self.part.exists() else 0)
        free = shutil.disk_usage(self.path.parent).free
        if missing > free:
            raise DownloadError(
                f"The disk is too full: {self.path.name} needs {readable_size(missing)}, {self.path.parent} has"
                f" {readable_size(free)} left. Make room, or set MODELS_DIR to another disk."
            )

    def _lock(self, file: BinaryIO) -> None:
        # The lock goes with the process, however it ends. On Windows the checksum alone tells of a second writer.
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DownloadError(f"{self.path.name} is being downloaded already.") from None

    def _problem(self, path: Path, on_block: Callable[[int], None]) -> str:
        """How a file differs from what the hub says of it; empty when it does not."""
        size = path.stat().st_size
        if size != self.size:
            return f"{size} bytes instead of {self.size}"
        if self.sha256 and self.sha256 != _sha256(path, on_block):
            return "wrong checksum"
        return ""


def _sha256(path: Path, on_block: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK):
            digest.update(block)
            on_block(file.tell())
    return digest.hexdigest()


def explain_disk_error(error: OSError, path: Path) -> str:
    """What the disk's error means for who wants to have the file at `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Text(
            "The disk is full: {folder} has no room for the rest of {name}. Make room and start again.",
            folder=str(path.parent),
            name=path.name,
        )
    if error.errno == errno.EFBIG:
        # FAT32 ends at 4 GB; a limit of the shell looks the same.
        return Text(
            "{folder} takes no file as large as {name}. Set MODELS_DIR to a disk that does.",
            folder=str(path.parent),
            name=path.name,
        )
    return Text(
        "{folder} cannot be written to: {error}. Correct that, or set MODELS_DIR elsewhere.",
        folder=str(path.parent),
        error=error.strerror or str(error),
    )
