"""Somebody else's conversation is worth as little as its id: over the page, its socket, and every route of the API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.api.conftest import FLAGS, wait_until_ready
from tests.api.events import events_in
from tests.browser.server import Server

from .live import Browser, Page, user

PASSWORD = "correct horse"
SECRET = "the walrus is purple"


class People:
    """Alice has said something, and is known by her key and in her browser; Bob would like to read it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.keys = {}
        for name in ("alice", "bob"):
            assert user(server, "add", name, password=PASSWORD).returncode == 0
            self.keys[name] = user(server, "key", name).stdout.strip()
        with self.program("alice") as alice:
            first = next(events_in(say(alice, f"I tell you: {SECRET}").split("\n")))
            self.conversation_id, self.message_id = first.data["conversation_id"], first.data["message_id"]

    def program(self, name: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.keys[name]}"}
        return httpx.Client(base_url=self.server.url, headers=headers, timeout=60, trust_env=False)


def say(client: httpx.Client, text: str, **more: str) -> str:
    answer = client.post("/chat/stream", json={"user_input": text, "max_tokens": 5, **more})
    assert answer.status_code == 200
    return answer.text


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with Server(tmp_path_factory.mktemp("owners"), *FLAGS) as server:
        wait_until_ready(server)
        yield People(server)


def test_no_route_of_the_api_gives_it_away_or_changes_it(people: People) -> None:
    the_id = people.conversation_id
    with people.program("bob") as bob, people.program("alice") as alice:
        before = alice.get(f"/conversations/{the_id}").json()
        assert SECRET in before["messages"][0]["text"]
        last = {"Last-Event-ID": f"{people.message_id}:0:0"}
        answers = [
            bob.get(f"/conversations/{the_id}"),
            bob.delete(f"/conversations/{the_id}"),
            bob.post("/reset", json={"conversation_id": the_id}),
            bob.post("/chat/stream", json={"user_input": "And?", "conversation_id": the_id}),
            bob.post("/chat/stream", json={"conversation_id": the_id}, headers=last),
            bob.get("/chat/stream", params={"conversation_id": the_id}),
            bob.get("/chat/stream", params={"conversation_id": the_id}, headers=last),
        ]
        assert [answer.status_code for answer in answers] == [404] * len(answers)
        assert not [answer for answer in answers if "walrus" in answer.text]
        assert bob.get("/conversations").json() == {"data": []}
        # The place that /reset remembers is each person's own.
        say(bob, "Hello")
        say(alice, "Hello")
        assert len(bob.post("/reset").json()["forgotten"]) == 1
        assert alice.get(f"/conversations/{the_id}").json() == before


def test_the_page_of_somebody_else_does_not_show_it(people: People) -> None:
    with Browser(people.server) as alice, Browser(people.server) as bob:
        for browser, name in ((alice, "alice"), (bob, "bob")):
            browser.log_in(name, PASSWORD)
        path = f"/c/{people.conversation_id}"
        assert SECRET in alice.get(path).text
        assert "walrus" not in bob.get(path).text
        assert "walrus" in alice.get("/").text, "in the list"
        assert "walrus" not in bob.get("/").text


def test_a_socket_does_not_open_it_either(people: People) -> None:
    """What the page sends when one goes back in the browser's history, with an id that was never in it."""
    for name, sees in (("alice", True), ("bob", False)):
        with Browser(people.server) as browser:
            browser.log_in(name, PASSWORD)
            html = browser.get("/").text
            page = Page(html)
            with browser.socket(page) as socket:
                listener = re.search(r'"listener_id":"([^"]+)","type":"navigate"', html)
                assert listener
                path = json.dumps(f"/c/{people.conversation_id}")
                event = {"id": 0, "client_id": page.client_id, "listener_id": listener[1], "args": [path]}
                socket.emit("event", event)
                heard = ""
                # To those who may not see it, the page says that there is none.
                while not ("This conversation was not found" in heard or SECRET in heard):
                    heard += socket.receive()
                assert (SECRET in heard) == sees


def test_a_reply_of_somebody_else_is_not_stopped_by_its_id(people: People) -> None:
    with people.program("alice") as alice, people.program("bob") as bob:
        body = {"user_input": "Count to a hundred.", "max_tokens": 120}
        with alice.stream("POST", "/chat/stream", json=body) as response:
            events = events_in(response.iter_lines())
            the_id = next(events).data["conversation_id"]
            assert bob.post("/reset", json={"conversation_id": the_id}).status_code == 404
            assert bob.delete(f"/conversations/{the_id}").status_code == 404
            *_, last = events
        assert last.data["finish_reason"] in ("stop", "length"), "not cancelled"
