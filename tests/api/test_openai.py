"""OpenAI's protocol on a scripted engine: shapes, errors, and requests that mean harm."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from localchat_ui.conversation import Role
from localchat_ui.engine.base import EngineFigures, ToolCall, Turn
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.history.database import Database
from localchat_ui.history.preferences import Preferences
from tests.api.conftest import connected
from tests.api.events import events_of
from tests.ui.conftest import Program, until

CHAT = "/v1/chat/completions"
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "How are you?"}]}
TOOL = {"type": "function", "function": {"name": "time", "parameters": {"type": "object", "properties": {}}}}
FULL_TOOL = {
    "type": "function",
    "function": {"name": "time", "description": "", "parameters": {"type": "object", "properties": {}}},
}


async def asked(client: httpx.AsyncClient, **more: Any) -> Any:
    """The answer to a question."""
    response = await client.post(CHAT, json={**QUESTION, **more})
    assert response.status_code == 200, response.text
    return response.json()


async def refused(client: httpx.AsyncClient, status: int, path: str = CHAT, **more: Any) -> dict[str, Any]:
    """The error that a request gets."""
    # As ASCII: what is no character cannot be sent otherwise.
    body = json.dumps({**QUESTION, **more} if path == CHAT else more)
    response = await client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == status, response.text
    answer = response.json()
    assert answer.keys() == {"error"}
    assert answer["error"].keys() == {"message", "type", "param", "code"}
    error: dict[str, Any] = answer["error"]
    return error


async def test_what_a_request_leaves_out_is_what_is_set_of_its_model(program: Program):
    database = await Database(program.database_url).open()
    await Preferences(database).set("model.defaults", {"second": {"chat": {"temperature": 0.125, "top_k": 3}}})
    await database.close()
    async with program.running(), connected() as client:
        await until(lambda: program.engine.model is not None)
        for model, more, wanted in (
            ("second", {}, (0.125, 3)),
            ("second", {"temperature": 1.5}, (1.5, 3)),
            ("first", {}, (0.7, 40)),
        ):
            await asked(client, model=model, **more)
            sampling = program.engine.requests[-1].sampling
            assert (sampling.temperature, sampling.top_k) == wanted


async def test_installed_models_are_listed(client: httpx.AsyncClient):
    listed = (await client.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [card["id"] for card in listed["data"]] == ["first", "second"]
    assert listed["data"][0].keys() == {"id", "object", "created", "owned_by", "context_length"}
    assert listed["data"][0]["created"] > 10**9
    assert (await client.get("/v1/models/second")).json() == listed["data"][1]
    for path in ("/v1/models/third", "/v1/models/..%2Ffirst", "/v1/nothing"):
        missing = await client.get(path)
        assert missing.status_code == 404
        assert missing.json()["error"]["type"] == "invalid_request_error"


async def test_a_reply_has_openais_shape(client: httpx.AsyncClient, running: Program):
    running.engine.enqueue("I am", " fine.")
    reply = await asked(client, temperature=0.2, top_k=7, presence_penalty=1, stop="END", user="anna", store=False)
    assert reply.keys() == {"id", "object", "created", "model", "choices", "usage"}
    assert (reply["object"], reply["model"]) == ("chat.completion", "first")
    [choice] = reply["choices"]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": "I am fine."},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert reply["usage"] == {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    [request] = running.engine.requests
    assert request.turns == [Turn(Role.USER, "How are you?")]
    assert request.stop == ("END",)
    assert not request.may_drop
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_k, sampling.presence_penalty) == (0.2, 7, 1)
    assert sampling.max_tokens > 10_000


async def test_a_stream_ends_with_usage_and_done(client: httpx.AsyncClient, running: Program):
    running.engine.enqueue("I am", " fine.")
    response = await client.post(CHAT, json={**QUESTION, "stream": True, "stream_options": {"include_usage": True}})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["cache-control"] == "no-cache"
    *chunks, done = [event.data for event in events_of(response.text)]
    assert done == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]) == "I am fine."
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 2


async def test_several_choices_have_seeds_of_their_own(client: httpx.AsyncClient, running: Program):
    reply = await asked(client, n=3, seed=-2, max_completion_tokens=1)
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
    assert {choice["finish_reason"] for choice in reply["choices"]} == {"length"}
    assert len({request.sampling.seed for request in running.engine.requests}) == 3
    assert reply["usage"]["prompt_tokens"] == 1
    assert reply["usage"]["completion_tokens"] == 3


async def test_history_with_tools_reaches_the_engine(client: httpx.AsyncClient, running: Program):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "kind."}]},
        {"role": "user", "content": "What time is it?"},
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "time", "arguments": '{"zone": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "noon"},
    ]
    await asked(client, messages=messages, tools=[TOOL], chat_template_kwargs={"enable_thinking": False})
    [request] = running.engine.requests
    assert request.turns == [
        Turn(Role.SYSTEM, "Be brief."),
        Turn(Role.SYSTEM, "Be kind."),
        Turn(Role.USER, "What time is it?"),
        Turn(Role.ASSISTANT, "", tool_calls=(ToolCall("time", {"zone": 1}, "c1"),)),
        Turn(Role.TOOL, "noon", tool_call_id="c1"),
    ]
    assert request.template_arguments == {"tools": [FULL_TOOL], "enable_thinking": False}


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"seed": -1}, "seed", None),
        ({"max_tokens": -1}, "max_tokens", 32768),
        ({"max_tokens": 0}, "max_tokens", 32768),
        ({"max_completion_tokens": -1}, "max_tokens", 32768),
        ({"n_predict": -1}, "max_tokens", 32768),
        ({"top_k": -1}, "top_k", 0),
        ({"repetition_penalty": 1.5}, "repeat_penalty", 1.5),
        ({"cache_prompt": True}, "seed", None),
    ],
)
async def test_values_are_taken_as_clients_of_other_servers_mean_them(
    client: httpx.AsyncClient, running: Program, given: dict[str, Any], name: str, value: object
):
    await asked(client, **given)
    assert getattr(running.engine.requests[-1].sampling, name) == value


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ("", {}),
        ("null", {}),
        ({"zone": 1}, {"zone": 1}),
        ("{broken", {"input": "{broken"}),
        ("[1]", {"input": [1]}),
        ('"noon"', {"input": "noon"}),
    ],
)
async def test_arguments_of_the_history_are_objects(
    client: httpx.AsyncClient, running: Program, arguments: object, read: object
):
    call = {"id": "c1", "type": "function", "function": {"name": "time", "arguments": arguments}}
    messages = [*QUESTION["messages"], {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "noon"}]
    await asked(client, messages=messages)
    assert running.engine.requests[-1].turns[1].tool_calls[0].arguments == read


async def test_a_tool_needs_nothing_but_a_name(client: httpx.AsyncClient, running: Program):
    await asked(client, tools=[{"type": "function", "function": {"name": "time"}}])
    [tool] = running.engine.requests[-1].template_arguments["tools"]  # type: ignore[misc]
    assert tool["function"] == {"name": "time", "description": "", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_come_apart_from_the_text(client: httpx.AsyncClient, running: Program, stream: bool):
    running.engine.enqueue("Let me", " see.\n<tool", '_call>{"name": "time", "argu', 'ments": {"zone": 1}}</tool_call>')
    if stream:
        response = await client.post(CHAT, json={**QUESTION, "tools": [TOOL], "stream": True})
        choices = [event.data["choices"][0] for event in events_of(response.text)[:-1]]
        text = "".join(choice["delta"].get("content", "") for choice in choices)
        [call, *more] = [call for choice in choices for call in choice["delta"].get("tool_calls", [])]
        for piece in more:
            assert "id" not in piece
            call["function"]["arguments"] += piece["function"]["arguments"]
        assert call.pop("index") == 0
        reason = choices[-1]["finish_reason"]
    else:
        [choice] = (await asked(client, tools=[TOOL]))["choices"]
        text, [call], reason = choice["message"]["content"], choice["message"]["tool_calls"], choice["finish_reason"]
    assert (text, reason) == ("Let me see.", "tool_calls")
    assert re.fullmatch("[A-Za-z0-9]{9}", call.pop("id"))
    assert call == {"type": "function", "function": {"name": "time", "arguments": '{"zone": 1}'}}


@pytest.mark.parametrize(
    ("more", "arguments", "budget"),
    [
        ({"enable_thinking": False}, {"enable_thinking": False}, None),
        ({"chat_template_kwargs": {"a": 1}, "enable_thinking": True}, {"a": 1, "enable_thinking": True}, None),
        ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}, None),
        ({"reasoning_effort": "none"}, {"reasoning_effort": "none", "enable_thinking": False}, None),
        ({"reasoning": {"effort": "high", "summary": "auto"}}, {"reasoning_effort": "high"}, None),
        ({"reasoning": {"enabled": False}}, {"enable_thinking": False}, None),
        ({"reasoning": {"max_tokens": 5}}, {}, 5),
        ({"reasoning": {"max_tokens": 5}, "thinking_budget": 6}, {}, 6),
        ({"thinking_token_budget": 0}, {}, 0),
        ({"thinking_budget_tokens": 7}, {}, 7),
        ({"reasoning_budget": -1}, {}, None),
    ],
)  # fmt: skip
async def test_thinking_is_asked_for_in_the_words_of_several_servers(
    client: httpx.AsyncClient, running: Program, more: dict[str, Any], arguments: dict[str, Any], budget: int | None
):
    await asked(client, **more)
    [request] = running.engine.requests
    assert (request.template_arguments, request.sampling.thinking_budget) == (arguments, budget)


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
async def test_what_was_thought_comes_back_under_either_name(client: httpx.AsyncClient, running: Program, name: str):
    said = [{"role": "assistant", "content": "4", name: "2 + 2"}, {"role": "user", "content": "Sure?"}]
    await asked(client, messages=[{"role": "user", "content": "?"}, *said])
    assert running.engine.requests[0].turns[1].thinking == "2 + 2"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_done_to_the_roles_is_told(client: httpx.AsyncClient, running: Program, stream: bool):
    assert "notes" not in await asked(client)
    running.engine.notes = ("Two were joined.",)
    if stream:
        chunks = [event.data for event in events_of((await client.post(CHAT, json={**QUESTION, "stream": True})).text)]
        assert [chunk["notes"] for chunk in chunks[:-1] if "notes" in chunk] == [["Two were joined."]]
    else:
        assert (await asked(client))["notes"] == ["Two were joined."]


async def test_forced_tools_and_formats_become_schemas(client: httpx.AsyncClient, running: Program):
    named = {"type": "function", "function": {"name": "time"}}
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    for more in (
        {"tools": [TOOL], "tool_choice": named},
        {"tools": [TOOL], "tool_choice": "none"},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_object", "schema": schema}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}},
    ):
        await asked(client, **more)
    forced, unforced, free, object_alone, exact = running.engine.requests
    assert (forced.must_call, forced.may_call_several, forced.sampling.json_schema) == (("time",), False, None)
    assert (unforced.template_arguments, unforced.must_call) == ({}, ())
    assert free.sampling.json_schema == {"type": "object"}
    assert object_alone.sampling.json_schema == exact.sampling.json_schema == schema


async def test_completions_read_the_prompt_as_it_is(client: httpx.AsyncClient, running: Program):
    body = {"prompt": ["one two", "three"], "n": 2, "echo": True, "max_tokens": 9}
    reply = (await client.post("/v1/completions", json=body)).json()
    assert reply["object"] == "text_completion"
    assert [choice["text"] for choice in reply["choices"]] == ["one twoone two"] * 2 + ["threethree"] * 2
    assert [request.prompt for request in running.engine.requests] == ["one two", "one two", "three", "three"]
    running.engine.enqueue("four")
    response = await client.post("/v1/completions", json={"prompt": [1, 2], "stream": True})
    chunks = [event.data for event in events_of(response.text)[:-1]]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "four"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert running.engine.requests[-1].prompt == [1, 2]


async def test_another_installed_model_answers_beside_the_one_in_use(client: httpx.AsyncClient, running: Program):
    reply = await asked(client, model="second")
    assert reply["model"] == "second"
    request = running.engine.requests[-1]
    assert request.model is not None
    assert request.model.name == "second.gguf"
    assert running.engine.model is not None
    assert running.engine.model.path.name == "first.gguf"
    for same in (None, "", "first", "first.gguf"):
        assert (await asked(client, model=same))["model"] == "first"


WRONG: list[tuple[dict[str, Any], str | None, str]] = [
    ({"messages": []}, "messages", "invalid_value"),
    ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "invalid_value"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "invalid_value"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "messages[0].content[0].type",
        "unsupported_content",
    ),
    ({"temperature": 3}, "temperature", "invalid_value"),
    ({"temperature": "hot"}, "temperature", "invalid_value"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "missing_required_parameter"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "missing_required_parameter"),
    ({"max_tokens": -2}, "max_tokens", "invalid_value"),
    ({"n": 99}, "n", "invalid_value"),
    ({"seed": 10**30}, "seed", "invalid_value"),
    ({"logit_bias": {"5": 1000}}, "logit_bias.5", "invalid_value"),
    ({"top_logprobs": 3}, "top_logprobs", "invalid_value"),
    ({"logprobs": True, "top_logprobs": 30}, "top_logprobs", "invalid_value"),
    ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "missing_required_parameter"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
    ({"temprature": 1}, "temprature", "unknown_parameter"),
    ({"\ud800": 1}, None, "invalid_value"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, None, "invalid_value"),
]


async def test_what_is_wrong_is_named(client: httpx.AsyncClient):
    for more, param, code in WRONG:
        error = await refused(client, 400, **more)
        assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error"), more


async def test_an_unknown_model_is_a_404(client: httpx.AsyncClient):
    for name in ("gpt-4", "../first", "/etc/passwd", "a\0b", "x" * 5000):
        error = await refused(client, 404, model=name)
        assert (error["param"], error["code"]) == ("model", "model_not_found")


async def test_completions_and_embeddings_refuse_what_they_cannot_do(client: httpx.AsyncClient):
    path = "/v1/completions"
    assert (await refused(client, 400, path, prompt=[1], suffix="y"))["param"] == "suffix"
    assert (await refused(client, 400, path, prompt=""))["param"] == "prompt"
    assert (await refused(client, 400, path, prompt=[1], echo=True))["param"] == "echo"
    assert "embeddings" in (await refused(client, 400, "/v1/embeddings", input="x"))["message"]
    assert (await refused(client, 400, "/v1/embeddings", input=[]))["param"] == "input"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_that_fails_says_why(client: httpx.AsyncClient, running: Program, stream: bool):
    running.engine.enqueue("Well", error="The model failed.")
    if stream:
        running.engine.seconds_per_token = 0.4
        response = await client.post(CHAT, json={**QUESTION, "stream": True})
        error = events_of(response.text)[-2].data["error"]
    else:
        error = await refused(client, 500)
    assert (error["message"], error["type"]) == ("The model failed.", "server_error")


async def test_a_full_queue_is_a_429(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ScriptedEngine, "figures", EngineFigures(waiting=256))
    response = await client.post(CHAT, json=QUESTION)
    assert response.status_code == 429
    assert response.json()["error"]["code"] == "queue_full"
    assert int(response.headers["retry-after"]) > 0


async def test_a_model_that_only_embeds_writes_nothing(running: Program, client: httpx.AsyncClient):
    (running.models / "embedding.gguf").write_bytes(b"GGUF")
    answers = [
        await client.post(CHAT, json={**QUESTION, "model": "embedding"}),
        await client.post("/v1/completions", json={"prompt": "Hi", "model": "embedding"}),
        await client.post("/chat/stream", json={"user_input": "Hi", "model": "embedding"}),
    ]
    for answer in answers:
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "model_not_loadable"
        assert "cannot chat" in answer.json()["error"]["message"]
    assert "embedding" in [card["id"] for card in (await client.get("/v1/models")).json()["data"]]


async def test_without_a_model_it_is_a_503(program: Program):
    program.engine.load_error = "It is broken."
    async with program.running() as running, connected() as client:
        await until(lambda: running.engine.model is None)
        response = await client.post(CHAT, json=QUESTION)
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "no_model"
        assert int(response.headers["retry-after"]) > 0
        assert (await client.get("/healthz")).json() == {"status": "ok", "ready": False, "model": None}
        assert (await client.get("/healthz?ready=1")).status_code == 503


DEEP = 3000
ATTACKS: list[bytes] = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe\x00",
    b'{"messages": NaN}',
    b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    b'{"messages": [{"role": "user", "content": "x"}], "temperature": Infinity}',
    b'{"messages": [{"role": "user", "content": "x"}], "dry_base": NaN, "mirostat_tau": NaN}',
    b'{"messages": [{"role": "user", "content": "x"}], "logit_bias": {"1": NaN}}',
    b'{"messages": [{"role": "user", "content": "x"}], "logit_bias": {"9' + b"9" * 40 + b'": 1}}',
    b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": ' + b"9" * 5000 + b"}",
    b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 1e400}',
    b'{"messages": [{"role": "user", "content": "x\\u0000y"}], "stop": "\\u0000"}',
    b'{"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"messages": 1, "self": 2}}',
    b'{"messages": [{"role": "user", "content": "x"}], "metadata": ' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"messages": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    b'{"messages": [{"role": "user", "content": "x"}], "json_schema": ' + b'{"a":' * 200 + b"1" + b"}" * 201,
    b'{"messages": [{"role": "user", "content": "x"}], "tools": '
    b'[{"type": "function", "function": {"name": "\\ud800"}}]}',
]


async def test_no_body_breaks_it(client: httpx.AsyncClient):
    for path in (CHAT, "/v1/completions", "/v1/embeddings", "/chat/stream", "/reset"):
        for kind in ("application/json", "text/plain"):
            for body in ATTACKS:
                response = await client.post(path, content=body, headers={"Content-Type": kind})
                assert response.status_code < 500, (path, kind, body[:100])
                if response.status_code >= 400:
                    assert json.loads(response.text)["error"]["message"]


def test_the_api_keeps_to_its_room():
    """It speaks to the rooms it may know, and writes no prompt into a log."""
    for file in (Path(__file__).parents[2] / "localchat_ui" / "api").glob("*.py"):
        source = file.read_text()
        assert "localchat_ui.ui" not in source
        assert "logger.info" not in source
