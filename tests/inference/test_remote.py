"""Models of servers elsewhere: against one that misbehaves on command, and against this program's own API."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi.responses import JSONResponse, PlainTextResponse

from localchat_ui.api.errors import ApiError
from localchat_ui.api.requests import chat_requests
from localchat_ui.api.schemas import ChatCompletionRequest
from localchat_ui.conversation import RequestOptions, Role, SamplingOptions
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
from localchat_ui.inference import ModelRef, QueueFullError, remote
from localchat_ui.inference.openai_protocol import parameters_of
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
    assert isinstance(events[-1], GenerationFailed)
    assert events[-1].kind == "unavailable"
    assert events[-1].n_tokens >= 2, "what was written is paid for"


async def test_a_reply_that_stalls_ends(server: RemoteServer, stub: Stub) -> None:
    server._client = server._client.with_options(timeout=0.3)
    stub.chunks = [*said("Once "), 5.0, *said("upon")]
    events, text, _ = await ask(server, "A story")
    assert text == "Once "
    assert error_of(events)
    assert isinstance(events[-1], GenerationFailed)
    assert events[-1].kind == "timeout"


@pytest.mark.parametrize(
    ("status", "said_by_server", "expected"),
    [
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, "refuses the key"),
        (403, {"error": {"message": "no"}}, "refuses the key"),
        (404, {"error": {"message": "no such model"}}, "does not know this model"),
        (400, {"error": {"message": f"bad {KEY}"}}, "box refused: bad …"),
        (422, {"error": {"message": "no"}}, "box refused: no"),
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
    assert isinstance(events[-1], GenerationFailed)
    assert events[-1].kind == {400: "refused", 422: "refused", 429: "overloaded"}.get(status, "unavailable")
    assert events[-1].n_tokens == 0


async def test_a_busy_server_is_asked_again(server: RemoteServer, stub: Stub) -> None:
    busy = JSONResponse({"error": {"message": "slow down"}}, 429, {"Retry-After": "0.01"})
    stub.answer = lambda body: busy if len(stub.bodies) < 3 else None
    _, text, _ = await ask(server, "Hi")
    assert (text, len(stub.bodies)) == ("Hello.", 3)


async def test_not_everybody_waits_for_a_slow_server(
    server: RemoteServer, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "MAX_WAITING", 2)
    stub.chunks = [5.0]
    waiting = [GenerationRequest([Turn(Role.USER, "Hi")]) for _ in range(2)]
    for request in waiting:
        await server.submit(server.models[0], request, lambda event: None)
    with pytest.raises(QueueFullError, match="Try again soon"):
        await ask(server, "Hi")
    for request in waiting:
        server.cancel(request.id)
    await asyncio.sleep(0.05)
    stub.chunks = [*said("Hello."), ending()]
    assert (await ask(server, "Hi"))[1] == "Hello."


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


# Found by somebody who tried to break it


async def test_usage_that_says_nothing_ends_no_reply(server: RemoteServer, stub: Stub) -> None:
    nothing = {"prompt_tokens": None, "total_tokens": None}
    stub.chunks = [{**chunk({"content": "Yes."}), "usage": nothing}, {**chunk({}, "stop"), "usage": nothing}]
    events, text, _ = await ask(server, "Well?")
    assert text == "Yes."
    assert isinstance(events[-1], GenerationDone)
    assert events[-1].stats.prompt_tokens > 0, "about as many as were sent"
    stub.chunks = [{**chunk({"content": "Yes."}), "usage": nothing}, 9.0]
    events = []
    request = GenerationRequest([Turn(Role.USER, "Well?")])
    await server.submit(server.models[0], request, events.append)
    while not any(isinstance(event, Token) for event in events):  # noqa: ASYNC110 - nobody could set one
        await asyncio.sleep(0.005)
    server.cancel(request.id)
    await asyncio.sleep(0.1)
    assert isinstance(events[-1], GenerationDone)


def call(name: str | None = None, arguments: object = None, index: int | None = 0, call_id: str | None = None) -> Any:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    given = {"index": index, "id": call_id, "function": function}
    return chunk({"tool_calls": [{key: value for key, value in given.items() if value is not None}]})


@pytest.mark.parametrize(
    "chunks",
    [
        [call("a", '{"x":1}', 0, "i"), call("b", '{"y":2}', 0, "j")],
        [call("a", '{"x":1}', 1, "i"), call("b", '{"y":2}', 2, "j")],
        [call("a", {"x": 1}, 0, "i"), call("b", {"y": 2}, 1, "j")],
        [call("a", "", 0, "i"), call("a", '{"x":', 0), call("a", "1}", 0), call("b", '{"y":2}', 1, "j")],
        [call("a", '{"x":1}', None, "i"), call("b", '{"y":2}', None, "j")],
    ],
)
async def test_calls_come_right_however_a_server_numbers_them(
    server: RemoteServer, stub: Stub, chunks: list[Any]
) -> None:
    stub.chunks = [*chunks, ending("tool_calls")]
    events, _, _ = await ask(server, "Go")
    found: dict[int, list[str]] = {}
    for delta in (delta for event in events if isinstance(event, Token) for delta in event.calls):
        assert bool(delta.name) is (delta.number not in found)
        entry = found.setdefault(delta.number, [delta.name, ""])
        entry[1] += delta.arguments
    assert {number: (name, json.loads(said)) for number, (name, said) in found.items()} == {
        0: ("a", {"x": 1}),
        1: ("b", {"y": 2}),
    }


async def test_one_bad_request_changes_nothing_for_the_next(server: RemoteServer, stub: Stub) -> None:
    stub.answer = lambda body: (
        JSONResponse({"error": {"message": "Failed to parse grammar"}}, 400) if "grammar" in body else None
    )
    events, _, _ = await ask(server, "Hi", sampling=RequestOptions(grammar="nonsense"))
    assert "Failed to parse grammar" in error_of(events)
    await ask(server, "Hi")
    assert stub.bodies[-1]["top_k"] == 40
    stub.answer = lambda body: (
        JSONResponse({"error": {"message": "Unknown parameter: grammar"}}, 400) if "grammar" in body else None
    )
    events, _, _ = await ask(server, "Hi", sampling=RequestOptions(grammar='root ::= "x"'))
    assert error_of(events), "and never an answer that does not follow it"


async def test_a_server_may_insist_on_its_own_name_and_refuse_with_422(server: RemoteServer, stub: Stub) -> None:
    def strict(body: dict[str, Any]) -> JSONResponse | None:
        if "max_tokens" in body:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return JSONResponse({"error": {"message": message}}, 400)
        extra = {"detail": [{"type": "extra_forbidden", "loc": ["body", "top_k"], "msg": "Extra inputs not permitted"}]}
        return JSONResponse(extra, 422) if "top_k" in body else None

    stub.answer = strict
    for _ in range(2):
        _, text, _ = await ask(server, "Hi", sampling=RequestOptions(max_tokens=77))
        assert text == "Hello."
    assert (stub.bodies[-1]["max_completion_tokens"], len(stub.bodies)) == (77, 4)


async def test_a_reply_is_never_longer_than_what_is_left_of_the_context(server: RemoteServer, stub: Stub) -> None:
    await ask(server, "Hi", sampling=RequestOptions(max_tokens=30_000))
    assert 900 < stub.bodies[-1]["max_tokens"] < 1000
    await ask(server, "Hi", model=server.models[1], sampling=RequestOptions(max_tokens=30_000))
    assert stub.bodies[-1]["max_tokens"] == 30_000, "nobody knows"


async def test_a_server_that_only_pings_behind_the_end_is_left(
    server: RemoteServer, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "USAGE_SECONDS", 0.2)
    stub.chunks = [*said("Done."), chunk({}, "stop"), 9.0]
    events, text, _ = await ask(server, "Hi")
    assert text == "Done."
    assert isinstance(events[-1], GenerationDone)


async def test_what_goes_on_keeps_the_space_before_it(server: RemoteServer, stub: Stub) -> None:
    stub.chunks = [*said(" a time"), ending()]
    _, text, _ = await ask(server, "Begin", "Once upon")
    assert text == " a time"


async def test_the_key_is_the_configured_one_whatever_the_environment_says(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of-another")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer of-another")
    server = RemoteServer(EngineSettings(name="box", url=stub.url, key=KEY))
    await server.refresh()
    assert stub.keys == [f"Bearer {KEY}"]
    await server.close()


async def test_a_name_and_a_password_in_the_address_are_sent_as_such(stub: Stub) -> None:
    server = RemoteServer(EngineSettings(name="box", url=stub.url.replace("//", "//me:secret@")))
    await server.refresh()
    assert stub.keys == ["Basic bWU6c2VjcmV0"]
    await server.close()


async def test_bad_entries_of_the_list_are_no_models(stub: Stub) -> None:
    stub.models = [{"id": "a", "max_model_len": -1}, {"id": "a"}, {"name": "no id"}, {"id": "b", "n_ctx": True}]
    server = RemoteServer(EngineSettings(name="box", url=stub.url))
    await server.refresh()
    assert [(model.id, model.context_length) for model in server.models] == [("box/a", 0), ("box/b", 0)]
    await server.close()


async def test_a_server_is_asked_again_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(remote, "REFRESH_SECONDS", 0.0)
    with Stub().running() as stub:
        port = int(stub.url.split(":")[2].split("/")[0])
    server = RemoteServer(EngineSettings(name="box", url=stub.url))
    await server.refresh()
    assert server.models[0].refusal
    with Stub().running(port):
        deadline = time.monotonic() + 5
        while server.models[0].refusal:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
    await server.close()


async def test_log_probabilities_of_the_older_shape(server: RemoteServer, stub: Stub) -> None:
    said_of_it = {"tokens": ["Hi"], "token_logprobs": [-0.5], "top_logprobs": [{"Hi": -0.5, "Ho": -1.5}]}
    choice = {"index": 0, "text": "Hi", "finish_reason": None, "logprobs": said_of_it}
    stub.chunks = [
        {"id": "x", "object": "text_completion", "created": 1, "model": "one", "choices": [choice]},
        ending(),
    ]
    events, _, _ = await ask(server, turns=[], prompt="Say", sampling=RequestOptions(top_logprobs=2))
    token = next(event for event in events if isinstance(event, Token))
    assert (token.text, token.logprob, len(token.top)) == ("Hi", -0.5, 2)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}])
def test_a_call_that_has_to_be_is_asked_of_the_server(choice: object) -> None:
    body = ChatCompletionRequest.model_validate(
        {"messages": [{"role": "user", "content": "1 + 1?"}], "tools": TOOLS, "tool_choice": choice}
    )
    [request], _ = chat_requests(body, SamplingOptions(), tells_calls=True)
    given = parameters_of("one", request)
    assert given["tool_choice"] == choice
    assert "response_format" not in given
    [here], _ = chat_requests(body, SamplingOptions())
    assert (here.must_call, here.sampling.json_schema) == (("add",), None)
    assert "tool_choice" not in here.template_arguments


def test_what_calls_have_to_be_is_told_to_the_server() -> None:
    function = {"name": "add", "strict": True}
    given = {"messages": [{"role": "user", "content": "hi"}], "parallel_tool_calls": False}
    tools = [{"type": "function", "function": function}, {"type": "function", "function": {"name": "sub"}}]
    body = ChatCompletionRequest.model_validate(given | {"tools": tools})
    (request,), _ = chat_requests(body, SamplingOptions(), tells_calls=True)
    sent = parameters_of("one", request)
    assert [tool["function"].get("strict") for tool in sent["tools"]] == [True, None]
    assert sent["parallel_tool_calls"] is False
    assert "strict" not in json.dumps(request.template_arguments)


QWEN = "{{ messages[0].content }}{% if enable_thinking is false %}<think></think>{% endif %}"


async def test_what_a_server_lets_be_chosen_of_thinking(stub: Stub) -> None:
    """What its settings say, what it says of each model, or the one template that llama.cpp's server tells."""
    stub.models = [
        {"id": "a", "supported_parameters": ["reasoning_effort"]},
        {"id": "b", "thinking": {"switch": True, "efforts": ["low", "odd"]}},
        {"id": "c"},
    ]
    server = RemoteServer(EngineSettings(name="box", url=stub.url))
    await server.refresh()
    found = [(model.thinking.switch, model.thinking.efforts) for model in server.models]
    assert found == [("", ("low", "medium", "high")), ("enable_thinking", ("low",)), ("", ())]
    assert not any(model.thinking.has_budget for model in server.models[:2])
    stub.models, stub.properties = [{"id": "one"}], {"chat_template": QWEN}
    await server.refresh()
    (model,) = server.models
    assert model.thinking.switch == "enable_thinking"
    await ask(server, "Hi", model=model, template_arguments={"enable_thinking": False})
    assert stub.bodies[-1]["chat_template_kwargs"] == {"enable_thinking": False}
    await server.close()
    server = RemoteServer(EngineSettings(name="box", url=stub.url, efforts=["high", "none"]))
    await server.refresh()
    assert server.models[0].thinking.efforts == ("none", "high")
    await ask(server, "Hi", template_arguments={"reasoning_effort": "medium"})
    assert stub.bodies[-1]["reasoning_effort"] == "high"
    await server.close()


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}


def test_images_go_to_a_server_and_are_refused_here() -> None:
    content = [{"type": "text", "text": "What is this?"}, IMAGE]
    messages = [{"role": "user", "content": "Look."}, {"role": "user", "content": content}]
    body = ChatCompletionRequest.model_validate({"messages": messages})
    (request,), _ = chat_requests(body, SamplingOptions(), tells_calls=True)
    (message,) = parameters_of("one", request)["messages"]
    assert message["content"] == [{"type": "text", "text": "Look."}, *content]
    with pytest.raises(ApiError, match="cannot see images"):
        chat_requests(body, SamplingOptions())


def test_roles_alternate_wherever_the_model_runs() -> None:
    turns = [Turn(Role.ASSISTANT, "Hello"), Turn(Role.USER, "a"), Turn(Role.USER, "b")]
    messages = parameters_of("one", GenerationRequest(turns))["messages"]
    assert [(each["role"], each["content"]) for each in messages] == [("assistant", "Hello"), ("user", "a\n\nb")]


@pytest.mark.parametrize("suffix", [None, "", "\n"])
def test_what_follows_a_text_is_told_to_the_server(suffix: str | None) -> None:
    given = parameters_of("one", GenerationRequest([], prompt="def f():", suffix=suffix))
    assert given.get("suffix") == suffix
