"""A model hub on loopback that speaks what the real client needs, and can misbehave in the ways of real networks."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

BLOCK = 1 << 16
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Fault:
    """What one answer of the storage does wrong: another status at once, or something after so many bytes.

    `end` closes the connection in the middle of the body, `reset` lets the other side see ECONNRESET, `stall` sends
    nothing more and keeps the connection open.
    """

    after: int = 0
    then: Literal["end", "reset", "stall"] = "end"
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


class FakeHub(ThreadingHTTPServer):
    """Large files are answered with a redirect to another origin, as the hub does with its storage.

    A commit names the files as they were when somebody asked for `main`, whatever becomes of them.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        # What else is told of a repository, by its name.
        self.about: dict[str, dict[str, Any]] = {}
        self.commits: dict[str, dict[str, bytes]] = {}
        self.sha256: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        self.refusals: dict[str, tuple[int, str]] = {}
        self.faults: list[Fault] = []
        self.seconds_per_block = 0.0
        self.ignores_range = False
        self.is_login_page = False
        self.silent_after = 1_000
        self.awake = threading.Event()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.bytes_sent = 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def ranges(self) -> list[str]:
        """The ranges asked of the storage, in order."""
        return [headers.get("Range", "") for _, path, headers in self.requests if path.startswith("/storage/")]

    def commit(self) -> str:
        """The name of the files as they are now."""
        contents = "".join(f"{name} {hashlib.sha256(data).hexdigest()}" for name, data in sorted(self.files.items()))
        name = hashlib.sha1(contents.encode()).hexdigest()
        self.commits[name] = dict(self.files)
        return name

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
        elif self.path.startswith("/api/models"):
            self._tell()
        elif self.path.startswith("/storage/"):
            commit, _, name = self.path.removeprefix("/storage/").partition("/")
            self._send_file(self.server.commits[commit][name])
        else:
            self._resolve()

    def _tell(self) -> None:
        """A search, or what is in a repository."""
        address = urlsplit(self.path)
        repo = address.path.removeprefix("/api/models").strip("/").removesuffix("/revision/main")
        repos = {"/".join(name.split("/")[:2]) for name in self.server.files} | self.server.about.keys()
        refusal = self.server.refusals.get(repo)
        if refusal:
            status, code = refusal
            self._reply(status, {"X-Error-Code": code})
        elif not repo:
            query = parse_qs(address.query)
            words = " ".join(query.get("search", [])).lower().split()
            have_models = {"/".join(name.split("/")[:2]) for name in self.server.files if name.endswith(".gguf")}
            found = [each for each in have_models if all(word in each.lower() for word in words)]
            found.sort(key=lambda each: (-self.server.about.get(each, {}).get("downloads", 0), each))
            self._reply_json([self._info(each) for each in found[: int(query.get("limit", ["100"])[0])]])
        elif repo not in repos:
            self._reply(404, {"X-Error-Code": "RepoNotFound"})
        else:
            self._reply_json(self._info(repo) | {"siblings": self._siblings(repo)})

    def _info(self, repo: str) -> dict[str, Any]:
        about = {"downloads": 0, "likes": 0, "gated": False, "private": False, "tags": ["gguf"]}
        return {"id": repo, "modelId": repo, "sha": self.server.commit(), **about, **self.server.about.get(repo, {})}

    def _siblings(self, repo: str) -> list[dict[str, Any]]:
        siblings = []
        for name, data in self.server.files.items():
            if name.startswith(f"{repo}/"):
                size = self.server.sizes.get(name, len(data))
                sha256 = self.server.sha256.get(name) or hashlib.sha256(data).hexdigest()
                lfs = {"sha256": sha256, "size": size, "pointerSize": 134}
                siblings.append({"rfilename": name.removeprefix(f"{repo}/"), "size": size, "lfs": lfs})
        return siblings

    def _reply_json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self._reply(200, {"Content-Length": str(len(body)), "Content-Type": "application/json"})
        self.wfile.write(body)

    def _resolve(self) -> None:
        repo, _, rest = self.path[1:].partition("/resolve/")
        revision, _, filename = rest.partition("/")
        name = f"{repo}/{filename}"
        commit = self.server.commit() if revision == "main" else revision
        files = self.server.commits.get(commit, {})
        if repo in self.server.refusals:
            status, code = self.server.refusals[repo]
            self._reply(status, {"X-Error-Code": code})
        elif not any(file.startswith(f"{repo}/") for file in files):
            self._reply(404, {"X-Error-Code": "RepoNotFound"})
        elif name not in files:
            self._reply(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        else:
            data = files[name]
            sha256 = self.server.sha256.get(name, hashlib.sha256(data).hexdigest())
            headers = {
                "X-Repo-Commit": commit,
                "X-Linked-Etag": f'"{sha256}"',
                "X-Linked-Size": str(self.server.sizes.get(name, len(data))),
                "Location": f"http://localhost:{self.server.server_port}/storage/{commit}/{name}",
            }
            self._reply(302, headers)

    def _send_file(self, data: bytes) -> None:
        fault = self.server.faults.pop(0) if self.server.faults else Fault(after=len(data))
        wanted = self.headers.get("Range", "bytes=0-")
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = 0 if self.server.ignores_range else int(first)
        stop = min(len(data), int(last) + 1) if last and not self.server.ignores_range else len(data)
        if fault.status is not None:
            self._reply(fault.status, fault.headers)
            return
        if start >= len(data):
            self._reply(416, {"Content-Range": f"bytes */{len(data)}"})
            return
        which = f"bytes {start}-{stop - 1}/{len(data)}"
        headers = {"Content-Length": str(stop - start), "Content-Range": which}
        self._reply(200 if self.server.ignores_range else 206, headers)
        end = min(start + fault.after, stop)
        for at in range(start, end, BLOCK):
            time.sleep(self.server.seconds_per_block)
            try:
                self.wfile.write(data[at : min(at + BLOCK, end)])
            except OSError:
                return
            self.server.bytes_sent += min(BLOCK, end - at)
        if end < stop and fault.then == "stall":
            self.server.awake.wait(30)
        elif end < stop and fault.then == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            # Closed here, because the server would first say politely that it has nothing more to send.
            os.close(self.connection.detach())

    def _reply(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass
