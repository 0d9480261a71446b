"""The user's GGUF files: finds them, reads their metadata once, remembers what it read."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from localchat_ui.atomic_file import write_atomically
from localchat_ui.library.errors import RemovalError
from localchat_ui.library.metadata import PROBE, Metadata, read_metadata, try_load
from localchat_ui.library.model_file import ModelFile, displayable
from localchat_ui.library.other_programs import others_own
from localchat_ui.library.removal import remove_files
from localchat_ui.library.scan import FoundFile, find_files
from localchat_ui.settings import Settings
from localchat_ui.text import Text

logger = logging.getLogger(__name__)


class Catalog:
    """The models of one folder, of other programs, and the starter model. Belongs to one event loop."""

    def __init__(
        self,
        models_dir: Path,
        cache_file: Path,
        *,
        n_ctx: int = 0,
        programs: Sequence[str] = (),
        probe: Sequence[str] = PROBE,
    ) -> None:
        """`n_ctx` is the context that models are run with, in tokens; 0 is what each was trained for.

        `programs` are those whose models are found as well.
        """
        self.models_dir = models_dir
        self.models: list[ModelFile] = []
        self._cache_file = cache_file
        self._n_ctx = n_ctx
        self._programs = programs
        self._probe = probe
        self._others: list[Path] = []
        self._files: dict[Path, FoundFile] = {}
        self._known: dict[FoundFile, Metadata] | None = None
        self._refreshing = asyncio.Lock()

    async def refresh(self) -> list[ModelFile]:
        """Look again. Costs a walk through the folder; only new and changed files are opened, in a child process."""
        async with self._refreshing:
            found = await asyncio.to_thread(find_files, self.models_dir, self._others, self._programs)
            if self._known is None:
                self._known = await asyncio.to_thread(_load, self._cache_file)
            if new := [file for file in found if file not in self._known]:
                read = await read_metadata([file.path for file in new], self._probe)
                known = self._known | {file: read[file.path] for file in new}
                self._known = {file: known[file] for file in found}
                await asyncio.to_thread(_save, self._cache_file, self._known)
            self._files = {file.path: file for file in found}
            self.models = [self._model_file(file, self._known[file]) for file in found]
            return self.models

    async def try_load(self, model: ModelFile, on_share: Callable[[float], None]) -> str | None:
        """Load a file for the first time where a crash does no harm: why it cannot be loaded, or None when it can.

        One that was tried before and has not changed since, or came with the starter package, is taken at its word.
        """
        if model.is_starter:
            return None
        # It may be another file by now than the one that was listed.
        await self.refresh()
        file = self._files.get(model.path)
        if file is None or self._known is None:
            return Text("{name} is not there any more.", name=model.file_name)
        known = self._known[file]
        if known.loads or known.error:
            return known.error
        error = await try_load(model.path, on_share, self._probe)
        error = _with_label(error, file) if error else None
        if error is None and file in self._known:
            self._known[file] = replace(known, loads=True)
            await asyncio.to_thread(_save, self._cache_file, dict(self._known))
        return error

    def owns(self, model: ModelFile) -> bool:
        """Whether it lies in the folder of models, and in none of another program, and so may be removed."""
        if model.is_starter or model.origin or not _normal(model.path).is_relative_to(_normal(self.models_dir)):
            return False
        return not others_own(model.path)

    async def remove(self, model: ModelFile) -> int:
        """Remove a model's files; returns the bytes that are free now. Raises RemovalError."""
        if not self.owns(model):
            if model.is_starter:
                raise RemovalError(Text("{name} comes with the program, and is removed with it.", name=model.name))
            raise RemovalError(Text("{name} belongs to another program, and is removed with it.", name=model.name))
        freed = await asyncio.to_thread(remove_files, model.path)
        await self.refresh()
        return freed

    def find(self, name_or_path: str | Path, *, outside: bool = False) -> ModelFile | None:
        """A model that the last refresh listed, by its path (also relative to the folder), file name or stem.

        `outside` takes any other file that exists as well, and the next refresh lists and describes it. That is for the
        person who starts the app: a name that comes over the network must not choose among all files of the machine.
        """
        wanted = Path(name_or_path)
        paths = {_normal(self.models_dir / wanted), _normal(wanted)}
        for model in self.models:
            if _normal(model.path) in paths:
                return model
        for model in self.models:
            if str(name_or_path) in (model.label or model.path.name, model.label or model.path.stem):
                return model
        return self._add(wanted) if outside else None

    def _add(self, wanted: Path) -> ModelFile | None:
        # RuntimeError and ValueError: a home folder of nobody, a name with a NUL.
        with suppress(OSError, RuntimeError, ValueError):
            path = _normal(wanted.expanduser())
            if path.is_file():
                model = self._model_file(FoundFile(path, path.stat().st_size, 0), Metadata())
                self._others.append(path)
                self.models = [*self.models, model]
                return model
        return None

    def _model_file(self, file: FoundFile, metadata: Metadata) -> ModelFile:
        return ModelFile(
            path=file.path,
            name=displayable(file.label or _name(file.stem, metadata.quantisation)),
            parameters=metadata.parameters,
            quantisation=metadata.quantisation,
            size_bytes=file.size,
            context_length=metadata.context_length,
            error=displayable(_with_label(metadata.error, file)) if metadata.error else None,
            is_starter=file.is_starter,
            shape=metadata.shape,
            kind=metadata.kind,
            architecture=displayable(metadata.architecture),
            licence=displayable(metadata.licence),
            abilities=metadata.abilities,
            origin=file.origin,
            label=displayable(file.label),
            sampling=metadata.sampling,
            n_ctx=min(self._n_ctx or metadata.context_length, metadata.context_length or self._n_ctx),
        )


def new_catalog(settings: Settings) -> Catalog:
    """Of the models that the settings name."""
    cache_file = settings.data_dir / "models.json"
    return Catalog(settings.models_dir, cache_file, n_ctx=settings.n_ctx, programs=settings.other_programs)


def _normal(path: Path) -> Path:
    # Not resolved: the names that people see are those of links, not of what they point to.
    return Path(os.path.normpath(path.absolute()))


def _with_label(error: str, file: FoundFile) -> str:
    return error.replace(file.path.name, file.label) if file.label else error


def _name(stem: str, quantisation: str) -> str:
    """The file's name, by which people know a model; what a file calls itself is often a leftover of its training."""
    plain = re.sub(rf"[-._]{re.escape(quantisation)}$", "", stem, flags=re.IGNORECASE) if quantisation else stem
    return plain or stem


@dataclass(frozen=True)
class _Entry:
    path: str
    size: int
    mtime_ns: int
    inodes: tuple[int, ...]
    metadata: Metadata


@dataclass(frozen=True)
class _Cache:
    entries: list[_Entry]
    version: int = 5


_CACHE = TypeAdapter(_Cache)


def _load(cache_file: Path) -> dict[FoundFile, Metadata]:
    try:
        cache = _CACHE.validate_json(cache_file.read_bytes())
    except (OSError, ValidationError):
        return {}
    if cache.version != _Cache.version:
        return {}
    return {_found(entry): entry.metadata for entry in cache.entries}


def _found(entry: _Entry) -> FoundFile:
    return FoundFile(Path(entry.path), entry.size, entry.mtime_ns, entry.inodes)


def _save(cache_file: Path, known: dict[FoundFile, Metadata]) -> None:
    # Errors are remembered only while the app runs: a newer llama.cpp may read what this one cannot.
    entries = [
        _Entry(str(file.path), file.size, file.mtime_ns, file.inodes, metadata)
        for file, metadata in known.items()
        if metadata.error is None
    ]
    try:
        write_atomically(cache_file, _CACHE.dump_json(_Cache(entries)))
    except OSError as error:
        logger.warning("What is known of the models is not saved to %s: %s", cache_file, error)
