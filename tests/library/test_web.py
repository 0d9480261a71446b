"""Files from any address: a server on loopback stands for the web, where that is allowed."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from localchat_ui.library import web
from localchat_ui.library.download import Report
from localchat_ui.library.errors import ConnectionLostError, DownloadError
from localchat_ui.library.web import WebFetch, is_public, public_address

DATA = b"GGUF" + random.Random(1).randbytes(300_000)


PRIVATE = [
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "127.8.8.8",
    "0.0.0.0",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "198.18.0.1",
    "192.0.2.1",
    "::1",
    "::",
    "fe80::1%eth0",
    "fd00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:0:1::1",
    "::127.0.0.1",
    "2001:db8::1",
]


class Web(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        self.cut_at = 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "bytes=0-")
        self.server.asked.append((self.path, wanted))
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        if status == 206:
            part = body[int(first) : int(last) + 1 if last else None]
            headers = headers | {"Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(body)}"}
            body = part
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.server.cut_at and len(body) > 4:
            body, self.server.cut_at = body[: self.server.cut_at], 0
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Web]:
    site = Web()
    yield site
    site.shutdown()
    site.server_close()


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., Path]:
    def fetch(url: str, *, allow_private: bool = True) -> Path:
        reports: list[Report] = []
        WebFetch(url, "m.gguf", tmp_path, reports.append, allow_private=allow_private).run()
        assert reports[-1] == Report("done", len(DATA), len(DATA))
        return tmp_path / "m.gguf"

    return fetch


def test_a_file_arrives_through_a_redirect(site: Web, fetch) -> None:
    site.answers["/get"] = (302, {"Location": "/real"}, b"")
    site.answers["/real"] = (206, {"ETag": '"v1"'}, DATA)
    assert fetch(site.url("/get")).read_bytes() == DATA


def test_a_connection_that_breaks_is_taken_up(site: Web, fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localchat_ui.library.fetch.PAUSES", (0.01,))
    site.answers["/m"] = (206, {"ETag": '"v1"'}, DATA)
    site.cut_at = 100_000
    assert fetch(site.url("/m")).read_bytes() == DATA
    assert site.asked[-1] == ("/m", "bytes=100000-")


def test_a_server_that_knows_no_ranges_will_do(site: Web, fetch) -> None:
    site.answers["/m"] = (200, {}, DATA)
    assert fetch(site.url("/m")).read_bytes() == DATA


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, {}, b"<html>please log in</html>"), "is no GGUF file"),
        ((404, {}, b""), r"has no such file \(HTTP 404\)"),
        ((403, {}, b""), r"refuses it \(HTTP 403\)"),
        ((302, {"Location": "/m"}, b""), "leads nowhere"),
        ((302, {"Location": "file:///etc/passwd"}, b""), "leads nowhere"),
        ((503, {}, b""), "busy or broken"),
    ],
)
def test_what_is_no_model_is_refused(site: Web, fetch, answer, words: str, tmp_path: Path) -> None:
    site.answers["/m"] = answer
    with pytest.raises(DownloadError, match=words) as caught:
        fetch(site.url("/m?token=secret") if answer[0] == 404 else site.url("/m"))
    assert isinstance(caught.value, ConnectionLostError) == (answer[0] == 503)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_no_address_leads_into_a_private_network(site: Web, fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DownloadError, match="without https"):
        fetch(site.url("/m"), allow_private=False)
    for host in ("127.0.0.1", "localhost", "169.254.169.254", "[::1]", "2130706433", "0x7f.1", "[::ffff:10.0.0.1]"):
        with pytest.raises(DownloadError, match="private network"):
            fetch(f"https://{host}:{site.server_port}/m", allow_private=False)
    assert site.asked == []


def test_a_name_with_one_private_address_among_others_is_private(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", ("8.8.8.8", 443)), (2, 1, 6, "", ("192.168.0.1", 443))]
    monkeypatch.setattr(web.socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(DownloadError, match="private network"):
        public_address("rebind.example", 443)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        *((address, False) for address in PRIVATE),
    ],
)
def test_what_is_public(address: str, public: bool) -> None:
    assert is_public(address) == public
