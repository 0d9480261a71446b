"""Clients that others wrote, at the real program with a real model."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import llm
import openai
import psutil
import pytest
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from llm.default_plugins.openai_models import Chat

from tests.access.live import user
from tests.api.conftest import FLAGS, wait_until_ready
from tests.api.events import events_in, events_of
from tests.browser.people import with_accounts
from tests.browser.server import Server

MODEL = "SmolLM2-135M-Instruct.Q4_1"
QUESTION: Any = [{"role": "user", "content": "What is 2 + 2?"}]
LONG: Any = [{"role": "user", "content": "Tell me a very long story about a dragon."}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def figure(server: Server, name: str) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"localchat_{name} ")).rsplit(" ", 1)[1])


def wait_until_idle(server: Server, seconds: float = 3) -> None:
    deadline = time.monotonic() + seconds
    while figure(server, "running_replies") or figure(server, "waiting_replies"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_openai_whole_and_streamed_replies_are_the_same(client: openai.OpenAI):
    whole = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=30)
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=QUESTION, max_tokens=30, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert "4" in text
    usage = chunks[-1].usage
    assert usage is not None
    assert whole.usage is not None
    assert usage.prompt_tokens == whole.usage.prompt_tokens > 10
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens >= usage.prompt_tokens - 1
    assert [card.id for card in client.models.list()] == [MODEL]


async def test_openai_async_choices_logprobs_and_prefill(server: Server):
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        reply = await client.chat.completions.create(
            model=MODEL,
            messages=[
                {"role": "user", "content": "What is the capital of France?"},
                {"role": "assistant", "content": "The capital of France is"},
            ],
            n=2,
            max_tokens=5,
            logprobs=True,
            top_logprobs=3,
        )
        stream = await client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=5, stream=True)
        assert len([chunk async for chunk in stream]) >= 3
    assert reply.choices[0].message.content == reply.choices[1].message.content
    assert "Paris" in (reply.choices[0].message.content or "")
    assert reply.choices[0].logprobs is not None
    content = reply.choices[0].logprobs.content or []
    assert "".join(token.token for token in content) == reply.choices[0].message.content
    for token in content:
        assert len(token.top_logprobs) == 3
        assert token.logprob <= token.top_logprobs[0].logprob <= 0
        assert bytes(token.bytes or []).decode() == token.token


CONSTANTS = {
    "newline": {"const": "x\ny"},
    "quote": {"const": 'x"y'},
    "digits": {"type": "string", "pattern": r"^\d{3}$"},
}


def test_replies_obey_their_schemas(server: Server):
    for schema in (
        {"type": "object", "properties": CONSTANTS, "required": list(CONSTANTS)},
        {"type": "object", "properties": {'a"b': {"type": "integer", "minimum": 3, "maximum": 5}}, "required": ['a"b']},
        {
            "$defs": {"P": {"type": "string", "enum": ["u", "v"]}},
            "type": "object",
            "properties": {"p": {"allOf": [{"$ref": "#/$defs/P"}]}},
            "required": ["p"],
        },
    ):
        validator = jsonschema_rs.validator_for(schema)
        for wanted in (
            {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
            {"type": "json_object", "schema": schema},
        ):
            body = {"messages": QUESTION, "response_format": wanted, "max_tokens": 100}
            answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
            assert validator.is_valid(json.loads(answer.json()["choices"][0]["message"]["content"])), answer.text


def test_a_schema_that_cannot_be_followed_is_refused_with_the_reason(server: Server):
    for more, reason in (
        ({"response_format": {"type": "json_object", "schema": {"uniqueItems": True}}}, "uniqueItems"),
        ({"json_schema": {"type": "string", "pattern": "(?=a)"}}, "look-ahead"),
        ({"grammar": "root ::= x"}, "no rule called x"),
    ):
        body = {"messages": QUESTION, "max_tokens": 5, **more}
        for stream in (False, True):
            answer = httpx.post(f"{server.url}/v1/chat/completions", json={**body, "stream": stream}, timeout=60)
            assert answer.status_code == 400, answer.text
            assert reason in answer.json()["error"]["message"]


def test_openai_json_tools_completions_and_embeddings(client: openai.OpenAI):
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    formatted = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Anna is 7 years old. Her age as JSON?"}],
        response_format={"type": "json_schema", "json_schema": {"name": "age", "schema": schema}},
        max_tokens=30,
    )
    assert isinstance(json.loads(formatted.choices[0].message.content or "")["age"], int)

    called = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=TOOLS,
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=60,
    ).choices[0]
    assert called.finish_reason == "tool_calls"
    [call] = called.message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"]

    stopped = client.completions.create(
        model=MODEL, prompt="The capital of France is", max_tokens=8, stop=["."], logprobs=2, echo=True
    )
    assert stopped.choices[0].text == "The capital of France is Paris"
    assert stopped.choices[0].finish_reason == "stop"

    made = client.embeddings.create(model=MODEL, input=["a cat", "a kitten"])
    plain = client.embeddings.create(model=MODEL, input="a cat", encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(made.data[0].embedding, abs=1e-3)
    assert len(made.data[1].embedding) == 576


def test_openai_errors_are_the_clients_own(client: openai.OpenAI):
    with pytest.raises(openai.NotFoundError, match="gpt-4"):
        client.chat.completions.create(model="gpt-4", messages=QUESTION)
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "word " * 3000}])
    assert caught.value.code == "context_length_exceeded"
    assert "2,048" in caught.value.message
    for more in ({"grammar": "root ::= ("}, {"logit_bias": {"999999": 1}}):
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError):
                client.chat.completions.create(model=MODEL, messages=QUESTION, stream=stream, extra_body=more)


def test_llm(server: Server):
    model = Chat("local", model_name=MODEL, api_base=f"{server.url}/v1", key="none")
    assert isinstance(model, llm.Model | llm.KeyModel)
    response = model.prompt("What is 2 + 2?", key="none", max_tokens=20)
    assert "4" in response.text()


def test_langchain(server: Server):
    model = ChatOpenAI(model=MODEL, base_url=f"{server.url}/v1", api_key="none", max_tokens=60)  # type: ignore[arg-type,call-arg]
    answer = model.invoke("What is 2 + 2?")
    assert "4" in str(answer.content)
    whole: AIMessageChunk | None = None
    for chunk in model.stream("What is 2 + 2?"):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.content == answer.content
    assert model.bind_tools(TOOLS, tool_choice="get_weather").invoke("Weather in Paris?").tool_calls


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/stream"])
def test_a_client_that_leaves_ends_its_generation(server: Server, path: str, stream: bool):
    wait_until_idle(server)
    body: Any = {"messages": LONG, "stream": stream, "max_tokens": 1900}
    if path == "/chat/stream":
        if not stream:
            return
        body = {"user_input": LONG[0]["content"], "max_tokens": 1900}
    before = figure(server, "generated_tokens_total")
    if stream:
        with httpx.stream("POST", f"{server.url}{path}", json=body, timeout=60) as response:
            lines = response.iter_lines()
            for _ in range(6):
                next(lines)
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}{path}", json=body, timeout=0.7)
    wait_until_idle(server)
    assert figure(server, "generated_tokens_total") - before < 1000


def test_keep_going_writes_the_reply_to_its_end(server: Server):
    body = {"user_input": "Tell me a story.", "max_tokens": 40, "keep_going": True}
    with httpx.stream("POST", f"{server.url}/chat/stream", json=body, timeout=60) as response:
        first = next(events_in(response.iter_lines()))
    url, conversation_id = f"{server.url}/chat/stream", first.data["conversation_id"]
    followed = httpx.get(
        url, params={"conversation_id": conversation_id}, headers={"Last-Event-ID": first.id}, timeout=60
    )
    *tokens, last = events_in(followed.text.split("\n"))
    stored = httpx.get(f"{server.url}/conversations/{conversation_id}").json()["messages"][-1]
    assert "".join(event.data["text"] for event in tokens) == stored["text"]
    assert stored["state"] == "complete"
    assert last.data["usage"]["completion_tokens"] >= 30


def test_a_message_may_ask_for_a_grammar_that_holds_for_its_reply_alone(server: Server):
    def said(text: str, **more: Any) -> list[Any]:
        answer = httpx.post(f"{server.url}/chat/stream", json={"user_input": text, **more}, timeout=60)
        return events_of(answer.text)

    def text_of(events: list[Any]) -> str:
        return "".join(event.data["text"] for event in events if event.name == "token")

    bound = said("Is the sky blue?", grammar='root ::= "perhaps" | "never"', max_tokens=20)
    assert text_of(bound) in ("perhaps", "never")
    again = {"conversation_id": bound[0].data["conversation_id"]}
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert set(json.loads(text_of(said("Count.", json_schema=schema, max_tokens=40, **again)))) == {"n"}
    assert text_of(said("And now?", **again)) not in ("perhaps", "never")
    *_, last = said("And now?", grammar="root ::= (", **again)
    assert (last.name, "grammar" in last.data["error"]["message"]) == ("error", True)


def test_another_model_answers_one_message_of_a_conversation(tmp_path: Path, gemma: Path):
    with Server(tmp_path, *FLAGS, "--model", MODEL) as server:
        (server.models / gemma.name).symlink_to(gemma)
        wait_until_ready(server)

        def say(text: str, **more: str) -> Any:
            body = {"user_input": text, "max_tokens": 12, **more}
            answer = httpx.post(f"{server.url}/chat/stream", json=body, timeout=120)
            return list(events_in(answer.text.split("\n")))

        first, *_ = say("What is 2 + 2?")
        again = {"conversation_id": first.data["conversation_id"]}
        for model in (gemma.stem, MODEL):
            events = say("And 3 + 3?", model=model, **again)
            assert events[0].data["model"] == model
            assert events[-1].data["usage"]["completion_tokens"] > 1
        messages = httpx.get(f"{server.url}/conversations/{again['conversation_id']}").json()["messages"]
        assert [each["model"] for each in messages[1::2]] == [MODEL, gemma.stem, MODEL]
        assert httpx.get(f"{server.url}/healthz").json()["model"] == MODEL


async def test_a_hundred_clients_at_once_all_finish(server: Server):
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    before, begun = process.memory_info().rss, time.monotonic()
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=server.url, timeout=150, limits=limits) as client:

        async def ask(number: int) -> str:
            body = {"user_input": f"Say the number {number}.", "max_tokens": 8}
            response = await client.post("/chat/stream", json=body)
            return [event.name for event in events_in(response.text.split("\n"))][-1]

        last = await asyncio.gather(*(ask(number) for number in range(100)))
    grown = (process.memory_info().rss - before) / 1e6
    print(f"100 clients: {time.monotonic() - begun:.1f} s, {grown:.0f} MB more")  # noqa: T201 - the figure of interest
    assert set(last) == {"done"}


def test_open_streams_end_with_the_key_or_the_user_who_began_them(tmp_path: Path):
    with Server(tmp_path, *FLAGS) as server:
        wait_until_ready(server)
        keys = {}
        for name in ("alice", "bob"):
            assert user(server, "add", name, password="correct horse").returncode == 0
            keys[name] = {"Authorization": f"Bearer {user(server, 'key', name).stdout.strip()}"}
        endless = {"grammar": 'root ::= ("on and " | "so "){2000}', "max_tokens": 1900}
        bodies = {
            "/chat/stream": {"user_input": LONG[0]["content"], **endless},
            "/v1/chat/completions": {"messages": LONG, "stream": True, **endless},
        }
        [key] = with_accounts(server, lambda accounts: accounts.api_keys.of("alice"))
        begun = threading.Barrier(5)
        last: dict[tuple[str, str], Any] = {}

        def follow(name: str, path: str) -> None:
            body, headers = bodies[path], keys[name]
            with httpx.stream("POST", f"{server.url}{path}", json=body, headers=headers, timeout=60) as response:
                events = events_in(response.iter_lines())
                next(events), next(events)
                begun.wait(30)
                last[name, path] = [event.data for event in events if event.data != "[DONE]"][-1]

        threads = [threading.Thread(target=follow, args=(name, path)) for name in keys for path in bodies]
        for thread in threads:
            thread.start()
        begun.wait(60)
        with_accounts(server, lambda accounts: accounts.api_keys.revoke("alice", key.id))
        with_accounts(server, lambda accounts: accounts.users.remove("bob", erase=True))
        for thread in threads:
            thread.join()
        # Bob's conversation is gone as well, and that may be noticed first.
        error = last.pop(("bob", "/chat/stream"))["error"]
        assert error["code"] == "access_ended" or "was erased" in error["message"]
        assert {key: data["error"]["code"] for key, data in last.items()} == dict.fromkeys(last, "access_ended")
        assert len(last) == 3
        # Nobody waits for these replies any more.
        again = {"Authorization": f"Bearer {user(server, 'key', 'alice').stdout.strip()}"}
        [listed] = httpx.get(f"{server.url}/conversations", headers=again).json()["data"]
        deadline = time.monotonic() + 10
        while (reply := httpx.get(f"{server.url}/conversations/{listed['id']}", headers=again).json()["messages"][-1])[
            "state"
        ] == "writing":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert reply["state"] == "stopped"
        assert "Traceback" not in server.output()


def test_open_streams_are_told_of_the_end(tmp_path: Path):
    with Server(tmp_path, *FLAGS) as server:
        wait_until_ready(server)
        bodies = {
            "/chat/stream": {"user_input": LONG[0]["content"], "max_tokens": 1900},
            "/v1/chat/completions": {"messages": LONG, "stream": True},
        }
        begun = threading.Barrier(3)
        last: dict[str, Any] = {}

        def follow(path: str) -> None:
            with httpx.stream("POST", f"{server.url}{path}", json=bodies[path], timeout=60) as response:
                assert response.status_code == 200
                events = events_in(response.iter_lines())
                next(events), next(events)
                begun.wait(30)
                last[path] = [event.data for event in events if event.data != "[DONE]"][-1]

        threads = [threading.Thread(target=follow, args=(path,)) for path in bodies]
        for thread in threads:
            thread.start()
        begun.wait(30)
        seconds = server.stop()
        for thread in threads:
            thread.join()
        assert seconds < 3
        for path in bodies:
            assert last[path]["error"]["code"] == "shutting_down"
        assert "Traceback" not in server.output()
        assert "ERROR" not in server.output()
        assert not server.has_left_processes()
