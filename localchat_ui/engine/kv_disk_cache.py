"""KV caches of conversations on disk, so that one of yesterday goes on without being read again."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

logger = logging.getLogger(__name__)

# What is read again in a moment is not worth a file.
LEAST_TOKENS = 256
PIECE = 2**20
SUFFIX = ".kv"


@dataclass(frozen=True)
class SavedSequence:
    """What a sequence held: see `sequences.KvSequence`. `state` is llama.cpp's own format."""

    tokens: list[int]
    n_canonical: int
    n_prompt: int
    state: npt.NDArray[np.uint8]


class KvDiskCache:
    """The files of one model in one folder, least recently used ones leave. Belongs to one thread; writes behind it."""

    def __init__(self, folder: Path, budget: int) -> None:
        """`budget` is in bytes, for all models whose folders stand beside this one."""
        self._folder = folder
        self._budget = budget
        self._tokens: dict[Path, npt.NDArray[np.int32]] = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="kv cache")
        for file in folder.glob(f"*{SUFFIX}"):
            with suppress(OSError, ValueError), file.open("rb") as stream:
                np.load(stream)
                self._tokens[file] = np.load(stream)

    def longest_prefix(self, prompt: Sequence[int]) -> int:
        """How many of the prompt's first tokens a file holds."""
        return self._best(prompt)[0]

    def read(self, prompt: Sequence[int]) -> SavedSequence | None:
        """The sequence that shares the longest beginning with the prompt; None when there is none that can be read."""
        n_shared, file = self._best(prompt)
        if not n_shared or file is None:
            return None
        try:
            with file.open("rb") as stream:
                n_canonical, n_prompt = (int(number) for number in np.load(stream))
                tokens, state = np.load(stream), np.load(stream)
            os.utime(file)
        except (OSError, ValueError, EOFError) as error:
            logger.warning("%s could not be read: %s", file.name, error)
            self._remove(file)
            return None
        return SavedSequence(tokens.tolist(), n_canonical, n_prompt, state)

    def write(self, saved: SavedSequence) -> None:
        """Keep a sequence, in place of those it continues."""
        if len(saved.tokens) < LEAST_TOKENS or len(saved.state) > self._budget:
            return
        tokens = np.array(saved.tokens, np.int32)
        file = self._folder / (hashlib.sha256(tokens.tobytes()).hexdigest()[:32] + SUFFIX)
        for other, held in list(self._tokens.items()):
            if other != file and len(held) <= len(tokens) and np.array_equal(held, tokens[: len(held)]):
                self._remove(other)
        self._tokens[file] = tokens
        self._writer.submit(self._write, file, tokens, saved)

    def close(self) -> None:
        """Wait for what is still being written."""
        self._writer.shutdown()

    def _best(self, prompt: Sequence[int]) -> tuple[int, Path | None]:
        wanted = np.array(prompt, np.int32)
        return max(((_n_shared(held, wanted), file) for file, held in self._tokens.items()), default=(0, None))

    def _write(self, file: Path, tokens: npt.NDArray[np.int32], saved: SavedSequence) -> None:
        partial = file.with_suffix(".part")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._make_room(len(saved.state) + tokens.nbytes)
            with partial.open("wb") as stream:
                for array in (np.array([saved.n_canonical, saved.n_prompt]), tokens, saved.state):
                    np.save(stream, array, allow_pickle=False)
            partial.replace(file)
        except OSError as error:
            # It is a cache: without it the conversation is read again.
            logger.warning("a KV cache could not be written: %s", error)
            partial.unlink(missing_ok=True)

    def _make_room(self, n_bytes: int) -> None:
        files = [(file, file.stat()) for file in self._folder.parent.glob(f"*/*{SUFFIX}")]
        excess = sum(status.st_size for _, status in files) + n_bytes - self._budget
        for file, status in sorted(files, key=lambda each: each[1].st_mtime):
            if excess <= 0:
                break
            file.unlink(missing_ok=True)
            excess -= status.st_size

    def _remove(self, file: Path) -> None:
        del self._tokens[file]
        # Behind what may still have to be written.
        self._writer.submit(file.unlink, missing_ok=True)


def fingerprint(path: Path, *settings: object) -> str:
    """Tells models and settings apart whose caches cannot be exchanged: a hash of the file's start, end and size."""
    digest = hashlib.sha256(repr(settings).encode())
    with path.open("rb") as file:
        n_bytes = file.seek(0, os.SEEK_END)
        digest.update(str(n_bytes).encode())
        for start in (0, max(0, n_bytes - PIECE)):
            file.seek(start)
            digest.update(file.read(PIECE))
    return digest.hexdigest()[:32]


def _n_shared(held: npt.NDArray[np.int32], wanted: npt.NDArray[np.int32]) -> int:
    end = min(len(held), len(wanted))
    different = np.flatnonzero(held[:end] != wanted[:end])
    return int(different[0]) if len(different) else end
