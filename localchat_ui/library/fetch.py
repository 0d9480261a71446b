"""`python -m localchat_ui.library.fetch REPOSITORY FILE FOLDER` downloads from the Hugging Face hub, and may be killed.

Writes an empty line when it is ready, then a line of JSON, a `Report`, for each sign of progress.
Until it is complete and verified the file grows beside its final name as `….part`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, TypeVar

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from huggingface_hub import constants, get_hf_file_metadata, get_session, hf_hub_url, hf_raise_for_status
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from localchat_ui.library.child import speaking
from localchat_ui.library.download import Report, Stage
from localchat_ui.library.errors import ConnectionLostError, DownloadError
from localchat_ui.library.hub_errors import explain_hub_error, host_of, no_connection
from localchat_ui.library.model_file import readable_size
from localchat_ui.library.partial import PartialFile, explain_disk_error

TIMEOUT = 10.0
REPORT_EVERY = 0.1
# Seconds between attempts in vain to take up a connection that broke in mid-file.
PAUSES = (1, 2, 4, 8, 15, 30)

T = TypeVar("T")


def main(arguments: Sequence[str]) -> None:
    with speaking(arguments) as (say, [repo_id, filename, folder]):

        def report(report: Report) -> None:
            say(json.dumps(dataclasses.asdict(report)))

        run(Fetch(repo_id, filename, Path(folder), report, constants.ENDPOINT), report)


def run(fetch: Fetch, report: Callable[[Report], None]) -> None:
    try:
        fetch.run()
    except DownloadError as error:
        report(Report(error=str(error), may_pass=isinstance(error, ConnectionLostError)))


class Fetch:
    """One file on its way into a folder."""

    def __init__(
        self, repo_id: str, filename: str, folder: Path, on_report: Callable[[Report], None], endpoint: str
    ) -> None:
        self._repo_id = repo_id
        self._filename = filename
        self._path = folder / filename
        self._endpoint = endpoint
        self._on_report = on_report
        self._last = Report()
        self._reported_at = 0.0

    def run(self) -> None:
        """Download and verify. Raises DownloadError."""
        _refuse_outside(self._filename)
        self._report("connecting")
        try:
            [remote] = list(self._network(self._metadata()))
            partial = PartialFile(self._path, remote.size, remote.etag)
            if not partial.accept_existing(lambda done: self._report("verifying", done, remote.size)):
                with partial.open() as file:
                    self._receive(remote, partial, file)
                partial.finish(lambda done: self._report("verifying", done, remote.size))
        except OSError as error:
            raise DownloadError(explain_disk_error(error, self._path)) from error
        self._report("done", remote.size, remote.size)

    def _metadata(self) -> Iterator[RemoteFile]:
        url = hf_hub_url(self._repo_id, self._filename, endpoint=self._endpoint)
        found = get_hf_file_metadata(url, timeout=TIMEOUT, endpoint=self._endpoint)
        if found.commit_hash is None or found.etag is None or found.size is None:
            raise DownloadError(
                f"{host_of(self._endpoint)} does not answer like a model hub. A login page of your network or a proxy"
                " may stand in between, or HF_ENDPOINT is wrong."
            )
        # A commit, not `main`, so that the bytes belong to this checksum even when the file changes meanwhile.
        url = hf_hub_url(self._repo_id, self._filename, revision=found.commit_hash, endpoint=self._endpoint)
        yield RemoteFile(url, found.size, found.etag)

    def _receive(self, remote: RemoteFile, partial: PartialFile, file: BinaryIO) -> None:
        """Take up a connection that breaks, until a number of attempts in a row have brought nothing."""
        pauses = iter(PAUSES)
        while (start := file.tell()) < remote.size:
            self._report("downloading", start, remote.size)
            try:
                for piece in self._network(self._body(remote, partial, start)):
                    file.write(piece)
                    file.flush()
                    self._report("downloading", file.tell(), remote.size)
            except ConnectionLostError:
                if file.tell() > start:
                    pauses = iter(PAUSES)
                if not (pause := next(pauses, None)):
                    raise
                self._report("waiting", file.tell(), remote.size)
                time.sleep(pause)

    def _body(self, remote: RemoteFile, partial: PartialFile, start: int) -> Iterator[bytes]:
        """What one connection brings of the bytes from `start` on, and little more than the file shall have."""
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-"}
        with self._get(remote, headers) as response:
            if response.status_code == 416:
                raise partial.damaged(f"no more than {start} bytes instead of {remote.size}")
            # A server that ignores the range sends once more what we have.
            at = start if response.status_code == 206 else 0
            for piece in response.iter_bytes():
                yield piece[max(0, start - at) :]
                at += len(piece)
                if at > remote.size:
                    return
        if at < remote.size:
            raise ConnectionLostError(self._unreachable("it ended too early"))

    @contextmanager
    def _get(self, remote: RemoteFile, headers: dict[str, str]) -> Iterator[Response]:
        """An answer with a body, or 416."""
        headers = build_hf_headers() | headers
        with get_session().stream("GET", remote.url, headers=headers, timeout=TIMEOUT) as response:
            if response.status_code != 416:
                hf_raise_for_status(response)
            yield response

    def _network(self, source: Iterator[T]) -> Iterator[T]:
        """What the network gives, its errors in plain words. An OSError that is raised elsewhere is the disk's."""
        try:
            yield from source
        except DownloadError:
            raise
        except Exception as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> DownloadError:
        explained = explain_hub_error(error, self._endpoint, self._repo_id, self._filename)
        if isinstance(explained, ConnectionLostError):
            return ConnectionLostError(f"{explained}{self._kept()}")
        return explained

    def _unreachable(self, reason: str) -> str:
        return f"{no_connection(self._endpoint, reason)}{self._kept()}"

    def _kept(self) -> str:
        if not self._last.done or self._last.total is None:
            return ""
        done, total = readable_size(self._last.done), readable_size(self._last.total)
        return f" {done} of {total} are kept; it goes on from there."

    def _report(self, stage: Stage, done: int = 0, total: int | None = None) -> None:
        report = Report(stage, done, total)
        now = time.monotonic()
        if stage != self._last.stage or now - self._reported_at >= REPORT_EVERY:
            self._reported_at = now
            self._on_report(report)
        self._last = report


@dataclass(frozen=True)
class RemoteFile:
    url: str
    size: int
    etag: str


class Response(Protocol):
    """As much as is needed of an answer, whichever library brought it."""

    status_code: int

    def iter_bytes(self) -> Iterator[bytes]: ...


def _refuse_outside(filename: str) -> None:
    path = PurePosixPath(filename)
    if not path.name or path.is_absolute() or ".." in path.parts or "\\" in filename or ":" in filename:
        raise DownloadError(f"“{filename}” is not the name of a file in a repository.")


if __name__ == "__main__":
    main(sys.argv[1:])
