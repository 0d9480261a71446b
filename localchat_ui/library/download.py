"""Downloads a model file from the Hugging Face hub, in a child process (`fetch.py`) that can be ended at any moment."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from localchat_ui.library.child import END_WITH_STDIN, ChildError, running

FETCH = (sys.executable, "-m", "localchat_ui.library.fetch", END_WITH_STDIN)
# The child's own time-outs are shorter; this is for a resolver or a disk that hangs.
SECONDS_OF_SILENCE = 60.0
SPEED_WINDOW = 5.0
SHORTEST_WINDOW = 0.1

Stage = Literal["connecting", "downloading", "waiting", "verifying", "done"]


class DownloadError(Exception):
    """The file did not arrive; the text says why and what to do."""


@dataclass(frozen=True)
class Report:
    """A line of the child: where it is, or with `error` why it gave up. `done` and `total` are bytes of the file."""

    stage: Stage = "connecting"
    done: int = 0
    total: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Progress:
    """A moment of a download. `done` and `total` are bytes, counting an earlier attempt's too; `speed` is bytes/s."""

    stage: Stage = "connecting"
    done: int = 0
    total: int | None = None
    speed: float = 0.0

    @property
    def seconds_left(self) -> float | None:
        """None while it cannot be told."""
        if self.total is None or self.stage != "downloading" or self.speed <= 0:
            return None
        return (self.total - self.done) / self.speed


class Download:
    """One file of one repository on its way into `models_dir`; an object is good for one `run`.

    The hub is HF_ENDPOINT or huggingface.co, the token HF_TOKEN or that of `hf auth login`.
    """

    def __init__(self, repo_id: str, filename: str, models_dir: Path, *, command: Sequence[str] = FETCH) -> None:
        self.path = models_dir / filename
        self._arguments = (repo_id, filename, models_dir)
        self._command = command
        self._last = Report()
        self._samples: deque[tuple[float, int]] = deque()

    @property
    def progress(self) -> Progress:
        # Measured up to now, so that a download that stalls slows down instead of freezing at its last speed.
        now = time.monotonic()
        while len(self._samples) > 1 and now - self._samples[0][0] > SPEED_WINDOW:
            self._samples.popleft()
        since, before = self._samples[0] if self._samples else (now, 0)
        is_measurable = self._last.stage == "downloading" and now - since >= SHORTEST_WINDOW
        speed = (self._last.done - before) / (now - since) if is_measurable else 0.0
        return Progress(self._last.stage, self._last.done, self._last.total, speed)

    async def run(self) -> Path:
        """Download and verify; returns the file's path. Raises DownloadError.

        Cancelling the task ends the child process. What has arrived is kept, and the next Download of the same file
        goes on from there.
        """
        try:
            async with running(self._command, *self._arguments) as child:
                while line := await child.line(SECONDS_OF_SILENCE):
                    self._take(Report(**json.loads(line)))
                    if self._last.stage == "done":
                        return self.path
                trouble = "it hangs" if line is None else await child.end()
        except ChildError as error:
            trouble = str(error)
        except (TypeError, ValueError):
            trouble = "it said something strange"
        raise DownloadError(
            f"The download of {self.path.name} stopped ({trouble}). Start it again to go on from there."
        )

    def _take(self, report: Report) -> None:
        if report.error:
            raise DownloadError(report.error)
        if report.stage != "downloading" or self._last.stage != "downloading":
            self._samples.clear()
        if report.stage == "downloading":
            self._samples.append((time.monotonic(), report.done))
        self._last = report
