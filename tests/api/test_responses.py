"""OpenAI's /v1/responses on a scripted engine: shapes, events, what is kept, and conversations as agents send them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from localchat_ui.api.response_store import ResponseStore, StoredResponse
from localchat_ui.api.responses_schemas import InputItem, ReasoningOptions, ResponseObject, TextOptions
from localchat_ui.conversation import Role
from localchat_ui.engine.base import ToolCall, Turn
from tests.api.events import events_of
from tests.ui.conftest import Program

PATH = "/v1/responses"
TOOL = {
    "type": "function",
    "name": "time",
    "description": "The time",
    "parameters": {"type": "object", "properties": {"zone": {"type": "integer"}}},
    "strict": True,
}
CALL = '<tool_call>{"name": "time", "arguments": {"zone": 1}}</tool_call>'


async def asked(client: httpx.AsyncClient, **more: Any) -> Any:
    response = await client.post(PATH, json={"input": "How are you?", **more})
    assert response.status_code == 200, response.text
    return response.json()


async def streamed(client: httpx.AsyncClient, **more: Any) -> list[Any]:
    response = await client.post(PATH, json={"input": "How are you?", **more, "stream": True})
    events = events_of(response.text)
    assert [event.name for event in events] == [event.data["type"] for event in events]
    assert [event.data["sequence_number"] for event in events] == list(range(len(events)))
    return [event.data for event in events]


async def test_a_response_has_openais_shape(client: httpx.AsyncClient, running: Program):
    running.engine.enqueue("I am", " fine.", thinking="Hm.")
    response = await asked(client, temperature=0.2, max_output_tokens=9, metadata={"a": "b"}, include=["x"], n=1)
    assert (response["object"], response["status"], response["model"]) == ("response", "completed", "first")
    assert (response["temperature"], response["max_output_tokens"], response["metadata"]) == (0.2, 9, {"a": "b"})
    assert (response["text"], response["error"]) == ({"format": {"type": "text"}}, None)
    assert response["incomplete_details"] is None
    thought, said = response["output"]
    assert thought.pop("id").startswith("rs_")
    assert said.pop("id").startswith("msg_")
    assert thought == {
        "type": "reasoning",
        "status": "completed",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "Hm."}],
    }
    assert said == {
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "I am fine.", "annotations": [], "logprobs": []}],
    }
    assert response["usage"] == {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 3,
    }
    assert running.engine.requests[-1].sampling.max_tokens == 9


async def test_a_stream_has_openais_events(client: httpx.AsyncClient, running: Program):
    running.engine.enqueue("Let me see.\n", CALL, thinking="Hm.")
    events = await streamed(client, tools=[TOOL])
    parts = ["response.content_part.added", "delta", "done", "response.content_part.done"]
    expected = ["response.created", "response.in_progress"]
    for name in ("reasoning_text", "output_text", "function_call_arguments"):
        kinds = [kind if "." in kind else f"response.{name}.{kind}" for kind in parts]
        around = kinds if name != "function_call_arguments" else kinds[1:3]
        expected += ["response.output_item.added", *around, "response.output_item.done"]
    seen = [event["type"] for event in events]
    once = [kind for number, kind in enumerate(seen) if not number or kind != seen[number - 1]]
    assert once == [*expected, "response.completed"]
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert items == events[-1]["response"]["output"]
    assert [item["type"] for item in items] == ["reasoning", "message", "function_call"]
    assert (items[2]["name"], items[2]["arguments"]) == ("time", '{"zone": 1}')
    for number, item in enumerate(items):
        own = [event for event in events if event.get("item_id") == item["id"]]
        assert {event["output_index"] for event in own} == {number}
    [done] = [event for event in events if event["type"] == "response.output_text.done"]
    assert done["text"] == "Let me see."


async def test_a_reply_that_is_cut_is_incomplete(client: httpx.AsyncClient, running: Program):
    for stream in (False, True):
        running.engine.enqueue("one", " two", " three")
        given: dict[str, Any] = {"max_output_tokens": 2}
        events = await streamed(client, **given) if stream else []
        response = events[-1]["response"] if stream else await asked(client, **given)
        assert response["status"] == response["output"][0]["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert not events or events[-1]["type"] == "response.incomplete"


async def test_items_become_turns(client: httpx.AsyncClient, running: Program):
    items = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "input_text", "text": "What time is it?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Let me see.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "time", "arguments": '{"zone": 1}', "id": "fc_1"},
        {"type": "function_call", "call_id": "c2", "name": "time", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "noon"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "one"}]},
    ]
    await asked(client, input=items, instructions="Be brief.", tools=[TOOL, {"type": "web_search"}])
    [request] = running.engine.requests
    assert request.turns == [
        Turn(Role.SYSTEM, "Be brief."),
        Turn(Role.SYSTEM, "Be kind."),
        Turn(Role.USER, "What time is it?"),
        Turn(
            Role.ASSISTANT,
            "Let me see.",
            "Hm.",
            tool_calls=(ToolCall("time", {"zone": 1}, "c1"), ToolCall("time", {}, "c2")),
        ),
        Turn(Role.TOOL, "noon", tool_call_id="c1"),
        Turn(Role.TOOL, "one", tool_call_id="c2"),
    ]
    [tool] = request.template_arguments["tools"]  # type: ignore[misc]
    assert tool["function"] == {"name": "time", "description": "The time", "parameters": TOOL["parameters"]}


async def test_a_response_goes_on_from_an_earlier_one(client: httpx.AsyncClient, running: Program):
    running.engine.enqueue("It is ", CALL, thinking="Hm.")
    first = await asked(client, instructions="Be brief.", tools=[TOOL])
    call = first["output"][-1]
    running.engine.enqueue("Noon.")
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "noon"}
    second = await asked(client, input=[result], previous_response_id=first["id"])
    await asked(client, input="Thanks.", previous_response_id=second["id"], store=False)
    called = Turn(Role.ASSISTANT, "It is", "Hm.", tool_calls=(ToolCall("time", {"zone": 1}, call["call_id"]),))
    # What was told in instructions is not told again.
    assert running.engine.requests[-1].turns == [
        Turn(Role.USER, "How are you?"),
        called,
        Turn(Role.TOOL, "noon", tool_call_id=call["call_id"]),
        Turn(Role.ASSISTANT, "Noon."),
        Turn(Role.USER, "Thanks."),
    ]


async def test_responses_are_kept_until_they_are_deleted(client: httpx.AsyncClient, running: Program):
    kept, streamed_one = await asked(client), (await streamed(client))[-1]["response"]
    for response in (kept, streamed_one):
        assert (await client.get(f"{PATH}/{response['id']}")).json() == response
    deleted = await client.delete(f"{PATH}/{kept['id']}")
    assert deleted.json() == {"id": kept["id"], "object": "response", "deleted": True}
    forgotten = await asked(client, store=False)
    for response in (kept, forgotten):
        assert (await client.get(f"{PATH}/{response['id']}")).status_code == 404
        assert (await client.delete(f"{PATH}/{response['id']}")).status_code == 404
        answer = await client.post(PATH, json={"input": "x", "previous_response_id": response["id"]})
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "previous_response_not_found"


def test_each_owner_has_so_many_responses():
    store = ResponseStore(most_responses=3, most_bytes=20_000)

    def keep(owner: str, response_id: str, size: int = 1) -> None:
        response = ResponseObject(
            id=response_id, created_at=0, status="completed", metadata={}, model="m", parallel_tool_calls=True,
            reasoning=ReasoningOptions(), store=True, temperature=0, text=TextOptions(), tool_choice="auto", tools=[],
            top_p=1, truncation="disabled",
        )  # fmt: skip
        store.keep(owner, StoredResponse(response, [InputItem(role="user", content="x" * size)]))

    keep("alice", "hers")
    for number in range(4):
        keep("bob", str(number))
    assert store.get("alice", "hers")
    assert not store.get("bob", "hers")
    assert not store.forget("bob", "hers")
    assert [bool(store.get("bob", str(number))) for number in range(4)] == [False, True, True, True]
    keep("bob", "large", 19_400)
    assert store.get("bob", "large")
    assert not store.get("bob", "3")
    keep("bob", "too large", 30_000)
    assert not store.get("bob", "too large")


async def test_choices_of_tools_and_formats_bind_the_reply(client: httpx.AsyncClient, running: Program):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    other = {**TOOL, "name": "other"}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "time"}]}
    for more in (
        {"tools": [TOOL], "tool_choice": "required"},
        {"tools": [TOOL, other], "tool_choice": {"type": "function", "name": "time"}},
        {"tools": [TOOL, other], "tool_choice": allowed},
        {"text": {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": schema}}},
        {"text": {"format": {"type": "json_object"}}},
        {"reasoning": {"effort": "none", "summary": "auto"}, "truncation": "auto"},
    ):
        await asked(client, **more)
    required, named, allowed_one, exact, free, effortless = running.engine.requests
    assert required.must_call == named.must_call == allowed_one.must_call == ("time",)
    assert exact.sampling.json_schema == schema
    assert free.sampling.json_schema == {"type": "object"}
    assert effortless.template_arguments == {"reasoning_effort": "none", "enable_thinking": False}
    assert (exact.may_drop, effortless.may_drop) == (False, True)


async def test_nulls_are_as_if_left_out(client: httpx.AsyncClient, running: Program):
    items = [
        {"type": "message", "role": "user", "content": "x", "arguments": None, "id": None},
        {"type": "function_call", "call_id": "c1", "name": "time", "arguments": None},
        {"type": "function_call_output", "call_id": "c1", "output": "noon", "status": None},
    ]
    await asked(client, input=items, text={"format": None}, reasoning={"effort": None}, tools=None, store=None)
    assert running.engine.requests[-1].turns[1].tool_calls == (ToolCall("time", {}, "c1"),)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"input": None}, "input"),
    ({"input": []}, "messages"),
    ({"input": [{"role": "king", "content": "x"}]}, "input[0].role"),
    ({"input": [{"content": "x"}]}, "input[0].type"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
    ({"input": [{"type": "function_call_output", "call_id": "x"}]}, "input[0].output"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "x"}}, "prompt"),
    ({"max_output_tokens": -3}, "max_output_tokens"),
    ({"temperature": 3}, "temperature"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
    ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
    ({"model": "gpt-5"}, "model"),
]


@pytest.mark.parametrize(("more", "param"), WRONG)
async def test_what_is_wrong_is_named(client: httpx.AsyncClient, more: dict[str, Any], param: str):
    answer = await client.post(PATH, json={"input": "x", **more})
    assert answer.status_code == (404 if param == "model" else 400), answer.text
    assert answer.json()["error"]["param"] == param


async def test_a_reply_that_fails_says_why(client: httpx.AsyncClient, running: Program):
    running.engine.enqueue("Well", error="The model failed.")
    assert (await client.post(PATH, json={"input": "x"})).status_code == 500
    running.engine.seconds_per_token = 0.4
    running.engine.enqueue("Well", error="The model failed.")
    last = (await streamed(client))[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"] == {"code": "generation_failed", "message": "The model failed."}
