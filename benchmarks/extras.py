"""What a request may ask for beside plain text, each against plain text at the same server: what it costs, or saves."""

from __future__ import annotations

import http.client
import inspect
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks import bare_loop
from benchmarks.bench import Bench, run
from benchmarks.client import Reply, ask, conversation, speed
from benchmarks.http import BARE, STORY
from benchmarks.prompts import long_prompt, numbers
from benchmarks.report import Table, in_turn
from benchmarks.servers import LLAMA_SERVER, OURS, Server, usable_cores

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 30}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
}
PEOPLE = {"type": "array", "items": PERSON, "minItems": 40}
RECORD = {
    "type": "object",
    "properties": {f"the_full_legal_name_of_witness_number_{n}": {"type": "boolean"} for n in range(12)},
    "required": [f"the_full_legal_name_of_witness_number_{n}" for n in range(12)],
}
REPEAT = "```python\n{file}```\n\nThe same file again:\n\n```python\n{beginning}"


def extras(bench: Bench) -> None:
    with bench.servers() as servers:
        table = Table("against plain text", OURS, LLAMA_SERVER)

        def row(name: str, measure: Callable[[Server], float]) -> None:
            sides = {side: partial(measure, server) for side, server in servers.items()}
            table.row(name, in_turn(bench.rounds, sides, warm_up=False), "{:.2f}")

        row("tokens/s with a JSON schema", partial(_share, json_schema=PEOPLE))
        row("tokens/s with a JSON schema of long names", partial(_share, json_schema=RECORD, deterministic=False))
        row("tokens/s with five log-probabilities of each token", partial(_share, logprobs=5))
        row("time for four choices of a prompt of 1,500 tokens", _choices)
        repeating(bench, servers[OURS], servers[LLAMA_SERVER])
        embedding(bench, servers[OURS])


def repeating(bench: Bench, *servers: Server) -> None:
    """Tokens/s of a reply that repeats a file of its prompt, nearly, against the bare loop behind the same prompt."""
    file = inspect.getsource(Reply)
    question = REPEAT.format(file=file, beginning=file[: file.index("    @property")].rstrip())
    n_tokens = 100 if bench.quick else 200

    def bare() -> float:
        said = conversation(question)
        return bare_loop.measure(bench.model, said, n_tokens=n_tokens, n_threads=usable_cores())["tokens_per_second"]

    sides: dict[str, Callable[[], float]] = {BARE: bare}
    # A small model repeats a text that it goes on with, rather than one that it is told to repeat.
    sides |= {of.name: partial(_speed, replace(of, chats=False), question, n_tokens) for of in servers}
    table = Table("a file of the prompt again", OURS, BARE, LLAMA_SERVER)
    table.row("tokens/s", in_turn(bench.rounds, sides))


def embedding(bench: Bench, server: Server) -> None:
    """Tokens/s of a stream while a client has texts embedded, one request after another, against the stream alone."""
    with_both, alone = "beside embeddings", "alone"
    n_texts = list[float]()

    def beside() -> float:
        done = threading.Event()
        client = threading.Thread(target=lambda: n_texts.append(_embed_until(server, done)))
        client.start()
        try:
            return _speed(server, STORY.format(1), 160)
        finally:
            done.set()
            client.join()

    sides: dict[str, Callable[[], float]] = {with_both: beside}
    sides[alone] = partial(_speed, server, STORY.format(1), 160)
    table = Table("one stream", with_both, alone)
    table.row("tokens/s", in_turn(bench.rounds, sides))
    print(f"\nTexts of 100 tokens embedded beside it: {sum(n_texts) / len(n_texts):.1f} a second")


def _share(server: Server, **body: Any) -> float:
    """Tokens/s with something asked for, against the same without."""
    chat_body = {"logprobs": True, "top_logprobs": 5} if "logprobs" in body and server.chats else body
    question = STORY.format(next(numbers))
    return _speed(server, question, 128, **chat_body) / _speed(server, question, 128)


def _choices(server: Server) -> float:
    """Seconds for four choices of a cold prompt, 16 tokens each, against one of another cold prompt."""
    four, one = (ask(server, long_prompt(1500), max_tokens=16, n=n) for n in (4, 1))
    return (four.times[-1] - four.sent) / (one.times[-1] - one.sent)


def _speed(server: Server, question: str, n_tokens: int, **body: Any) -> float:
    ask(server, question, max_tokens=1)
    return speed([ask(server, question, max_tokens=n_tokens, **body)])


def _embed_until(server: Server, done: threading.Event) -> float:
    """Texts a second."""
    n_texts, begun = 0, time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    while not done.is_set():
        texts = [f"{next(numbers)}. {'The lamp is lit at dusk. ' * 14}" for _ in range(4)]
        connection.request("POST", "/v1/embeddings", json.dumps({"input": texts}), {"Content-Type": "application/json"})
        connection.getresponse().read()
        n_texts += len(texts)
    connection.close()
    return n_texts / (time.perf_counter() - begun)


if __name__ == "__main__":
    run(__doc__, extras)
