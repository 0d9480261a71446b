"""A child process that says a line at a time, and its end of the pipe.

A hostile file may abort whoever opens it, a download may have to end while it waits: both are done by children.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

END_WITH_STDIN = "--end-with-stdin"
SECONDS_TO_START = 60.0


class ChildError(Exception):
    """The child did not even begin; the text says why."""


class Child:
    """A running child. Its first line, which says that it is ready, has been read."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def line(self, seconds: float) -> bytes | None:
        """Its next line; empty at its end, None when it takes too long."""
        assert self._process.stdout
        # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the line.
        reading = asyncio.ensure_future(self._process.stdout.readline())
        try:
            done, _ = await asyncio.wait([reading], timeout=seconds)
        finally:
            reading.cancel()
        return reading.result() if done else None

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
async def running(
    command: Sequence[str], *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    """A child process, gone when the block ends, however it does. Raises ChildError when it does not start.

    `environment` is for what nobody may read in a list of processes.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            *(os.fspath(argument) for argument in arguments),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={**os.environ, **environment} if environment else None,
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
        await _ended(process)


async def _ended(process: Process) -> None:
    """Wait for a child that was killed, even if whoever waits is cancelled once more: nothing may stay behind."""
    waiting = asyncio.ensure_future(process.wait())
    cancelled: asyncio.CancelledError | None = None
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled


@contextmanager
def speaking(arguments: Sequence[str]) -> Iterator[tuple[Callable[[str], None], list[str]]]:
    """In the child: says a line to the parent, and the arguments that are the child's own. The first line is said.

    With --end-with-stdin as first argument the child ends when its standard input does: it cannot outlive the app.
    """
    own = list(arguments)
    if own[:1] == [END_WITH_STDIN]:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
        del own[0]
    # Libraries may print; only our lines may reach the parent.
    with os.fdopen(os.dup(1), "w", encoding="ascii") as lines:
        os.dup2(2, 1)

        def say(line: str) -> None:
            lines.write(line + "\n")
            lines.flush()

        say("")
        yield say, own


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)
