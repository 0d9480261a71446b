"""Reads what GGUF files say of themselves, in a child process: a hostile file may abort whoever opens it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

PROBE = (sys.executable, "-m", "localchat_ui.library.probe", "--end-with-stdin")
FILES_PER_CHILD = 100
SECONDS_TO_START = 60.0
SECONDS_PER_FILE = 20.0


@dataclass(frozen=True)
class Metadata:
    """What a file says of itself, or why it cannot be loaded. Counts are exact; the context length is in tokens."""

    name: str = ""
    parameters: int | None = None
    quantisation: str = ""
    context_length: int = 0
    has_chat_template: bool = False
    error: str | None = None


async def read_metadata(paths: Sequence[Path], probe: Sequence[str] = PROBE) -> dict[Path, Metadata]:
    """Metadata of every file, read by one child process. The child is gone when this returns, raises or is cancelled.

    A file on which the child dies or hangs gets an error, and another child goes on with the rest.
    """
    read: dict[Path, Metadata] = {}
    while rest := [path for path in paths if path not in read][:FILES_PER_CHILD]:
        try:
            child = await asyncio.create_subprocess_exec(
                *probe, *map(os.fspath, rest), stdin=PIPE, stdout=PIPE, stderr=DEVNULL
            )
        except OSError as error:
            return read | _all_failed(rest, str(error))
        try:
            await _listen(child, rest, read)
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    return read


async def _listen(child: Process, paths: Sequence[Path], read: dict[Path, Metadata]) -> None:
    """Take the child's lines, until it has said all or something about it is wrong."""
    if await _line(child, SECONDS_TO_START) != b"\n":
        read.update(_all_failed(paths, await _end(child)))
        return
    for path in paths:
        line = await _line(child, SECONDS_PER_FILE)
        try:
            read[path] = _FROM_JSON.validate_json(line or b"")
        except ValidationError:
            trouble = "hung" if line is None else f"crashed ({await _end(child)})"
            read[path] = Metadata(error=f"{path.name} could not be read: llama.cpp {trouble} on it.")
            return


_FROM_JSON = TypeAdapter(Metadata)


async def _line(child: Process, seconds: float) -> bytes | None:
    """The child's next line; empty at its end, None when it takes too long."""
    assert child.stdout
    try:
        return await asyncio.wait_for(child.stdout.readline(), seconds)
    except asyncio.TimeoutError:
        return None


async def _end(child: Process) -> str:
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(child.wait(), 1)
    if child.returncode is None:
        return "it does not answer"
    if child.returncode < 0:
        return signal.Signals(-child.returncode).name
    return f"exit code {child.returncode}"


def _all_failed(paths: Sequence[Path], reason: str) -> dict[Path, Metadata]:
    command = "python -m localchat_ui.library.probe FILE"
    return {path: Metadata(error=f"{path.name} could not be read: {reason}. `{command}` shows why.") for path in paths}
