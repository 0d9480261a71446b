"""Models of servers elsewhere: against one that misbehaves on command, and against this program's own API."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi.responses import JSONResponse, PlainTextResponse

from localchat_ui.conversation import RequestOptions, Role
from localchat_ui.engine.base import (
    EngineError,
    Event,
    GenerationDone,
    GenerationFailed,
    GenerationRequest,
    PromptBuilt,
    PromptTooLongError,
    Token,
    ToolCall,
    Turn,
)
from localchat_ui.engine.tool_calls import CallDelta
from localchat_ui.inference import ModelRef
from localchat_ui.inference.remote import RemoteServer
from localchat_ui.settings import EngineSettings

from .stub import Stub, chunk, ending, said

KEY = "a-key-that-nobody-may-see"
TOOLS = [{"type": "function", "function": {"name": "add", "description": "", "parameters": {"type": "object"}}}]


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub().running() as stub:
        yield stub


@pytest.fixture
async def server(stub: Stub) -> AsyncIterator[RemoteServer]:
    server = RemoteServer(EngineSettings(name="box", url=stub.url, key=KEY))
    await server.refresh()
    yield server
    await server.close()


async def ask(
    server: RemoteServer, *texts: str, model: ModelRef | None = None, **given: Any
) -> tuple[list[Event], str, str]:
    """The events of a reply, its text and its thinking."""
    turns = given.pop("turns", [Turn((Role.USER, Role.ASSISTANT)[n % 2], text) for n, text in enumerate(texts)])
    request = GenerationRequest(turns, **given)
    events: list[Event] = []
    await server.submit(model or server.models[0], request, events.append)
    deadline = time.monotonic() + 10
    while not events or not isinstance(events[-1], (GenerationDone, GenerationFailed)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    spoken = [event for event in events if isinstance(event, (Token, GenerationDone))]
    return events, "".join(event.text for event in spoken), "".join(event.thinking for event in spoken)


def error_of(events: list[Event]) -> str:
    assert isinstance(events[-1], GenerationFailed), events[-1]
    assert KEY not in events[-1].message
    return events[-1].message


# What it has


async def test_models_stand_with_where_they_run_and_how_much_they_can_read(server: RemoteServer, stub: Stub) -> None:
    one, two = server.models
    assert (one.id, one.name, one.engine, one.context_length) == ("box/one", "one", "box", 1000)
    assert one.details == "on box · on this machine · 1k context"
    assert (two.context_length, one.refusal, one.is_local, one.can_answer) == (0, None, False, True)
    assert stub.keys == [f"Bearer {KEY}"]


async def test_what_leaves_the_machine_is_said_plainly() -> None:
    for url, leaves in (
        ("http://192.168.1.9/v1", True),
        ("https://api.example.org/v1", True),
        ("http://[::1]/", False),
    ):
        server = RemoteServer(EngineSettings(name="far", url=url, context_length=4096))
        assert server._ref("m").leaves_machine is leaves
        assert ("leaves this machine" in server._ref("m").details) is leaves
        assert "4k context" in server._ref("m").details
        await server.close()


async def test_only_the_models_that_are_wanted_are_listed(stub: Stub) -> None:
    stub.models = [{"id": "qwen-1"}, {"id": "llama"}, {"id": "qwen-2"}]
    server = RemoteServer(EngineSettings(name="box", url=stub.url, models=["qwen*"]))
    await server.refresh()
    assert [model.remote_id for model in server.models] == ["qwen-1", "qwen-2"]
    await server.close()


async def test_a_server_that_is_down_is_a_state_of_its_models_until_it_is_back() -> None:
    with Stub().running() as stub:
        server = RemoteServer(EngineSettings(name="box", url=stub.url))
        changes: list[None] = []
        server.on_change = lambda: changes.append(None)
        await server.refresh()
        assert (len(server.models), len(changes)) == (2, 1)
    await server.refresh()
    reason = f"box cannot be reached at {stub.url}. Start it, or choose another model."
    assert [(model.id, model.refusal) for model in server.models] == [("box/one", reason), ("box/two", reason)]
    port = int(stub.url.split(":")[2].split("/")[0])
    with Stub().running(port):
        await server.refresh()
        assert [model.refusal for model in server.models] == [None, None]
    assert len(changes) == 3
    await server.close()


async def test_a_server_that_never_answered_has_an_entry_that_says_so() -> None:
    server = RemoteServer(EngineSettings(name="box", url="http://me:secret@127.0.0.1:9/v1"))
    await server.refresh()
    [entry] = server.models
    assert entry.refusal == "box cannot be reached at http://127.0.0.1:9/v1. Start it, or choose another model."
    await server.close()


# Replies


async def test_a_reply_with_its_receipt(server: RemoteServer, stub: Stub) -> None:
    events, text, _ = await ask(server, "Hi", sampling=RequestOptions(seed=5, max_tokens=9), stop=("END",))
    assert text == "Hello."
    built, done = events[0], events[-1]
    assert isinstance(built, PromptBuilt)
    assert built.is_estimate
    assert isinstance(done, GenerationDone)
    assert (done.stats.prompt_tokens, done.stats.reused_tokens, done.stats.reply_tokens) == (11, 4, 2)
    assert (done.stats.finish_reason, done.stats.context_tokens, done.stats.seed) == ("stop", 13, 5)
    [body] = stub.bodies
    assert body["messages"] == [{"role": "user", "content": "Hi"}]
    assert (body["model"], body["seed"], body["max_tokens"], body["stop"]) == ("one", 5, 9, ["END"])
    assert (body["top_k"], body["min_p"]) == (40, 0.05)
    assert "repeat_penalty" not in body, "neutral ones are left out"


@pytest.mark.parametrize(
    "pieces",
    [
        [{"reasoning_content": "Hm"}, {"reasoning_content": "m."}, {"content": "Yes."}],
        [{"reasoning": "Hmm."}, {"content": "Yes."}],
        [{"content": "<thi"}, {"content": "nk>Hmm.</th"}, {"content": "ink>\n\nYes."}],
    ],
)
async def test_thinking_comes_apart_however_the_server_tells_it(
    server: RemoteServer, stub: Stub, pieces: list[dict[str, str]]
) -> None:
    stub.chunks = [*(chunk(piece) for piece in pieces), ending()]
    _, text, thinking = await ask(server, "Well?")
    assert (text, thinking) == ("Yes.", "Hmm.")


async def test_calls_of_tools_both_ways(server: RemoteServer, stub: Stub) -> None:
    call = {"index": 0, "id": "abc", "type": "function", "function": {"name": "add", "arguments": ""}}
    rest = [{"index": 0, "function": {"arguments": piece}} for piece in ('{"a":', " 1}")]
    stub.chunks = [*(chunk({"tool_calls": [each]}) for each in (call, *rest)), ending("tool_calls")]
    turns = [
        Turn(Role.USER, "1 + 1?"),
        Turn(Role.ASSISTANT, "", tool_calls=(ToolCall("add", {"a": 1}, "id1"),)),
        Turn(Role.TOOL, "2", tool_call_id="id1"),
    ]
    events, text, _ = await ask(server, turns=turns, template_arguments={"tools": TOOLS, "enable_thinking": False})
    calls = [call for event in events if isinstance(event, Token) for call in event.calls]
    assert calls == [CallDelta(0, "add", ""), CallDelta(0, "", '{"a":'), CallDelta(0, "", " 1}")]
    assert text == ""
    body = stub.bodies[0]
    assert body["tools"] == TOOLS
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a": 1}'}
    assert body["messages"][2] == {"role": "tool", "content": "2", "tool_call_id": "id1"}


async def test_log_probabilities(server: RemoteServer, stub: Stub) -> None:
    tops = [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}, {"token": "Ho", "logprob": -1.5, "bytes": None}]
    content = [{**tops[0], "top_logprobs": tops}]
    stub.chunks = [chunk({"content": "Hi"}, logprobs={"content": content}), ending()]
    events, _, _ = await ask(server, "Say hi", sampling=RequestOptions(top_logprobs=2))
    token = next(event for event in events if isinstance(event, Token))
    assert (token.logprob, token.piece) == (-0.5, b"Hi")
    assert [(top.piece, top.logprob) for top in token.top] == [(b"Hi", -0.5), (b"Ho", -1.5)]
    assert (stub.bodies[0]["logprobs"], stub.bodies[0]["top_logprobs"]) == (True, 2)


async def test_a_strict_server_gets_what_the_protocol_knows(server: RemoteServer, stub: Stub) -> None:
    def strict(body: dict[str, Any]) -> JSONResponse | None:
        unknown = "top_k" in body
        return JSONResponse({"error": {"message": "Unrecognized request argument: top_k"}}, 400) if unknown else None

    stub.answer = strict
    for _ in range(2):
        _, text, _ = await ask(server, "Hi")
        assert text == "Hello."
    assert ["top_k" in body for body in stub.bodies] == [True, False, False]


# When it misbehaves


async def test_a_reply_that_is_cut_off_keeps_its_text_and_says_so(server: RemoteServer, stub: Stub) -> None:
    stub.chunks = said("Once upon ", "a time")
    events, text, _ = await ask(server, "A story")
    assert text == "Once upon a time"
    assert "broke off" in error_of(events)


async def test_a_reply_that_stalls_ends(server: RemoteServer, stub: Stub) -> None:
    server._client = server._client.with_options(timeout=0.3)
    stub.chunks = [*said("Once "), 5.0, *said("upon")]
    events, text, _ = await ask(server, "A story")
    assert text == "Once "
    assert error_of(events)


@pytest.mark.parametrize(
    ("status", "said_by_server", "expected"),
    [
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, "refuses the key"),
        (403, {"error": {"message": "no"}}, "refuses the key"),
        (404, {"error": {"message": "no such model"}}, "does not know this model"),
        (400, {"error": {"message": f"bad {KEY}"}}, "box refused: bad …"),
        (429, {"error": {"message": "slow down"}}, "takes no more requests"),
        (500, {"error": {"message": "oops"}}, "box refused: oops"),
    ],
)
async def test_a_refusal_is_said_in_words_without_the_key(
    server: RemoteServer, stub: Stub, status: int, said_by_server: dict[str, Any], expected: str
) -> None:
    stub.answer = lambda body: JSONResponse(said_by_server, status, {"Retry-After": "0.01"})
    events, _, _ = await ask(server, "Hi")
    assert expected in error_of(events)


async def test_a_busy_server_is_asked_again(server: RemoteServer, stub: Stub) -> None:
    busy = JSONResponse({"error": {"message": "slow down"}}, 429, {"Retry-After": "0.01"})
    stub.answer = lambda body: busy if len(stub.bodies) < 3 else None
    _, text, _ = await ask(server, "Hi")
    assert (text, len(stub.bodies)) == ("Hello.", 3)


async def test_garbage_is_an_error_and_nothing_else(server: RemoteServer, stub: Stub) -> None:
    for chunks in (["{nonsense"], ["[1, 2]"], ['{"choices": 5}'], ['{"choices": [{}]}'], ['"text"'], ["null"]):
        stub.chunks = list(chunks)
        events, _, _ = await ask(server, "Hi")
        assert error_of(events), chunks
    stub.answer = lambda body: PlainTextResponse("<html>A proxy says hello</html>")
    events, _, _ = await ask(server, "Hi")
    assert error_of(events)


async def test_an_error_in_mid_stream_is_told(server: RemoteServer, stub: Stub) -> None:
    stub.chunks = [*said("Hel"), {"error": {"message": "out of memory", "code": 500}}]
    events, text, _ = await ask(server, "Hi")
    assert text == "Hel"
    assert "out of memory" in error_of(events)


async def test_a_stop_ends_it_there_too(server: RemoteServer, stub: Stub) -> None:
    stub.chunks = [*said("Once "), 9.0]
    events: list[Event] = []
    request = GenerationRequest([Turn(Role.USER, "A story")])
    await server.submit(server.models[0], request, events.append)
    while not any(isinstance(event, Token) for event in events):  # noqa: ASYNC110 - nobody could set one
        await asyncio.sleep(0.005)
    server.cancel(request.id)
    await asyncio.sleep(0.05)
    assert isinstance(events[-1], GenerationDone)
    assert events[-1].stats.finish_reason == "cancelled"
    assert await asyncio.to_thread(stub.left.wait, 5), "the server need not go on"
    server.cancel("unknown")


async def test_a_stop_before_anything_was_sent(server: RemoteServer) -> None:
    events: list[Event] = []
    request = GenerationRequest([Turn(Role.USER, "A story")])
    await server.submit(server.models[0], request, events.append)
    server.cancel(request.id)
    await asyncio.sleep(0.05)
    assert [type(event) for event in events][-1] is GenerationDone


async def test_the_key_is_in_no_log(server: RemoteServer, stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    stub.answer = lambda body: JSONResponse({"error": {"message": f"bad key {KEY}"}}, 401)
    await ask(server, "Hi")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("localchat_ui")]
    assert ours
    assert not any(KEY in line for line in ours)
    assert KEY not in repr(EngineSettings(name="box", url=stub.url, key=KEY))


# What fits


async def test_the_oldest_turns_leave_when_it_is_known_how_much_fits(server: RemoteServer, stub: Stub) -> None:
    texts = [f"{word} " * 300 for word in ("aaa", "bbb", "ccc", "ddd", "eee")]
    events, _, _ = await ask(server, *texts)
    built = events[0]
    assert isinstance(built, PromptBuilt)
    assert built.n_dropped == 4
    assert [message["content"][:3] for message in stub.bodies[0]["messages"]] == ["eee"]
    events, _, _ = await ask(server, *texts, model=server.models[1])
    assert isinstance(events[0], PromptBuilt)
    assert (events[0].n_dropped, len(stub.bodies[1]["messages"])) == (0, 5), "nobody knows what that one can read"
    with pytest.raises(PromptTooLongError):
        await server.preview(server.models[0], GenerationRequest([Turn(Role.USER, "word " * 5000)]))


async def test_tokens_are_counted_where_the_server_can(server: RemoteServer, stub: Stub) -> None:
    request = GenerationRequest([Turn(Role.USER, "one two three")])
    assert (await server.preview(server.models[0], request)).is_estimate
    stub.counts_tokens = True
    other = RemoteServer(EngineSettings(name="box", url=stub.url))
    await other.refresh()
    built = await other.preview(other.models[0], request)
    assert (built.turn_tokens, built.is_estimate) == ((3,), False)
    await other.close()


async def test_embeddings_have_length_one(server: RemoteServer) -> None:
    found = await server.embed(server.models[0], ["a", "b"])
    assert (found.vectors, found.n_tokens) == ([[0.6, 0.8], [0.6, 0.8]], 7)


async def test_embeddings_that_fail_say_why(stub: Stub) -> None:
    server = RemoteServer(EngineSettings(name="box", url="http://127.0.0.1:9/v1"))
    server._client = server._client.with_options(max_retries=0)
    with pytest.raises(EngineError, match="box cannot be reached"):
        await server.embed(server._ref("m"), ["a"])
    await server.close()
