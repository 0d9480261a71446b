"""A child process that opens GGUF files and says a line at a time: a hostile file may abort whoever opens it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

PROBE = (sys.executable, "-m", "localchat_ui.library.probe", "--end-with-stdin")
SECONDS_TO_START = 60.0


class ChildError(Exception):
    """The child did not even begin; the text says why."""


class Child:
    """A running probe. Its first line, which says that it is ready, has been read."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def line(self, seconds: float) -> bytes | None:
        """Its next line; empty at its end, None when it takes too long."""
        assert self._process.stdout
        try:
            return await asyncio.wait_for(self._process.stdout.readline(), seconds)
        except asyncio.TimeoutError:
            return None

    async def end(self) -> str:
        """How it ended: a signal's name, or an exit code."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._process.wait(), 1)
        if self._process.returncode is None:
            return "it does not answer"
        if self._process.returncode < 0:
            return signal.Signals(-self._process.returncode).name
        return f"exit code {self._process.returncode}"


@asynccontextmanager
async def running(probe: Sequence[str], *arguments: str | Path) -> AsyncIterator[Child]:
    """A child process, gone when the block ends, however it does. Raises ChildError when it does not start."""
    try:
        process = await asyncio.create_subprocess_exec(
            *probe, *(os.fspath(argument) for argument in arguments), stdin=PIPE, stdout=PIPE, stderr=DEVNULL
        )
    except OSError as error:
        raise ChildError(str(error)) from error
    try:
        child = Child(process)
        if await child.line(SECONDS_TO_START) != b"\n":
            raise ChildError(await child.end())
        yield child
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
