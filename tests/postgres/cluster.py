"""A real PostgreSQL server of our own: in a folder of its own, on a socket in it alone, never as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

OWNER = "localchat"
# Nothing has to survive a power cut here; and no port is opened.
OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
}


class Cluster:
    """Runs from `with` on. Fails, never skips, when it is missing: scripts/ensure-deployment.sh brings it."""

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
        assert found, "PostgreSQL is missing"
        self._programs = found[-1].parent
        # The path of a socket may have a hundred characters, which pytest's folders use up.
        self.folder = Path(tempfile.mkdtemp(prefix="localchat-pg-"))
        self._account = "postgres" if os.getuid() == 0 else None
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Cluster:
        try:
            if self._account:
                shutil.chown(self.folder, self._account)
            data = self.folder / "data"
            self.run("initdb", f"--pgdata={data}", "--auth=trust", "--encoding=UTF8", "--no-sync", "--locale=C.UTF-8")
            options = [f"--{name}={value}" for name, value in OPTIONS.items()]
            command = [self._programs / "postgres", "-D", data, "-k", self.folder, *options]
            with (self.folder / "log").open("wb") as log:
                self._server = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, user=self._account)
            self._wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            # The fast way: sessions are ended.
            self._server.send_signal(2)
            self._server.wait(30)
        shutil.rmtree(self.folder)

    def url(self, database: str) -> str:
        """As DATABASE_URL takes it."""
        return f"postgresql+asyncpg://{OWNER}@/{database}?host={quote(str(self.folder), safe='/')}"

    def run(self, program: str, *arguments: str) -> str:
        """One of PostgreSQL's own programs; what it says."""
        command = [str(self._programs / program), *arguments]
        environment = {"PGHOST": str(self.folder), "PGUSER": OWNER, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        if program == "initdb":
            command.append(f"--username={OWNER}")
        done = subprocess.run(
            command,
            env=environment,
            cwd=self.folder,
            user=self._account,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done.stdout

    def _wait_until_ready(self) -> None:
        assert self._server is not None
        deadline = time.monotonic() + 60
        while not (self.folder / ".s.PGSQL.5432").exists() or not self._answers():
            log = (self.folder / "log").read_text(errors="replace")
            assert self._server.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.05)

    def _answers(self) -> bool:
        ready = [self._programs / "pg_isready", "--quiet", f"--host={self.folder}"]
        return subprocess.run(ready, check=False, timeout=60).returncode == 0
