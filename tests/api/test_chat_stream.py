"""The chat as server-sent events, on a scripted engine."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from localchat_ui.conversation import FullSampling, RequestOptions, SamplingOptions
from tests.api.events import SentEvent, events_of
from tests.ui.conftest import Program, until


async def said(client: httpx.AsyncClient, text: str = "Hello you", **more: Any) -> list[SentEvent]:
    """The events after something was said."""
    response = await client.post("/chat/stream", json={"user_input": text, **more})
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-cache"
    return events_of(response.text)


def text_of(events: list[SentEvent]) -> str:
    return "".join(event.data["text"] for event in events if event.name == "token")


async def test_a_turn_is_a_conversation_then_tokens_then_done(client: httpx.AsyncClient, running: Program):
    running.engine.enqueue("I am", " fine,\n", "d'accord ✓")
    first, *tokens, last = await said(client, max_tokens=9, temperature=0.5)
    assert first.name == "conversation"
    assert first.data["model"] == "first"
    assert {token.name for token in tokens} == {"token"}
    assert text_of(tokens) == "I am fine,\nd'accord ✓"
    message_id = first.data["message_id"]
    assert tokens[-1].id == f"{message_id}:21:0"
    assert last.name == "done"
    assert last.data["finish_reason"] == "stop"
    assert last.data["usage"]["completion_tokens"] == 3
    conversation = (await client.get(f"/conversations/{first.data['conversation_id']}")).json()
    assert [message["text"] for message in conversation["messages"]] == ["Hello you", "I am fine,\nd'accord ✓"]
    assert [message["id"] for message in conversation["messages"]] == [first.data["user_message_id"], message_id]
    assert conversation["options"]["temperature"] == 0.5
    assert running.engine.requests[-1].sampling.max_tokens == 9


async def test_a_conversation_goes_on_and_keeps_what_was_chosen(client: httpx.AsyncClient, running: Program):
    [first, *_] = await said(client, "One", system_prompt="Be brief.", top_k=3)
    again = await said(client, "Two", conversation_id=first.data["conversation_id"], temperature=0)
    assert again[0].data["conversation_id"] == first.data["conversation_id"]
    request = running.engine.requests[-1]
    assert [turn.text for turn in request.turns] == ["Be brief.", "One", "One", "Two"]
    assert (request.sampling.top_k, request.sampling.temperature) == (3, 0)
    listed = (await client.get("/conversations")).json()["data"]
    assert [(each["id"], each["title"]) for each in listed] == [(first.data["conversation_id"], "One")]


EXTRA = {
    "typical_p": 0.5,
    "presence_penalty": 0.25,
    "frequency_penalty": -0.25,
    "dry_multiplier": 0.75,
    "dry_base": 2.0,
    "dry_allowed_length": 3,
    "xtc_probability": 0.5,
    "xtc_threshold": 0.25,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.5,
    "logit_bias": {"7": -100},
    "grammar": 'root ::= "yes" | "no"',
    "json_schema": {"type": "object"},
}


async def test_sampling_beyond_that_of_the_page_is_for_one_reply(client: httpx.AsyncClient, running: Program):
    assert set(EXTRA) == set(FullSampling.model_fields) - set(SamplingOptions.model_fields)
    [first, *_] = await said(client, "One", top_k=3, **EXTRA)
    once = running.engine.requests[-1].sampling
    assert once.model_dump(include=set(EXTRA), mode="json") == {**EXTRA, "logit_bias": {"7": -100.0}}
    assert (once.top_k, once.top_logprobs) == (3, None)
    again = {"conversation_id": first.data["conversation_id"]}
    await said(client, "Two", **again)
    assert running.engine.requests[-1].sampling == RequestOptions(top_k=3)
    options = (await client.get(f"/conversations/{again['conversation_id']}")).json()["options"]
    assert not set(options) & set(EXTRA)
    for bad in ({"typical_p": 0}, {"logit_bias": {"7": 101}}, {"xtc_probability": 2}, {"top_logprobs": 3}):
        refused = await client.post("/chat/stream", json={"user_input": "Three", **again, **bad})
        assert refused.status_code == 400
        assert refused.json()["error"]["param"].startswith(next(iter(bad)))


async def test_a_refused_message_changes_nothing(client: httpx.AsyncClient, running: Program):
    [first, *_] = await said(client, "One", top_k=3)
    path = f"/conversations/{first.data['conversation_id']}"
    running.engine.seconds_per_token = 0.05
    again = {"conversation_id": first.data["conversation_id"], "top_k": 9, "system_prompt": "Rhyme."}
    saying = asyncio.create_task(said(client, "a b c d e f", conversation_id=again["conversation_id"]))
    await until(lambda: len(running.engine.requests) == 2)
    for more, status in (({}, 409), ({"model": "third"}, 404), ({"user_input": " "}, 400), ({"typical_p": 9}, 400)):
        refused = await client.post("/chat/stream", json={"user_input": "And?", **again, **more})
        assert refused.status_code == status
    await saying
    view = (await client.get(path)).json()
    assert (view["options"]["top_k"], len(view["messages"])) == (3, 4)
    assert view["options"]["system_prompt"] != "Rhyme."


async def test_another_model_may_be_named_for_one_message(client: httpx.AsyncClient, running: Program):
    [first, *_] = await said(client, "One")
    again = {"conversation_id": first.data["conversation_id"]}
    events = await said(client, "Two", model="second", **again)
    assert (events[0].data["model"], events[-1].name) == ("second", "done")
    assert events[0].data["conversation_id"] == first.data["conversation_id"]
    request = running.engine.requests[-1]
    assert request.model == running.models / "second.gguf"
    assert [turn.text for turn in request.turns][-3:] == ["One", "One", "Two"]
    assert (await client.get("/healthz")).json()["model"] == "first", "the page stays with its own"
    assert (await said(client, "Three", model="first.gguf", **again))[0].data["model"] == "first"
    assert (await said(client, "Four", **again))[0].data["model"] == "first"
    assert running.engine.requests[-1].model == running.models / "first.gguf"
    messages = (await client.get(f"/conversations/{first.data['conversation_id']}")).json()["messages"]
    assert [message["model"] for message in messages[1::2]] == ["first", "second", "first", "first"]


async def test_a_failure_is_an_event(client: httpx.AsyncClient, running: Program):
    running.engine.enqueue("Well", error="The model failed.")
    *_, last = await said(client)
    assert last.name == "error"
    assert last.data["error"]["message"] == "The model failed."


async def test_a_reply_can_be_followed_from_any_place(client: httpx.AsyncClient, running: Program):
    running.engine.seconds_per_token = 0.05
    running.engine.enqueue(*"0123456789")
    saying = asyncio.create_task(said(client))
    await until(lambda: running.engine.requests)
    conversation_id = (await client.get("/conversations")).json()["data"][0]["id"]
    url = f"/chat/stream?conversation_id={conversation_id}"
    message_id = (await client.get(f"/conversations/{conversation_id}")).json()["messages"][-1]["id"]

    whole, rest, posted = await asyncio.gather(
        client.get(url),
        client.get(url, headers={"Last-Event-ID": f"{message_id}:4:0"}),
        client.post(
            "/chat/stream",
            json={"user_input": "Hello you", "conversation_id": conversation_id},
            headers={"Last-Event-ID": f"{message_id}:7:0"},
        ),
    )
    await saying

    assert events_of(whole.text)[0].name == "conversation"
    assert text_of(events_of(whole.text)) == "0123456789"
    assert text_of(events_of(rest.text)) == "456789"
    assert text_of(events_of(posted.text)) == "789"
    assert len(running.engine.requests) == 1, "nothing was sent twice"
    finished = await client.get(url, headers={"Last-Event-ID": f"{message_id}:9:0"})
    assert [event.data.get("text", event.data.get("finish_reason")) for event in events_of(finished.text)] == [
        "9",
        "stop",
    ]
    for bad in ("x:1:0", f"{message_id}:1", f"{message_id}:-1:0", f"{message_id}:²:0", "0"):
        lost = await client.get(url, headers={"Last-Event-ID": bad.encode()})
        assert lost.status_code == 404


async def test_one_reply_at_a_time_in_a_conversation(client: httpx.AsyncClient, running: Program):
    [first, *_] = await said(client)
    running.engine.seconds_per_token = 0.05
    again = {"conversation_id": first.data["conversation_id"]}
    saying = asyncio.create_task(said(client, "a b c d e f", **again))
    await until(lambda: len(running.engine.requests) == 2)
    response = await client.post("/chat/stream", json={"user_input": "And?", **again})
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "busy"
    assert text_of(await saying) == "a b c d e f"


async def test_what_cannot_be_said_is_refused(client: httpx.AsyncClient):
    for body, status, param in (
        ({}, 400, "user_input"),
        ({"user_input": " \n"}, 400, "user_input"),
        ({"user_input": "x", "top_p": 2}, 400, "top_p"),
        ({"user_input": "x", "conversation_id": "none"}, 404, "conversation_id"),
        ({"user_input": "x", "model": "third"}, 404, "model"),
        ({"user_input": "x", "colour": "red"}, 400, "colour"),
    ):
        response = await client.post("/chat/stream", json=body)
        assert (response.status_code, response.json()["error"]["param"]) == (status, param)
    assert (await client.get("/conversations")).json() == {"data": []}


async def test_reset_and_delete_forget_one_conversation(client: httpx.AsyncClient):
    ids = [(await said(client, text))[0].data["conversation_id"] for text in ("One", "Two", "Three")]
    assert (await client.post("/reset")).json() == {"forgotten": [ids[2]]}
    assert (await client.post("/reset", json={})).json() == {"forgotten": []}
    assert (await client.post("/reset", json={"conversation_id": ids[0]})).json() == {"forgotten": [ids[0]]}
    assert [each["id"] for each in (await client.get("/conversations")).json()["data"]] == [ids[1]]
    assert (await client.delete(f"/conversations/{ids[1]}")).status_code == 204
    for gone in ids:
        assert (await client.get(f"/conversations/{gone}")).status_code == 404
        assert (await client.delete(f"/conversations/{gone}")).status_code == 404
        assert (await client.post("/reset", json={"conversation_id": gone})).status_code == 404


async def test_health_and_figures_are_told(client: httpx.AsyncClient, running: Program):
    running.engine.enqueue("a", "b", "c")
    await said(client)
    assert (await client.get("/healthz?ready=1")).json() == {"status": "ok", "ready": True, "model": "first"}
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    figures = dict(line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#"))
    assert figures["localchat_generated_tokens_total"] == "3.0"
    assert figures['localchat_http_requests_total{path="/chat/stream",status="200"}'] == "1.0"
    assert figures['localchat_replies_total{finish_reason="stop"}'] == "1.0"
    assert figures["localchat_time_to_first_token_seconds_count"] == "1.0"
    for name in ("running_replies", "waiting_replies", "batch_fill_ratio", "kv_cells", "kv_cells_used"):
        assert f"localchat_{name}" in figures


async def test_the_api_is_documented_without_other_hosts(client: httpx.AsyncClient):
    document = (await client.get("/openapi.json")).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) >= 13
    for operation in operations:
        assert operation["description"]
        assert "422" not in operation["responses"]
    assert "examples" in document["components"]["schemas"]["ChatCompletionRequest"]
    page = (await client.get("/docs")).text
    assert "POST /v1/chat/completions" in page
    assert "<script" not in page
    assert "://" not in page
