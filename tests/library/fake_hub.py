"""A model hub on loopback that speaks what the real client needs, and can misbehave in the ways of real networks."""

from __future__ import annotations

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BLOCK = 1 << 16


class FakeHub(ThreadingHTTPServer):
    """Large files are answered with a redirect to another origin, as the hub does with its storage."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.sha256: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        self.refusals: dict[str, tuple[int, str]] = {}
        self.breaks_after: list[int] = []
        self.seconds_per_block = 0.0
        self.ignores_range = False
        self.is_login_page = False
        self.silent_after = 1_000
        self.awake = threading.Event()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def ranges(self) -> list[str]:
        """The ranges asked of the storage, in order."""
        return [headers.get("Range", "") for _, path, headers in self.requests if path.startswith("/storage/")]

    def close(self) -> None:
        self.awake.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.close_connection = True
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        if len(self.server.requests) >= self.server.silent_after:
            self.server.awake.wait(10)
        if self.server.is_login_page:
            self._reply(200, {"Content-Length": "0"})
        elif self.path.startswith("/storage/"):
            self._send_file(self.server.files[self.path.removeprefix("/storage/")])
        else:
            self._resolve()

    def _resolve(self) -> None:
        repo, _, rest = self.path[1:].partition("/resolve/")
        revision, _, filename = rest.partition("/")
        name = f"{repo}/{filename}"
        if repo in self.server.refusals:
            status, code = self.server.refusals[repo]
            self._reply(status, {"X-Error-Code": code})
        elif revision not in ("main", COMMIT) or not any(file.startswith(f"{repo}/") for file in self.server.files):
            self._reply(404, {"X-Error-Code": "RepoNotFound"})
        elif name not in self.server.files:
            self._reply(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            data = self.server.files[name]
            sha256 = self.server.sha256.get(name, hashlib.sha256(data).hexdigest())
            headers = {
                "X-Repo-Commit": COMMIT,
                "X-Linked-Etag": f'"{sha256}"',
                "X-Linked-Size": str(self.server.sizes.get(name, len(data))),
                "Location": f"http://localhost:{self.server.server_port}/storage/{name}",
            }
            self._reply(302, headers)

    def _send_file(self, data: bytes) -> None:
        wanted = self.headers.get("Range", "bytes=0-")
        start = 0 if self.server.ignores_range else int(wanted.removeprefix("bytes=").removesuffix("-"))
        headers = {"Content-Length": str(len(data) - start), "Content-Range": f"bytes {start}-/{len(data)}"}
        self._reply(200 if self.server.ignores_range else 206, headers)
        end = start + self.server.breaks_after.pop(0) if self.server.breaks_after else len(data)
        for at in range(start, end, BLOCK):
            time.sleep(self.server.seconds_per_block)
            try:
                self.wfile.write(data[at : min(at + BLOCK, end)])
            except OSError:
                return

    def _reply(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass
