"""Answers and calls that are held to a form, behind the thinking, over HTTP: the real model with other families' templates."""

# ruff: noqa: E501
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.api.conftest import FLAGS, wait_until_ready
from tests.browser.server import Server
from tests.engine.families import FAMILIES
from tests.engine.templated import THINKER, USER_FIRST, templated

SCHEMA = {"type": "object", "properties": {"blue": {"type": "boolean"}}, "required": ["blue"]}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
QUESTION: Any = [{"role": "user", "content": "Is the sky blue over Paris?"}]
CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"]}
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "description": name, "parameters": CITY}}
    for name in ("weather", "time")
]
# Each thinks, and writes calls in another kind of format.
NAMES = ("Qwen 3", "Qwen 3.5", "GLM 4.6", "Magistral", "DeepSeek V3.1", "MiniMax M2", "Apertus", "Hunyuan A13B")


@pytest.fixture(scope="module")
def client(smollm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    server = Server(tmp_path_factory.mktemp("thinking"), *FLAGS, "--model", "thinker.gguf")
    path = templated(smollm, server.models, THINKER, "thinker")
    templated(smollm, server.models, USER_FIRST, "user-first")
    with server:
        wait_until_ready(server)
        # Read anew with each family's template, one after the other.
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        client.models_folder = path.parent  # type: ignore[attr-defined]
        yield client
        assert "Traceback" not in server.output()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("budget", [0, 12])
def test_a_schema_binds_the_answer_behind_the_thinking(client: openai.OpenAI, stream: bool, budget: int):
    thinking, text, _, usage = asked(client, stream, response_format=FORMAT, budget=budget)
    assert isinstance(json.loads(text)["blue"], bool)
    assert bool(thinking) == bool(budget)
    assert usage.completion_tokens_details.reasoning_tokens == budget


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "time"}}])
def test_a_call_that_has_to_be_stands_behind_the_thinking(client: openai.OpenAI, stream: bool, choice: Any):
    thinking, text, calls, _ = asked(client, stream, tools=TOOLS, tool_choice=choice, budget=12)
    assert thinking
    assert not text
    assert calls
    assert all(json.loads(arguments)["city"] is not None for _, arguments in calls)
    if choice != "required":
        assert [name for name, _ in calls] == ["time"]


def test_thinking_is_switched_off(client: openai.OpenAI):
    for more in ({"enable_thinking": False}, {"reasoning_effort": "none"}, {"reasoning": {"enabled": False}}):
        reply = client.chat.completions.create(model="thinker", messages=QUESTION, max_tokens=8, extra_body=more)
        assert reply.choices[0].message.content
        assert "reasoning_content" not in (reply.choices[0].message.model_extra or {})


def test_what_was_done_to_the_roles_is_told(client: openai.OpenAI):
    said: Any = [{"role": "assistant", "content": "Hello, I am Ada."}, *QUESTION, *QUESTION]
    reply = client.chat.completions.create(model="user-first", messages=said, max_tokens=8)
    notes = (reply.model_extra or {})["notes"]
    assert notes[0] == "The assistant began: an empty question stands before it."
    assert "joined" in notes[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_forced_call_of_every_kind_of_format(client: openai.OpenAI, smollm: Path, name: str):
    family = next(each for each in FAMILIES if each.name == name)
    model = name.replace(" ", "-")
    templated(smollm, client.models_folder, family.template, model)  # type: ignore[attr-defined]
    _, text, calls, _ = asked(
        client, True, model, tools=TOOLS, tool_choice="required", budget=6, parallel_tool_calls=False
    )
    assert not text.strip()
    [(called, arguments)] = calls
    assert called in ("weather", "time")
    assert len(json.loads(arguments)["city"]) <= 1000


def asked(
    client: openai.OpenAI, stream: bool, model: str = "thinker", *, budget: int, **more: Any
) -> tuple[str, str, list[tuple[str, str]], Any]:
    """Thinking, text, calls and usage of a reply, whole or put together from its pieces."""
    body: Any = {"model": model, "messages": QUESTION, "max_tokens": 200, **more}
    body |= {"extra_body": {"thinking_budget": budget, "repeat_penalty": 1.1}}
    if not stream:
        reply = client.chat.completions.create(**body)
        message = reply.choices[0].message
        calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or []]
        return (
            (message.model_extra or {}).get("reasoning_content", "").strip(),
            message.content or "",
            calls,
            reply.usage,
        )
    thinking, text, usage = "", "", None
    parts: dict[int, list[str]] = {}
    for chunk in client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            thinking += (choice.delta.model_extra or {}).get("reasoning_content") or ""
            text += choice.delta.content or ""
            for piece in choice.delta.tool_calls or []:
                part = parts.setdefault(piece.index, ["", ""])
                part[0] += piece.function.name or ""
                part[1] += piece.function.arguments or ""
    return thinking.strip(), text, [(name, arguments) for name, arguments in parts.values()], usage
