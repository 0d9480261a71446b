"""The real nginx and Caddy in front of the real program, each with the file that the documentation gives away."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

DEPLOY = Path(__file__).parents[2] / "deploy"
SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
NGINX = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    access_log off;
    include {folder}/site.conf;
}}
"""


class Proxy:
    """`https://<name>/` as a browser sees it, which finds it at `port` of this machine."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        folder.mkdir()
        self.port, self.http_port = free_port(), free_port()
        self.origin = f"https://{name}"
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def nginx(cls, file: str, folder: Path, *, upstream: int) -> Proxy:
        proxy = cls("www.example.org" if "subpath" in file else "chat.example.org", folder)
        certificate, key = make_certificate(folder, proxy.name)
        live = f"/etc/letsencrypt/live/{proxy.name}"
        proxy._write(
            "site.conf",
            (DEPLOY / file).read_text(),
            {
                "listen 80;": f"listen 127.0.0.1:{proxy.http_port};",
                "listen 443 ssl": f"listen 127.0.0.1:{proxy.port} ssl",
                "server 127.0.0.1:8080;": f"server 127.0.0.1:{upstream};",
                f"{live}/fullchain.pem": str(certificate),
                f"{live}/privkey.pem": str(key),
                "/var/log/nginx/localchat.log": str(folder / "access.log"),
            },
        )
        user = "user root;" if os.getuid() == 0 else ""
        (folder / "nginx.conf").write_text(NGINX.format(user=user, folder=folder))
        proxy._run("nginx", "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf"))
        return proxy

    @classmethod
    def caddy(cls, folder: Path, *, upstream: int) -> Proxy:
        proxy = cls("chat.example.org", folder)
        certificate, key = make_certificate(folder, proxy.name)
        proxy._write(
            "Caddyfile",
            (DEPLOY / "Caddyfile").read_text(),
            {
                "\nchat.example.org {": f"\n{{\nadmin off\nhttp_port {proxy.http_port}\nhttps_port {proxy.port}\n}}\n"
                f"chat.example.org {{\nbind 127.0.0.1\ntls {certificate} {key}",
                "reverse_proxy 127.0.0.1:8080 {\n\t\tflush": f"reverse_proxy 127.0.0.1:{upstream} {{\n\t\tflush",
            },
        )
        home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        proxy._run("caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile", environment=home)
        return proxy

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)

    def client(self, **options: Any) -> httpx.Client:
        """A program that talks to the proxy, and believes no other certificate than its own."""
        trust = ssl.create_default_context(cafile=str(self.folder / "cert.pem"))
        return httpx.Client(
            transport=_ByName(self.name, self.port, httpx.HTTPTransport(verify=trust)),
            base_url=self.origin,
            timeout=60,
            **options,
        )

    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def _write(self, name: str, text: str, changes: Mapping[str, str]) -> None:
        """What the file says, with ports and paths of this test; everything that is changed has to be there."""
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new)
        (self.folder / name).write_text(text)

    def _run(self, program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        path = shutil.which(program, path=SBIN)
        # Never skipped: the documentation promises that this works.
        assert path, f"{program} is missing: apt-get install {program}"
        with (self.folder / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                [path, *arguments], stdout=log, stderr=log, env={**os.environ, **(environment or {})}
            )
        deadline = time.monotonic() + 30
        while True:
            assert self._process.poll() is None, self.log()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.05)


class _ByName(httpx.BaseTransport):
    """Goes to a port of this machine for a name that no resolver knows."""

    def __init__(self, name: str, port: int, transport: httpx.HTTPTransport) -> None:
        self._name = name
        self._port = port
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == self._name
        request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
        request.extensions["sni_hostname"] = self._name
        return self._transport.handle_request(request)

    def close(self) -> None:
        self._transport.close()


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of this name that signs itself, and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out"]
    command += [str(certificate), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
