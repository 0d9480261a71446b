"""Anthropic's protocol on a scripted engine: shapes, events, errors, and conversations as agents send them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from localchat_ui.conversation import Role
from localchat_ui.engine.base import ToolCall, Turn
from tests.api.events import events_of
from tests.ui.conftest import Program

PATH = "/v1/messages"
QUESTION: dict[str, Any] = {"max_tokens": 100, "messages": [{"role": "user", "content": "How are you?"}]}
TOOL = {
    "name": "time",
    "description": "The time",
    "input_schema": {"type": "object", "properties": {"zone": {"type": "integer"}}},
}
CALL = ('{"name": "time", "argu', 'ments": {"zone": 1}}')


async def asked(client: httpx.AsyncClient, **more: Any) -> Any:
    response = await client.post(PATH, json={**QUESTION, **more}, headers={"anthropic-version": "2023-06-01"})
    assert response.status_code == 200, response.text
    return response.json()


async def streamed(client: httpx.AsyncClient, **more: Any) -> list[Any]:
    response = await client.post(PATH, json={**QUESTION, **more, "stream": True})
    events = events_of(response.text)
    assert [event.name for event in events] == [event.data["type"] for event in events]
    return [event.data for event in events]


async def test_a_reply_has_anthropics_shape(client: httpx.AsyncClient, running: Program):
    running.engine.enqueue("I am", " fine.", thinking="Hm.")
    reply = await asked(client, temperature=0.2, top_k=7, stop_sequences=["END"], metadata={"user_id": "anna"})
    assert reply.pop("id").startswith("msg_")
    assert reply == {
        "type": "message",
        "role": "assistant",
        "model": "first",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "unsigned"},
            {"type": "text", "text": "I am fine."},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 1,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 2,
        },
    }
    [request] = running.engine.requests
    assert request.turns == [Turn(Role.USER, "How are you?")]
    assert request.stop == ("END",)
    assert not request.may_drop
    assert (request.sampling.temperature, request.sampling.top_k, request.sampling.max_tokens) == (0.2, 7, 100)


async def test_a_stream_has_anthropics_events(client: httpx.AsyncClient, running: Program):
    running.engine.enqueue("Let me see.\n<tool_call>", *CALL, "</tool_call>", thinking="Hm.")
    events = await streamed(client, tools=[TOOL])
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert events[0]["message"]["content"] == []
    assert events[0]["message"]["stop_reason"] is None
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert starts[:2] == [{"type": "thinking", "thinking": "", "signature": ""}, {"type": "text", "text": ""}]
    assert (starts[2]["type"], starts[2]["name"], starts[2]["input"]) == ("tool_use", "time", {})
    # One block after the other: each begins, grows and stops before the next begins.
    order = [event["index"] for event in events if "index" in event]
    assert order == sorted(order)
    assert kinds.count("content_block_stop") == 3
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta.get("thinking", "") for delta in deltas) == "Hm."
    assert [delta["signature"] for delta in deltas if delta["type"] == "signature_delta"] == ["unsigned"]
    assert "".join(delta.get("text", "") for delta in deltas) == "Let me see."
    assert "".join(delta.get("partial_json", "") for delta in deltas) == '{"zone": 1}'
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] == 4


async def test_several_calls_are_several_blocks(client: httpx.AsyncClient, running: Program):
    call = "<tool_call>" + "".join(CALL) + "</tool_call>"
    for stream in (False, True):
        running.engine.enqueue(call, "\n" + call)
        if stream:
            events = await streamed(client, tools=[TOOL])
            blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
        else:
            blocks = (await asked(client, tools=[TOOL]))["content"]
            assert [block["input"] for block in blocks] == [{"zone": 1}] * 2
        assert [block["type"] for block in blocks] == ["tool_use"] * 2
        assert len({block["id"] for block in blocks}) == 2


async def test_a_conversation_with_tools_reaches_the_engine(client: httpx.AsyncClient, running: Program):
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "What time is it?", "cache_control": {"type": "x"}}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "x"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "c1", "name": "time", "input": {"zone": 1}},
                {"type": "tool_use", "id": "c2", "name": "time", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "noon"}]},
                {"type": "tool_result", "tool_use_id": "c2", "content": "no zone", "is_error": True},
                {"type": "text", "text": "Well?"},
                {"type": "text", "text": "Say."},
            ],
        },
    ]
    billing = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cch=00000;"}
    system = [billing, {"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]
    await asked(client, system=system, messages=messages, tools=[TOOL], thinking={"type": "disabled"})
    [request] = running.engine.requests
    assert request.turns == [
        Turn(Role.SYSTEM, "Be brief.\n\nBe kind."),
        Turn(Role.USER, "What time is it?"),
        Turn(
            Role.ASSISTANT,
            "Let me see.",
            "Hm.",
            tool_calls=(ToolCall("time", {"zone": 1}, "c1"), ToolCall("time", {}, "c2")),
        ),
        Turn(Role.TOOL, "noon", tool_call_id="c1"),
        Turn(Role.TOOL, "Error: no zone", tool_call_id="c2"),
        Turn(Role.USER, "Well?\n\nSay."),
    ]
    [tool] = request.template_arguments["tools"]  # type: ignore[misc]
    assert tool["function"] == {"name": "time", "description": "The time", "parameters": TOOL["input_schema"]}
    assert request.template_arguments["enable_thinking"] is False


async def test_choices_of_tools_and_formats_bind_the_reply(client: httpx.AsyncClient, running: Program):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wanted = {"type": "json_schema", "schema": schema}
    for more in (
        {"tools": [TOOL], "tool_choice": {"type": "any"}},
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "time", "disable_parallel_tool_use": True}},
        {"tools": [TOOL], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        {"tools": [TOOL], "tool_choice": {"type": "none"}},
        {"output_config": {"format": wanted, "effort": "low"}},
        {"output_format": wanted},
    ):
        await asked(client, **more)
    required, named, single, none, format_, older = running.engine.requests
    assert required.must_call == named.must_call == ("time",)
    assert [each.may_call_several for each in (required, named, single)] == [True, False, False]
    assert (none.must_call, none.template_arguments) == ((), {})
    assert format_.sampling.json_schema == older.sampling.json_schema == schema
    assert format_.template_arguments == {"reasoning_effort": "low"}


async def test_tokens_are_counted_without_a_reply(client: httpx.AsyncClient, running: Program):
    body = {"system": "Be brief.", "messages": QUESTION["messages"], "tools": [TOOL]}
    assert (await client.post(f"{PATH}/count_tokens", json=body)).json() == {"input_tokens": 5}
    assert not running.engine.requests


async def test_a_client_is_told_to_send_conversations_whole(client: httpx.AsyncClient):
    """Anthropic's own client then goes on without threads."""
    answer = await client.post(PATH, json={**QUESTION, "thread": {"type": "create"}})
    assert answer.status_code == 400
    details = answer.json()["error"]["details"]
    assert details == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "messages[0].content[0].source"),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [{"type": "image"}]}]}]},
        "messages[0].content[0].content[0].type",
    ),
    ({"system": [{"type": "image"}]}, "system[0].type"),
    ({"max_tokens": -5}, "max_tokens"),
    ({"temperature": 3}, "temperature"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ({"output_format": {"type": "json_schema"}}, "output_format.schema"),
    ({"thinking": {"type": "perhaps"}}, "thinking.type"),
    ({"compaction": {"type": "x"}}, "compaction"),
    ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
]


@pytest.mark.parametrize(("more", "param"), WRONG)
async def test_what_is_wrong_is_told_in_anthropics_shape(client: httpx.AsyncClient, more: dict[str, Any], param: str):
    for path in (PATH, f"{PATH}/count_tokens"):
        answer = await client.post(path, json={**QUESTION, **more})
        assert answer.status_code == 400, answer.text
        body = answer.json()
        assert body.keys() == {"type", "error"}
        assert body["type"] == "error"
        assert (body["error"]["type"], body["error"]["param"]) == ("invalid_request_error", param)


async def test_an_unknown_model_is_not_found(client: httpx.AsyncClient):
    answer = await client.post(PATH, json={**QUESTION, "model": "claude-sonnet-4-5"})
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"


async def test_a_reply_that_fails_says_why(client: httpx.AsyncClient, running: Program):
    running.engine.enqueue("Well", error="The model failed.")
    answer = await client.post(PATH, json=QUESTION)
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "api_error")
    running.engine.seconds_per_token = 0.4
    running.engine.enqueue("Well", error="The model failed.")
    last = (await streamed(client))[-1]
    assert (last["type"], last["error"]["message"]) == ("error", "The model failed.")
