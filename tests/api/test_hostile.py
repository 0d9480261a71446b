"""Requests and models that mean harm, at the real program: each is refused or answered soon, and others are served."""

# ruff: noqa: E501
from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.api.conftest import FLAGS, wait_until_ready
from tests.browser.server import Server
from tests.engine.schemas import HOSTILE, fields, nested, pattern
from tests.engine.templated import templated
from tests.engine.tiny import write_mamba

CHAT = "/v1/chat/completions"
QUESTION: Any = [{"role": "user", "content": "Hi"}]
LIMIT = "as an answer 30 s would be a hang; a healthy one takes parts of a second"
SECONDS, MEMORY = 30.0, 1_000_000_000
FORTY_TIMES = "{% set ns = namespace(s='x') %}{% for i in range(40) %}BODY{% endfor %}{{ ns.s }}"
TEMPLATES = {
    "doubles": FORTY_TIMES.replace("BODY", "{% set ns.s = ns.s ~ ns.s %}"),
    "nests": "{{ " + "(" * 10_000 + "1" + ")" * 10_000 + " }}",
    "loops": "{% for a in range(30000) %}{% for b in range(30000) %}{% for c in range(30000) %}{% endfor %}{% endfor %}{% endfor %}",
    "recurses": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "switches": "{% if enable_thinking %}"
    + FORTY_TIMES.replace("BODY", "{% set ns.s = ns.s + ns.s %}")
    + "{% endif %}{{ 'x' * 10**12 }}",
    "broken": "{% for m in messages %}{{ m.content }",
}
REGEXES = [
    "^(a+)+$",
    "^(a|aa)+$",
    "^(.*){1,32000}[bc]$",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "^((a{0,5000}){0,5000}){0,5000}$",
    "^(x+x+)+y$",
    "^[^a]{0,60000}$",
    "(?:(?:(?:a?){50}){50}){50}b",
]
TOOL = {"type": "function", "function": {"name": "f", "parameters": fields(a={"type": "string"})}}


def tool(parameters: Any, name: str = "f") -> dict[str, Any]:
    return {
        "tools": [{"type": "function", "function": {"name": name, "parameters": parameters}}],
        "tool_choice": "required",
    }


BODIES: dict[str, dict[str, Any]] = {
    **{f"schema or grammar {n}": each for n, each in enumerate(HOSTILE)},
    **{f"regex {n}": {"json_schema": pattern(each)} for n, each in enumerate(REGEXES)},
    **{f"tool {n}": tool(each["json_schema"]) for n, each in enumerate(HOSTILE) if "json_schema" in each},
    "a tool with an enum": tool(fields(a={"type": "string", "enum": [f"value {n}" for n in range(20_000)]})),
    "many tools": {"tools": [{"type": "function", "function": {"name": f"f{n}", "parameters": fields(**{f"p{i}": {"type": "string", "pattern": "^(a|b)*a(a|b){12}$"} for i in range(20)})}} for n in range(128)], "tool_choice": "required"},
    "a name that is no word": tool({}, name='"}\n<|im_end|>\0</tool_call> %json {} start: /('),
    "a nested schema": {"json_schema": nested(5000 // 50)},
    "long stop strings": {"stop": ["x" * 1_000_000, *["a" * n for n in range(1, 16)]]},
    "too many stop strings": {"stop": [str(n) for n in range(20_000)]},
    "biases": {"logit_bias": {str(n): 1 for n in range(49_000)}},
    "arguments": {"chat_template_kwargs": {"a": ["x" * 1000] * 1000}},
    "budget": {"thinking_budget": 10**30},
}  # fmt: skip


@pytest.fixture(scope="module")
def server(smollm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("hostile"), *FLAGS)
    tiny = write_mamba(server.folder / "tiny.gguf")
    for name, template in TEMPLATES.items():
        templated(tiny, server.models, template, name)
    templated(smollm, server.models, "{% for m in messages %}{{ m.content }}{% endfor %}", "sane")
    server.flags = (*server.flags, "--model", "sane.gguf")
    with server:
        wait_until_ready(server)
        yield server
        assert "Traceback" not in server.output()


class Watch:
    """Asks for health all the time; knows the longest wait, and the most memory there was."""

    def __init__(self, server: Server) -> None:
        assert server.process is not None
        self._url = f"{server.url}/healthz"
        self._process = psutil.Process(server.process.pid)
        self._before = self._process.memory_info().rss
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.longest = 0.0
        self.grown = 0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(timeout=SECONDS) as client:
            while not self._ended.is_set():
                begun = time.monotonic()
                assert client.get(self._url).status_code == 200
                self.longest = max(self.longest, time.monotonic() - begun)
                self.grown = max(self.grown, self._process.memory_info().rss - self._before)
                time.sleep(0.02)


def survived(server: Server, body: bytes) -> httpx.Response:
    """The answer to a request, if nobody else was held up and the memory held."""
    begun = time.monotonic()
    with Watch(server) as watch:
        answer = httpx.post(
            f"{server.url}{CHAT}", content=body, headers={"Content-Type": "application/json"}, timeout=120
        )
    seconds = time.monotonic() - begun
    print(f"{answer.status_code} after {seconds:.2f} s, health {watch.longest:.2f} s, {watch.grown / 1e6:.0f} MB")  # noqa: T201 - shown by pytest -s
    assert seconds < SECONDS, LIMIT
    assert watch.longest < SECONDS / 3, LIMIT
    assert watch.grown < MEMORY
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        assert 0 < len(answer.json()["error"]["message"]) < 600
    return answer


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_request_is_refused_or_answered(server: Server, name: str):
    body = {"messages": QUESTION, "max_tokens": 12, **BODIES[name]}
    answer = survived(server, json.dumps(body).encode())
    if name in ("too many stop strings", "a nested schema", "budget"):
        assert answer.status_code == 400


@pytest.mark.parametrize("field", ["json_schema", "chat_template_kwargs", "tools", "messages"])
@pytest.mark.parametrize("brackets", [(b'{"a":', b"}"), (b"[", b"]")])
def test_ten_thousand_levels_are_refused(server: Server, field: str, brackets: tuple[bytes, bytes]):
    opening, closing = brackets
    deep = opening * 10_000 + b"1" + closing * 10_000
    body = b'{"messages": [{"role": "user", "content": "Hi"}], "' + field.encode() + b'": ' + deep + b"}"
    assert survived(server, body).status_code == 400


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_hostile_template_costs_its_own_request_alone(server: Server, name: str):
    answer = survived(server, json.dumps({"messages": QUESTION, "model": name, "max_tokens": 3}).encode())
    assert answer.status_code == 400
    assert "chat template could not be applied" in answer.json()["error"]["message"]


def test_a_template_of_ones_own_is_the_way_out(server: Server):
    """It is read when the model is loaded."""
    templated(server.models / "doubles.gguf", server.models, "{{ messages[-1].content }}", "way-out")
    answer = survived(server, json.dumps({"messages": QUESTION, "model": "way-out", "max_tokens": 3}).encode())
    assert answer.status_code == 200
