"""The real program with a real model on PostgreSQL, and the backup that docs/deployment.md tells of."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import httpx

from localchat_ui.conversation import MessageState
from tests.api.conftest import FLAGS, wait_until_ready
from tests.api.events import events_in
from tests.browser.server import Server
from tests.browser.visitor import LONG

from .cluster import Cluster

PAGE = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text()


def serve(folder: Path, database_url: str) -> Server:
    server = Server(folder, *FLAGS, "--database-url", database_url)
    server.database_url = database_url
    return server


def run_as_documented(cluster: Cluster, program: str, dump: Path) -> None:
    """The line of the page that begins so, with another file."""
    [line] = re.findall(rf"^(?:sudo -u \S+ )?({program} .*)$", PAGE, re.MULTILINE)
    words = shlex.split(re.sub(r"\S*\.dump\b", lambda found: f"{'--file=' * ('--file' in found[0])}{dump}", line))
    cluster.run(words[0], *words[1:])


def test_a_backup_made_while_a_reply_is_written_can_be_put_back(cluster: Cluster, tmp_path: Path) -> None:
    cluster.run("createdb", "localchat")
    # The server's user writes it.
    dump = cluster.folder / "localchat.dump"
    with serve(tmp_path / "first", cluster.url("localchat")) as server:
        wait_until_ready(server)
        body = {"user_input": LONG, "max_tokens": 1500}
        with httpx.stream("POST", f"{server.url}/chat/stream", json=body, timeout=60) as response:
            events = events_in(response.iter_lines())
            the_id = next(events).data["conversation_id"]
            while len(server.messages(the_id)[-1].text) < 20:
                next(events)
            run_as_documented(cluster, "pg_dump", dump)
        listed = httpx.get(f"{server.url}/conversations").json()["data"]
        assert [each["id"] for each in listed] == [the_id]
        assert "Traceback" not in server.output()

    # What is there by then goes away.
    cluster.run("psql", "--dbname=localchat", "--command=DELETE FROM conversations")
    run_as_documented(cluster, "pg_restore", dump)
    with serve(tmp_path / "second", cluster.url("localchat")) as server:
        question, reply = server.messages(the_id)
        assert "Traceback" not in server.output()
    assert question.text == LONG
    assert reply.state is MessageState.INTERRUPTED
    assert len(reply.text) >= 20
