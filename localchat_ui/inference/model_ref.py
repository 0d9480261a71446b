"""What a model is everywhere above the engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localchat_ui.library.kind import Kind
from localchat_ui.library.model_file import ModelFile, displayable


@dataclass(frozen=True)
class ModelRef:
    """A model that can be named.

    `id` is what programs call it, `name` is for people. It runs in this process from its `path`, or on the server
    called `engine`, which knows it as `remote_id`. `details` tell it from others in one line. `error` is why it cannot
    answer, while that is so. `context_length` is in tokens, 0 where it is not known.
    """

    id: str
    name: str
    path: Path | None = None
    engine: str = ""
    remote_id: str = ""
    leaves_machine: bool = False
    details: str = ""
    error: str | None = None
    kind: Kind = Kind.CHAT
    context_length: int = 0
    file: ModelFile | None = None

    @classmethod
    def of_path(cls, path: Path) -> ModelRef:
        """A file of which no more is known."""
        return cls(displayable(path.stem), displayable(path.stem), path)

    @classmethod
    def of_file(cls, file: ModelFile, model_id: str = "") -> ModelRef:
        """A file of the library."""
        return cls(
            id=model_id or file.label or displayable(file.path.stem),
            name=file.name,
            path=file.path,
            details=file.details,
            error=file.error,
            kind=file.kind,
            context_length=file.n_ctx,
            file=file,
        )

    @property
    def is_local(self) -> bool:
        return not self.engine

    @property
    def is_starter(self) -> bool:
        return self.file is not None and self.file.is_starter

    @property
    def can_answer(self) -> bool:
        """Whether a program may ask it for something: replies, or embeddings."""
        return self.file.is_loadable if self.file else not self.error

    @property
    def refusal(self) -> str | None:
        """Why it cannot answer in a chat; None when it may."""
        return self.file.refusal if self.file else self.error

    def is_same(self, other: ModelRef | None) -> bool:
        """Whether these are one model, of which other things may be known by now."""
        return other is not None and (self.id, self.engine) == (other.id, other.engine)


def refs_of(files: Sequence[ModelFile], models_dir: Path) -> dict[ModelFile, ModelRef]:
    """Each file with the id that programs call it by: its name, or where it lies if an earlier one has that name."""
    refs: dict[ModelFile, ModelRef] = {}
    taken: set[str] = set()
    for file in files:
        model_id = file.label or displayable(file.path.stem)
        if model_id in taken:
            inside = file.path.is_relative_to(models_dir)
            path = file.path.relative_to(models_dir) if inside else file.path
            model_id = displayable(str(path.with_suffix("")))
        taken.add(model_id)
        refs[file] = ModelRef.of_file(file, model_id)
    return refs
