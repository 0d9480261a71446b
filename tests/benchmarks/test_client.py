"""The client that measures, against a server that says what the test wants."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.client import Reply, ask, speed
from benchmarks.servers import Server

USAGE = {"completion_tokens": 6, "prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}


class Scripted(BaseHTTPRequestHandler):
    asked: dict[str, dict[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked[self.path] = body
        self.send_response(400 if body["max_tokens"] == 0 else 200)
        self.end_headers()
        empty: dict[str, Any] = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
        chat = [{"choices": [{"delta": {"content": text}}]} for text in ("Hello ", "you")]
        texts = [{"choices": [{"text": "and on"}]}]
        for event in [empty, *(chat if "messages" in body else texts), {"choices": [], "usage": USAGE}]:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b": ping\n\ndata: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    Scripted.asked = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as served:
        threading.Thread(target=served.serve_forever).start()
        yield Server("scripted", True, served.server_address[1], Path(), psutil.Process(os.getpid()), 0.0)
        served.shutdown()


def test_a_reply_is_its_text_and_the_tokens_that_the_server_counted(server: Server) -> None:
    reply = ask(server, "Hi", "Hello", "Again", max_tokens=6)

    assert (reply.text, len(reply.times)) == ("Hello you", 2), "what has no text is no sign of life"
    assert (reply.n_tokens, reply.prompt_tokens, reply.cached_tokens) == (6, 9, 4)
    said = Scripted.asked["/v1/chat/completions"]
    assert [message["role"] for message in said["messages"]] == ["system", "user", "assistant", "user"]
    assert (said["temperature"], said["stream_options"]) == (0, {"include_usage": True})


def test_a_base_model_is_asked_to_go_on_with_the_text(server: Server) -> None:
    base = Server("scripted", False, server.port, server.folder, server.process, 0.0)

    assert ask(base, "On", max_tokens=6).text == "and on"
    assert Scripted.asked["/v1/completions"]["prompt"] == "On"


def test_a_refusal_is_no_measurement(server: Server) -> None:
    with pytest.raises(RuntimeError, match="scripted answers 400"):
        ask(server, "Hi", max_tokens=0)


def test_streams_are_measured_while_all_of_them_are_written() -> None:
    usage = {"completion_tokens": 10}
    early = Reply(0, [1, 2, 3, 4, 5], ["ab"] * 5, usage)
    late = Reply(0, [2, 3, 4, 5, 6], ["ab"] * 5, usage)

    assert speed([early]) == 2, "eight tokens came in the four seconds behind the first text"
    assert speed([early, late]) == 4, "from 2 to 5 seconds, six tokens each"
    assert early.longest_pause(1.5, 4.5) == 1
    assert early.longest_pause(4.5, 9) == 4
