"""`python -m localchat_ui.library.web URL FILE FOLDER` downloads a GGUF file from any https address, and may be killed.

As `fetch` does from the hub. Somebody else names the address, so it must not lead into the network that this machine
stands in: neither by its name, nor by what that name resolves to, nor by a redirect.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from localchat_ui.library.child import speaking
from localchat_ui.library.download import Report
from localchat_ui.library.errors import ConnectionLostError, DownloadError
from localchat_ui.library.fetch import Fetch, RemoteFile, Response, run
from localchat_ui.library.gguf_header import MAGIC
from localchat_ui.library.hub_errors import TRANSIENT

TIMEOUT = 20.0
MOST_REDIRECTS = 5
COPY = "Copy the address of the download itself."
# Set by whoever starts this child, from the setting of the same name.
ALLOW_PRIVATE = "LOCALCHAT_ALLOW_PRIVATE_DOWNLOADS"
PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
# Addresses that carry another one inside: Teredo and 6to4.
TUNNELS = (ipaddress.IPv6Network("2001::/32"), ipaddress.IPv6Network("2002::/16"))


def main(arguments: Sequence[str]) -> None:
    with speaking(arguments) as (say, [url, filename, folder]):

        def report(report: Report) -> None:
            say(json.dumps(dataclasses.asdict(report)))

        allowed = os.environ.get(ALLOW_PRIVATE, "").lower() in ("1", "true")
        run(WebFetch(url, filename, Path(folder), report, allow_private=allowed), report)


class WebFetch(Fetch):
    """One file from an address on its way into a folder."""

    def __init__(
        self, url: str, filename: str, folder: Path, on_report: Callable[[Report], None], *, allow_private: bool
    ) -> None:
        super().__init__(url, filename, folder, on_report, endpoint=url)
        self._client = httpx.Client(
            transport=_Guard(allow_private=allow_private),
            follow_redirects=True,
            max_redirects=MOST_REDIRECTS,
            timeout=TIMEOUT,
            headers={"Accept-Encoding": "identity"},
        )

    def _metadata(self) -> Iterator[RemoteFile]:
        # Not HEAD, which signed addresses refuse; the first bytes tell besides whether it is a model.
        with self._client.stream("GET", self._repo_id, headers={"Range": f"bytes=0-{len(MAGIC) - 1}"}) as response:
            response.raise_for_status()
            beginning = b""
            for piece in response.iter_bytes():
                beginning += piece
                if len(beginning) >= len(MAGIC):
                    break
            _, _, whole = response.headers.get("Content-Range", "").rpartition("/")
            size = whole if response.status_code == 206 else response.headers.get("Content-Length", "")
            if not beginning.startswith(MAGIC):
                raise DownloadError(f"What {self._place} sends is no GGUF file. {COPY}")
            if not size.isdecimal():
                raise DownloadError(f"{self._place} does not say how large the file is, so it cannot be checked.")
            version = response.headers.get("ETag") or response.headers.get("Last-Modified") or size
            yield RemoteFile(self._repo_id, int(size), version.removeprefix("W/").strip('"'))

    @contextmanager
    def _get(self, remote: RemoteFile, headers: dict[str, str]) -> Iterator[Response]:
        with self._client.stream("GET", remote.url, headers=headers) as response:
            if response.status_code != 416:
                response.raise_for_status()
            yield response

    def _explain(self, error: Exception) -> DownloadError:
        if isinstance(error, httpx.HTTPStatusError):
            status = error.response.status_code
            if status in TRANSIENT:
                return ConnectionLostError(f"{self._place} is busy or broken (HTTP {status}). Try again later.")
            what = "has no such file" if status in (404, 410) else "refuses it"
            return DownloadError(f"{self._place} {what} (HTTP {status}). Check the address.")
        if isinstance(error, (httpx.TooManyRedirects, httpx.InvalidURL, httpx.UnsupportedProtocol)):
            return DownloadError(f"That address leads nowhere ({error}). {COPY}")
        return ConnectionLostError(self._unreachable(str(error) or type(error).__name__))

    def _unreachable(self, reason: str) -> str:
        return f"No connection to {self._place} ({reason}). Check the network and start again.{self._kept()}"

    @property
    def _place(self) -> str:
        # The host alone: the rest of an address may be a secret.
        return httpx.URL(self._repo_id).host


class _Guard(httpx.HTTPTransport):
    """Connects to the very address that was looked at, so that a name cannot lead elsewhere a moment later."""

    def __init__(self, *, allow_private: bool) -> None:
        super().__init__(trust_env=False)
        self._allow_private = allow_private

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if self._allow_private:
            return super().handle_request(request)
        if url.scheme != "https":
            raise DownloadError(f"{url.host} is asked without https, where anybody on the way could change the file.")
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        request.url = url.copy_with(host=public_address(url.host, url.port or 443))
        try:
            return super().handle_request(request)
        finally:
            request.url = url


def public_address(host: str, port: int) -> str:
    """An address of a host that is nobody's private network. Raises DownloadError, and OSError for no address."""
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not all(map(is_public, found)):
        raise DownloadError(
            f"{host} is in a private network. An administrator can allow that with ALLOW_PRIVATE_DOWNLOADS=true."
        )
    return found[0]


def is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        return ip.is_global and ip in PUBLIC_6 and not any(ip in tunnel for tunnel in TUNNELS)
    return ip.is_global and not ip.is_multicast


if __name__ == "__main__":
    main(sys.argv[1:])
