"""The files in deploy/ and the page that tells how to use them: what can be checked without installing them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from localchat_ui.conversation import MessageState
from localchat_ui.settings import load_settings
from tests.access.live import user
from tests.api.conftest import FLAGS, wait_until_ready
from tests.api.events import events_in
from tests.browser.server import Server
from tests.browser.visitor import LONG

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "deployment.md").read_text()
SETTING = re.compile(r"LOCALCHAT_([A-Z_]+)=(\S*)")


def tool(name: str) -> str:
    """Where a program is. Fails, never skips: scripts/ensure-deployment.sh brings it."""
    path = shutil.which(name)
    assert path, f"{name} is missing"
    return path


def test_systemd_understands_the_service_and_finds_it_well_shut(tmp_path: Path) -> None:
    text = (DEPLOY / "localchat.service").read_text()
    assert "/opt/localchat/.venv/bin/python " in text
    unit = tmp_path / "localchat.service"
    unit.write_text(text.replace("/opt/localchat/.venv/bin/python", sys.executable))
    verified = subprocess.run([tool("systemd-analyze"), "verify", unit], capture_output=True, text=True, check=False)
    assert (verified.returncode, "localchat.service" in verified.stderr) == (0, False), verified.stderr
    # Of 100; without the second half of the file it is above 90.
    rated = [tool("systemd-analyze"), "security", "--offline=yes", "--no-pager", "--threshold=20", unit]
    assert subprocess.run(rated, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("file", ["docs/deployment.md", *(f"deploy/{path.name}" for path in DEPLOY.iterdir())])
def test_every_setting_that_is_named_is_one(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in SETTING.findall((ROOT / file).read_text()):
        with monkeypatch.context() as environment:
            environment.setenv(f"LOCALCHAT_{name}", value)
            assert str(getattr(load_settings([]), name.lower())).lower() == value


def test_every_file_that_is_named_is_there() -> None:
    for link in re.findall(r"\]\(\.\./([^)]+)\)", PAGE):
        assert (ROOT / link).exists(), link
    for path in DEPLOY.iterdir():
        assert path.name.endswith(".dockerignore") or f"deploy/{path.name}" in PAGE, path.name


def test_the_dockerfile_copies_what_there_is_and_lets_it_through() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    admitted = re.findall(r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert set(names) == set(admitted)
    assert all((ROOT / name).exists() for name in names)


def test_a_backup_made_while_a_reply_is_written_can_be_put_back(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in range(10, 30):
        (folder / f"localchat-202601{day}-030000.sqlite3").touch()
    with Server(tmp_path / "first", *FLAGS) as server:
        wait_until_ready(server)
        body = {"user_input": LONG, "max_tokens": 1500}
        with httpx.stream("POST", f"{server.url}/chat/stream", json=body, timeout=60) as response:
            events = events_in(response.iter_lines())
            the_id = next(events).data["conversation_id"]
            # Long enough for the growing reply to have been noted.
            while len(server.messages(the_id)[-1].text) < 20:
                next(events)
            backup = [str(DEPLOY / "backup.sh"), str(tmp_path / "first" / "data" / "localchat.sqlite3"), str(folder)]
            subprocess.run(backup, check=True, capture_output=True, timeout=60)
    copies = sorted(folder.iterdir())
    assert len(copies) == 14
    assert copies[0].name == "localchat-20260117-030000.sqlite3", "the oldest are gone"

    data = tmp_path / "second" / "data"
    data.mkdir(parents=True)
    shutil.copy(copies[-1], data / "localchat.sqlite3")
    with Server(tmp_path / "second", *FLAGS) as server:
        question, reply = server.messages(the_id)
    assert question.text == LONG
    assert reply.state is MessageState.INTERRUPTED
    assert len(reply.text) >= 20


def test_a_backup_of_nothing_fails(tmp_path: Path) -> None:
    backup = [str(DEPLOY / "backup.sh"), str(tmp_path / "none.sqlite3"), str(tmp_path / "backups")]
    assert subprocess.run(backup, check=False, capture_output=True, timeout=60).returncode != 0


def test_prometheus_gets_what_the_page_promises(tmp_path: Path) -> None:
    with Server(tmp_path, *FLAGS) as server:
        assert user(server, "add", "prometheus", password="correct horse").returncode == 0
        key = user(server, "key", "prometheus").stdout.strip()
        refused = httpx.get(f"{server.url}/metrics")
        text = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {key}"}).text
    assert refused.status_code == 401
    names = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    named = set(re.findall(r"`(localchat_[a-z_]+)`", PAGE)) - {"localchat_ui"}
    assert len(named) == 3
    for name in named:
        assert any(each == name or each.startswith(f"{name}_") for each in names), name
