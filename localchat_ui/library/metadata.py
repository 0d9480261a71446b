"""What GGUF files say of themselves, and whether they load: read in a child process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from localchat_ui.library.child import END_WITH_STDIN, Child, ChildError, running
from localchat_ui.library.estimate import UNKNOWN, Shape
from localchat_ui.library.kind import Kind

PROBE = (sys.executable, "-m", "localchat_ui.library.probe", END_WITH_STDIN)
FILES_PER_CHILD = 100
SECONDS_PER_FILE = 20.0
# Between two signs of progress of a load; a slow disk may need minutes for the whole.
SECONDS_WITHOUT_PROGRESS = 120.0


@dataclass(frozen=True)
class Metadata:
    """What a file says of itself, or why it cannot be loaded. Counts are exact; the context length is in tokens.

    `abilities` are in words for people, `sampling` is what its maker recommends, as fields of SamplingOptions. `loads`
    is true once the file was loaded for a trial.
    """

    name: str = ""
    kind: Kind = Kind.CHAT
    parameters: int | None = None
    quantisation: str = ""
    context_length: int = 0
    error: str | None = None
    shape: Shape = UNKNOWN
    loads: bool = False
    architecture: str = ""
    licence: str = ""
    abilities: tuple[str, ...] = ()
    sampling: tuple[tuple[str, float], ...] = ()


async def read_metadata(paths: Sequence[Path], probe: Sequence[str] = PROBE) -> dict[Path, Metadata]:
    """Metadata of every file, read by one child process. The child is gone when this returns, raises or is cancelled.

    A file on which the child dies or hangs gets an error, and another child goes on with the rest.
    """
    read: dict[Path, Metadata] = {}
    while rest := [path for path in paths if path not in read][:FILES_PER_CHILD]:
        try:
            async with running(probe, *rest) as child:
                await _listen(child, rest, read)
        except ChildError as error:
            read |= _all_failed(rest, str(error))
    return read


async def try_load(path: Path, on_share: Callable[[float], None], probe: Sequence[str] = PROBE) -> str | None:
    """Load a file in a child process and let it compute a token there: None when that works, else why it does not.

    `on_share` gets shares of 1 meanwhile.
    """
    try:
        async with running(probe, "--load", path) as child:
            while line := await child.line(SECONDS_WITHOUT_PROGRESS):
                try:
                    on_share(float(line))
                except ValueError:
                    return _FROM_JSON.validate_json(line).error
            trouble = "hung" if line is None else f"crashed ({await child.end()})"
    except ChildError as error:
        trouble = str(error)
    except ValidationError:
        trouble = "said something strange"
    return f"{path.name} could not be loaded: llama.cpp {trouble} when it was tried in a process of its own."


async def _listen(child: Child, paths: Sequence[Path], read: dict[Path, Metadata]) -> None:
    """Take the child's lines, until it has said all or something about it is wrong."""
    for path in paths:
        line = await child.line(SECONDS_PER_FILE)
        try:
            read[path] = _FROM_JSON.validate_json(line or b"")
        except ValidationError:
            trouble = "hung" if line is None else f"crashed ({await child.end()})"
            read[path] = Metadata(error=f"{path.name} could not be read: llama.cpp {trouble} on it.")
            return


_FROM_JSON = TypeAdapter(Metadata)


def _all_failed(paths: Sequence[Path], reason: str) -> dict[Path, Metadata]:
    command = "python -m localchat_ui.library.probe FILE"
    return {path: Metadata(error=f"{path.name} could not be read: {reason}. `{command}` shows why.") for path in paths}
