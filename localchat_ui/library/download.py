"""Downloads a model file from the Hugging Face hub, in a child process (`fetch.py`) that can be ended at any moment."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from localchat_ui.library.child import END_WITH_STDIN, ChildError, running
from localchat_ui.library.errors import ConnectionLostError, DownloadError
from localchat_ui.library.model_file import readable_size
from localchat_ui.text import N_, Text

FETCH = (sys.executable, "-m", "localchat_ui.library.fetch", END_WITH_STDIN)
# The child's own time-outs are shorter; this is for a resolver or a disk that hangs.
SECONDS_OF_SILENCE = 60.0
SPEED_WINDOW = 5.0
SHORTEST_WINDOW = 0.1

Stage = Literal["connecting", "downloading", "waiting", "verifying", "done"]


@dataclass(frozen=True)
class Report:
    """A line of the child: where it is, or with `error` why it gave up. `done` and `total` are bytes of the file.

    `may_pass`: the error is the network's, and another attempt may succeed.
    """

    stage: Stage = "connecting"
    done: int = 0
    total: int | None = None
    error: str | None = None
    may_pass: bool = False


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

    def __init__(
        self,
        source: str,
        filename: str,
        folder: Path,
        *,
        command: Sequence[str] = FETCH,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`source` is a repository, or what else the command fetches from. `environment` has a token for it."""
        self.path = folder / filename
        self._arguments = (source, filename, folder)
        self._command = command
        self._environment = environment
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
            async with running(self._command, *self._arguments, environment=self._environment) as child:
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
            raise (ConnectionLostError if report.may_pass else DownloadError)(report.error)
        if report.stage != "downloading" or self._last.stage != "downloading":
            self._samples.clear()
        if report.stage == "downloading":
            self._samples.append((time.monotonic(), report.done))
        self._last = report


def progress_text(progress: Progress) -> str:
    """`120 MB of 397 MB · 8.1 MB/s · 34 s left`, as far as it is known."""
    if progress.total is None:
        return Text("Connecting…")
    if progress.stage == "verifying":
        return Text("Verifying the download…")
    if progress.stage == "waiting":
        text = N_("{done} of {total} · connection lost, trying again…")
        return Text(text, done=readable_size(progress.done), total=readable_size(progress.total))
    parts = [Text("{done} of {total}", done=readable_size(progress.done), total=readable_size(progress.total))]
    if progress.speed:
        parts.append(Text("{size}/s", size=readable_size(progress.speed)))
    if progress.seconds_left is not None:
        parts.append(Text("{time} left", time=_duration(progress.seconds_left)))
    return Text.joined(" · ", parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return Text("{n} s", n=round(seconds))
    if seconds < 90 * 60:
        return Text("{n} min", n=round(seconds / 60))
    return Text("{n} h", n=format(seconds / 3600, ".1f"))
