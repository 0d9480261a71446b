"""A client that streams replies over OpenAI's protocol and notes when their text came.

It is kept light, because it runs on the cores that it measures: lines are stored with their time while the reply is
written, and read when it has ended.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from benchmarks.servers import Server

SYSTEM = "You are a helpful assistant."


@dataclass(frozen=True)
class Reply:
    """Times are in seconds of one clock. `texts` is what came at each of `times`; all choices are in one list."""

    sent: float
    times: Sequence[float]
    texts: Sequence[str]
    usage: dict[str, Any]

    @property
    def n_tokens(self) -> int:
        return int(self.usage["completion_tokens"])

    @property
    def prompt_tokens(self) -> int:
        return int(self.usage["prompt_tokens"])

    @property
    def cached_tokens(self) -> int:
        return int(self.usage["prompt_tokens_details"]["cached_tokens"])

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def first(self) -> float:
        """Seconds to the first text."""
        return self.times[0] - self.sent

    def longest_pause(self, start: float, end: float) -> float:
        """Most seconds without a text between two moments."""
        moments = [start, *(moment for moment in self.times if start < moment < end), end]
        return max(after - before for before, after in pairwise(moments))

    def tokens_until(self, moment: float) -> float:
        """How many tokens had come by then: usage counts all of them, the text says which share."""
        n_characters = sum(len(text) for at, text in zip(self.times, self.texts, strict=True) if at <= moment)
        return self.n_tokens * n_characters / len(self.text)


def speed(replies: Sequence[Reply]) -> float:
    """Tokens/s of all together, from when the last of them began until the first of them ended."""
    start, end = max(reply.times[0] for reply in replies), min(reply.times[-1] for reply in replies)
    return sum(reply.tokens_until(end) - reply.tokens_until(start) for reply in replies) / (end - start)


def ask(
    server: Server, *texts: str, max_tokens: int, on_text: Callable[[int], None] | None = None, **body: Any
) -> Reply:
    """Send a conversation, whose turns are the user's and the assistant's in turn, and wait for the whole reply.

    `on_text` is told after each text how many there have been. Raises RuntimeError when the server refuses.
    """
    said = {"messages": conversation(*texts)} if server.chats else {"prompt": "\n".join(texts)}
    request = {**said, "max_tokens": max_tokens, "temperature": 0, "stream": True}
    request |= {"stream_options": {"include_usage": True}, **body}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    sent, lines = time.perf_counter(), list[tuple[float, bytes]]()
    connection.request(
        "POST",
        f"/v1/{'chat/' if server.chats else ''}completions",
        json.dumps(request),
        {"Content-Type": "application/json"},
    )
    response = connection.getresponse()
    if response.status != http.HTTPStatus.OK:
        raise RuntimeError(f"{server.name} answers {response.status}: {response.read()!r}")
    while line := response.readline():
        if line.startswith(b"data: {"):
            lines.append((time.perf_counter(), line))
            if on_text:
                on_text(len(lines))
    connection.close()
    return _reply(sent, lines)


def conversation(*texts: str) -> list[dict[str, str]]:
    """As messages: the user's and the assistant's in turn, behind the system's."""
    roles = ("user", "assistant")
    said = [{"role": roles[index % 2], "content": text} for index, text in enumerate(texts)]
    return [{"role": "system", "content": SYSTEM}, *said]


def ask_together(server: Server, questions: Sequence[str], **options: Any) -> list[Reply]:
    """One stream for each question, all at once."""
    return together([partial(ask, server, question, **options) for question in questions])


def together(calls: Sequence[Callable[[], Reply]]) -> list[Reply]:
    """Start all at the same time, wait for all."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return [waiting.result() for waiting in [threads.submit(call) for call in calls]]


def _reply(sent: float, lines: Sequence[tuple[float, bytes]]) -> Reply:
    times, texts, usage = list[float](), list[str](), dict[str, Any]()
    for moment, line in lines:
        event = json.loads(line[len(b"data: ") :])
        if "error" in event:
            raise RuntimeError(event["error"])
        usage = event.get("usage") or usage
        text = "".join(
            choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in event["choices"]
        )
        if text:
            times.append(moment)
            texts.append(text)
    return Reply(sent, times, texts, usage)
