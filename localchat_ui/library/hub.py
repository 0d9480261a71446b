"""Downloads a model file from the Hugging Face hub. The only importer of huggingface_hub.

`hf_hub_download` (2.4) deletes what it has when it fails, tries a dead connection six times before it says so, and
cannot be cancelled while it waits. So only parts of it are used: where a file is, its size and checksum, the session.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar
from urllib.parse import urlsplit

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from huggingface_hub import constants, get_hf_file_metadata, get_session, hf_hub_url, hf_raise_for_status
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from localchat_ui.library.model_file import readable_size
from localchat_ui.library.partial import PartialFile, explain_disk_error, only_one
from localchat_ui.library.transfer import DownloadCancelledError, DownloadError, LeftError, Meter, Progress, watched

__all__ = ["Download", "DownloadCancelledError", "DownloadError", "Progress"]

TIMEOUT = 10.0
PATIENCE = 15.0
RECONNECT_AFTER = 1.0

T = TypeVar("T")


class Download:
    """One file of one repository on its way into `models_dir`; an object is good for one `run`.

    Until it is complete and verified the file grows beside its final name as `….part`; the next Download of the same
    file goes on from there. `progress` and `cancel` may be used from any thread.
    """

    def __init__(
        self,
        repo_id: str,
        filename: str,
        models_dir: Path,
        *,
        endpoint: str | None = None,
        token: str | None = None,
    ) -> None:
        """`endpoint` None is HF_ENDPOINT or huggingface.co; `token` None is HF_TOKEN or that of `hf auth login`."""
        self.repo_id = repo_id
        self.filename = filename
        self.path = models_dir / filename
        self._endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self._token = token
        self._meter = Meter()
        self._cancelled = threading.Event()

    @property
    def progress(self) -> Progress:
        return self._meter.read()

    def cancel(self) -> None:
        """Let `run` raise DownloadCancelledError within a fraction of a second, whatever it waits for."""
        self._cancelled.set()

    def run(self) -> Path:
        """Download and verify; blocks, so call it in a thread. Returns the file's path. Raises DownloadError.

        A connection that breaks is taken up again as long as every attempt brings something.
        """
        _refuse_outside(self.filename)
        try:
            with only_one(self.path):
                [remote] = list(self._network(self._metadata()))
                partial = PartialFile(self.path, remote.size, remote.etag)
                self._meter.enter("verifying")
                if not partial.accept_existing(self._check_cancelled):
                    with partial.open() as file:
                        self._fetch(remote, file)
                    self._meter.enter("verifying")
                    partial.finish(self._check_cancelled)
        except OSError as error:
            raise DownloadError(explain_disk_error(error, self.path)) from error
        self._meter.enter("done")
        return self.path

    def _metadata(self) -> Iterator[_RemoteFile]:
        url = hf_hub_url(self.repo_id, self.filename, endpoint=self._endpoint)
        found = get_hf_file_metadata(url, token=self._token, timeout=TIMEOUT, endpoint=self._endpoint)
        if found.commit_hash is None or found.etag is None or found.size is None:
            raise DownloadError(
                f"{self._host} does not answer like a model hub. A login page of your network or a proxy may stand in"
                " between, or HF_ENDPOINT is wrong."
            )
        # A commit, not `main`, so that the bytes belong to this checksum even when the file changes meanwhile.
        url = hf_hub_url(self.repo_id, self.filename, revision=found.commit_hash, endpoint=self._endpoint)
        yield _RemoteFile(url, found.size, found.etag)

    def _fetch(self, remote: _RemoteFile, file: BinaryIO) -> None:
        self._meter.start(file.tell(), remote.size)
        while file.tell() < remote.size:
            self._append(remote, file)

    def _append(self, remote: _RemoteFile, file: BinaryIO) -> None:
        """Add what one connection brings. Raises _ConnectionLostError when that is nothing."""
        start = file.tell()
        try:
            for piece in self._network(self._body(remote.url, start)):
                file.write(piece)
                self._meter.add(len(piece))
                if file.tell() > remote.size:
                    return
            if file.tell() < remote.size:
                raise _ConnectionLostError(self._unreachable("it ended too early"))
        except _ConnectionLostError:
            if file.tell() == start:
                raise
            self._cancelled.wait(RECONNECT_AFTER)

    def _body(self, url: str, start: int) -> Iterator[bytes]:
        headers = {**build_hf_headers(token=self._token), "Accept-Encoding": "identity", "Range": f"bytes={start}-"}
        with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT) as response:
            hf_raise_for_status(response)
            # A server that ignores the range sends once more what we have.
            skip = 0 if response.status_code == 206 else start
            for piece in response.iter_bytes():
                yield piece[skip:]
                skip = max(0, skip - len(piece))

    def _network(self, source: Iterator[T]) -> Iterator[T]:
        """What the network gives, its errors in plain words. An OSError that is raised elsewhere is the disk's."""
        try:
            yield from watched(source, self._cancelled, PATIENCE)
        except DownloadError:
            raise
        except LeftError:
            raise self._cancellation() from None
        except Exception as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> DownloadError:
        page = f"{self._endpoint}/{self.repo_id}"
        token_help = f"set HF_TOKEN to a token from {self._endpoint}/settings/tokens, and start again"
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        if isinstance(error, GatedRepoError):
            text = f"{self.repo_id} wants its terms accepted first. Accept them at {page}, {token_help}."
        elif isinstance(error, EntryNotFoundError):
            text = f"{self.repo_id} has no file {self.filename}. See {page}/tree/main for its files."
        elif isinstance(error, RepositoryNotFoundError) or status == 404:
            text = f"{self._host} shows no repository {self.repo_id}. Check its name; if it is private, {token_help}."
        elif status in (401, 403):
            text = f"{self._host} refuses access to {self.repo_id}. If it is yours to read, {token_help}."
        elif status is not None:
            text = f"{self._host} is busy or broken (HTTP {status}). Try again in a few minutes."
        elif isinstance(error, HFValidationError):
            text = f"“{self.repo_id}” is not the name of a repository. It looks like owner/name."
        elif isinstance(error, OfflineModeIsEnabled):
            text = "HF_HUB_OFFLINE forbids downloads. Unset it and start again."
        else:
            return _ConnectionLostError(self._unreachable(str(error) or type(error).__name__))
        return DownloadError(text)

    def _unreachable(self, reason: str) -> str:
        return f"No connection to {self._host} ({reason}). Check the network and start again.{self._kept()}"

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise self._cancellation()

    def _cancellation(self) -> DownloadCancelledError:
        return DownloadCancelledError(f"The download was cancelled.{self._kept()}")

    def _kept(self) -> str:
        now = self.progress
        if not now.done or now.total is None:
            return ""
        return f" {readable_size(now.done)} of {readable_size(now.total)} are kept; it goes on from there."

    @property
    def _host(self) -> str:
        return urlsplit(self._endpoint).netloc


class _ConnectionLostError(DownloadError):
    """The network failed, which another attempt may mend."""


@dataclass(frozen=True)
class _RemoteFile:
    url: str
    size: int
    etag: str


def _refuse_outside(filename: str) -> None:
    path = PurePosixPath(filename)
    if not path.name or path.is_absolute() or ".." in path.parts or "\\" in filename or ":" in filename:
        raise DownloadError(f"“{filename}” is not the name of a file in a repository.")
