"""Agents as their clients run them, at the real program with a real model whose words are forced by a grammar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import httpx
import jsonschema_rs
import openai
import pytest
from anthropic import beta_tool

from tests.access.live import user
from tests.api.conftest import FLAGS, wait_until_ready
from tests.api.events import events_in
from tests.api.rebuilt import rebuild, template_of
from tests.api.test_clients import LONG, figure, wait_until_idle
from tests.browser.server import Server
from tests.library.tiny import write_cross_encoder, write_llama

QUESTION: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
CALL = r'"<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>"'
THOUGHT = r'"<think>\nLet me see.\n</think>\n\n"'
ANSWER = '"It is sunny in Paris."'
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def saying(*texts: str) -> dict[str, Any]:
    return {"grammar": f"root ::= {' '.join(texts)}"}


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory, smollm: Path) -> Iterator[Server]:
    """The real program with a model that thinks, one that fills in the middle, and one that judges."""
    server = Server(tmp_path_factory.mktemp("families"), *FLAGS)
    server.models.mkdir(parents=True, exist_ok=True)
    rebuild(smollm, server.models / "thinker.gguf", template_of("Qwen 3"))
    # Whatever tokens stand for the marks: SmolLM2 was not taught any.
    rebuild(smollm, server.models / "filler.gguf", fim_pre_token_id=3, fim_suf_token_id=4, fim_mid_token_id=5)
    norms = {f"blk.{layer}.attn_{name}_norm.weight": (8,) for layer in range(2) for name in "qk"}
    judges: dict[str, Any] = {
        "architecture": "qwen3",
        "more_tensors": {**norms, "cls.output.weight": (2, 32)},
    }
    labels = {"{arch}.pooling_type": 4, "{arch}.classifier.output_labels": ["yes", "no"]}
    write_llama(server.models / "judge.gguf", **judges, more=labels)
    template = {"tokenizer.chat_template.rerank": "Does {document} answer {query}?"}
    write_llama(server.models / "asked.gguf", **judges, more=labels | template)
    write_cross_encoder(server.models / "bert.gguf")
    with server:
        wait_until_ready(server)
        yield server
        assert "Traceback" not in server.output()


def shown(*cities: str) -> Any:
    """A conversation in which calls have been made, and a question that wants one more."""
    messages: list[Any] = []
    for number, city in enumerate(cities):
        function = {"name": "get_weather", "arguments": json.dumps({"city": city})}
        messages += [
            {"role": "user", "content": f"What is the weather in {city}?"},
            {"role": "assistant", "tool_calls": [{"id": f"call{number:05}", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": f"call{number:05}", "content": "sunny"},
            {"role": "assistant", "content": f"It is sunny in {city}."},
        ]
    return [*messages, {"role": "user", "content": "What is the weather in Berlin?"}]


@pytest.mark.parametrize("strict", [False, True])
def test_a_call_that_nobody_forced_obeys_where_it_is_strict(client: openai.OpenAI, strict: bool):
    """The model opens the call by itself, as it saw it done, and would name the city it was asked for."""
    schema = {"type": "object", "properties": {"city": {"enum": ["Madrid", "Athens"]}}, "required": ["city"]}
    function: Any = {"name": "get_weather", "parameters": schema, "strict": strict}
    reply = client.chat.completions.create(
        model="thinker",
        messages=shown("Paris", "Rome", "Oslo"),
        tools=[{"type": "function", "function": function}],
        parallel_tool_calls=False,
        max_tokens=80,
    )
    (call,) = reply.choices[0].message.tool_calls or ()
    assert (json.loads(call.function.arguments)["city"] in ("Madrid", "Athens")) is strict


@pytest.fixture
def claude(families: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=families.url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def client(families: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{families.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_tool_runner_goes_round_its_loop(claude: anthropic.Anthropic, stream: bool):
    forced = saying(THOUGHT, CALL)
    asked: list[str] = []

    @beta_tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        forced.update(saying(THOUGHT, ANSWER))
        return "Sunny"

    runner: Any = claude.beta.messages.tool_runner(
        model="thinker", max_tokens=100, messages=QUESTION, tools=[get_weather], stream=stream, extra_body=forced
    )
    messages = [each.get_final_message() if stream else each for each in runner]
    assert asked == ["Paris"]
    assert [message.stop_reason for message in messages] == ["tool_use", "end_turn"]
    assert [block.type for block in messages[0].content] == ["thinking", "tool_use"]
    thought, said = messages[1].content
    assert (thought.thinking.strip(), said.text) == ("Let me see.", "It is sunny in Paris.")
    # The question was not read again.
    assert messages[1].usage.cache_read_input_tokens > 20


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_openais_responses_go_round_a_loop(client: openai.OpenAI, stream: bool, kept: bool):
    tools: Any = [{"type": "function", "name": "get_weather", "parameters": PARAMETERS}]

    def respond(**given: Any) -> Any:
        common: Any = {"model": "thinker", "tools": tools, "store": kept, "max_output_tokens": 100}
        if not stream:
            return client.responses.create(**common, **given)
        with client.responses.stream(**common, **given) as events:
            return events.get_final_response()

    items: Any = list(QUESTION)
    first = respond(input=items, extra_body=saying(THOUGHT, CALL))
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    call = first.output[-1]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}
    rest: Any = (
        {"input": [result], "previous_response_id": first.id}
        if kept
        else {"input": [*items, *(item.model_dump(exclude_none=True) for item in first.output), result]}
    )
    second = respond(**rest, extra_body=saying(THOUGHT, ANSWER))
    assert second.output_text == "It is sunny in Paris."
    assert second.usage.input_tokens_details.cached_tokens > 20
    assert second.usage.output_tokens_details.reasoning_tokens > 2


def test_openais_chat_completions_go_round_a_loop(client: openai.OpenAI):
    tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]
    messages: list[Any] = list(QUESTION)
    for words, reason in ((CALL, "tool_calls"), (ANSWER, "stop")):
        choice = client.chat.completions.create(
            model="thinker", messages=messages, tools=tools, max_tokens=100, extra_body=saying(THOUGHT, words)
        ).choices[0]
        assert choice.finish_reason == reason
        messages.append(choice.message)
        calls = choice.message.tool_calls or ()
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "Sunny"} for call in calls]
    assert messages[-1].content == "It is sunny in Paris."


def test_structured_answers_and_forced_calls(claude: anthropic.Anthropic, client: openai.OpenAI):
    schema = {"type": "object", "properties": {"age": {"type": "integer", "maximum": 99}}, "required": ["age"]}
    valid = jsonschema_rs.validator_for(schema)
    question: Any = [{"role": "user", "content": "Anna is 7 years old. Her age as JSON?"}]
    # A model that may think thinks as long as it likes; this one was not taught to end it.
    text: Any = {"format": {"type": "json_schema", "name": "age", "schema": schema, "strict": True}}
    response = client.responses.create(model="filler", input=question, text=text, max_output_tokens=60)
    assert valid.is_valid(json.loads(response.output_text))
    output: Any = {"format": {"type": "json_schema", "schema": schema}}
    message = claude.messages.create(model="filler", max_tokens=60, messages=question, output_config=output)
    assert message.content[0].type == "text"
    assert valid.is_valid(json.loads(message.content[0].text))
    called = claude.messages.create(
        model="filler",
        max_tokens=60,
        messages=QUESTION,
        tools=[{"name": "get_weather", "input_schema": PARAMETERS}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    )
    [block] = called.content
    assert (block.type, called.stop_reason) == ("tool_use", "tool_use")
    assert block.type == "tool_use"
    assert block.input["city"]


def test_anthropics_client_counts_stops_and_streams(claude: anthropic.Anthropic):
    given: Any = {"model": "filler", "messages": QUESTION, "system": "Be brief."}
    counted = claude.messages.count_tokens(**given).input_tokens
    with claude.messages.stream(
        **given, max_tokens=30, stop_sequences=["sunny", "never"], extra_body=saying(ANSWER)
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == "It is "
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "sunny")
    usage = message.usage
    assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == counted
    cut = claude.messages.create(**given, max_tokens=2)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 2)
    assert claude.messages.count_tokens(model="filler", messages=[{"role": "user", "content": "word " * 3000}])
    assert message.model == "filler"


def test_errors_are_the_clients_own(claude: anthropic.Anthropic, client: openai.OpenAI):
    long: Any = [{"role": "user", "content": "word " * 3000}]
    with pytest.raises(anthropic.NotFoundError, match="claude"):
        claude.messages.create(model="claude-opus-4", max_tokens=5, messages=QUESTION)
    with pytest.raises(anthropic.BadRequestError, match="2,048"):
        claude.messages.create(model="filler", max_tokens=5, messages=long)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="filler", input=long)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="filler", input="x", previous_response_id="resp_x")
    assert caught.value.code == "previous_response_not_found"
    # Where it may be cut, the oldest go.
    messages: Any = [*long, {"role": "assistant", "content": "Well."}, *QUESTION]
    assert client.responses.create(model="filler", input=messages, truncation="auto", max_output_tokens=3).output_text


def test_suffix_fills_in_the_middle(families: Server, client: openai.OpenAI):
    for stream in (False, True):
        given: Any = {"model": "filler", "prompt": "def add(a, b):\n    ", "suffix": "\n", "max_tokens": 5}
        answer: Any = client.completions.create(**given, stream=stream, extra_body=saying('"return a + b"'))
        text = "".join(chunk.choices[0].text for chunk in answer) if stream else answer.choices[0].text
        assert "return a + b".startswith(text) or text == "return a + b"
        assert len(text) > 5
    counted = client.completions.create(model="filler", prompt="a", suffix="b", max_tokens=1).usage
    assert counted is not None
    assert counted.prompt_tokens == 5
    with pytest.raises(openai.BadRequestError, match="fill in the middle"):
        client.completions.create(model="thinker", prompt="a", suffix="b")


@pytest.mark.parametrize("model", ["judge", "asked", "bert"])
def test_documents_are_ordered_by_a_reranker(families: Server, model: str):
    documents = ["a cat", {"text": "a car"}, "ein Löwe", ""]
    body: dict[str, Any] = {"model": model, "query": "What purrs?", "documents": documents}
    answer = httpx.post(f"{families.url}/v1/rerank", json={**body, "return_documents": True}, timeout=60).json()
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1
    assert sorted(result["index"] for result in answer["results"]) == [0, 1, 2, 3]
    assert answer["results"][0]["document"]["text"] in ("a cat", "a car", "ein Löwe", "")
    # Each byte is a token of this model.
    assert answer["usage"]["total_tokens"] > 4 * len("What purrs?")
    best = httpx.post(f"{families.url}/v1/rerank", json={**body, "top_n": 1}, timeout=60).json()["results"]
    assert [result["index"] for result in best] == [answer["results"][0]["index"]]
    alone = httpx.post(f"{families.url}/v1/rerank", json={**body, "documents": documents[:1]}, timeout=60).json()
    first = next(result for result in answer["results"] if result["index"] == 0)
    assert alone["results"][0]["relevance_score"] == pytest.approx(first["relevance_score"], abs=1e-4)
    for wrong, reason in (
        ({"model": "filler"}, "no reranker"),
        ({"documents": []}, "documents"),
        ({"query": ""}, "query"),
    ):
        refused = httpx.post(f"{families.url}/v1/rerank", json={**body, **wrong}, timeout=60)
        assert refused.status_code == 400
        assert reason in refused.json()["error"]["message"]
    too_long = httpx.post(f"{families.url}/v1/rerank", json={**body, "query": "x" * 5000}, timeout=60)
    assert too_long.json()["error"]["code"] == "context_length_exceeded"


def test_tokens_and_templates_are_shown(families: Server):
    def post(path: str, **body: Any) -> Any:
        return httpx.post(f"{families.url}{path}", json={"model": "filler", **body}, timeout=60).json()

    text = "Grüße, 世界 🦙 <|im_end|>"
    tokens = post("/tokenize", content=text)["tokens"]
    assert post("/detokenize", tokens=tokens) == {"content": text}
    pieces = post("/tokenize", content=text, with_pieces=True)["tokens"]
    assert [piece["id"] for piece in pieces] == tokens
    spelled = [p["piece"].encode() if isinstance(p["piece"], str) else bytes(p["piece"]) for p in pieces]
    assert b"".join(spelled).decode() == text
    assert any(isinstance(piece["piece"], list) for piece in pieces)
    assert len(post("/tokenize", content="<|im_end|>")["tokens"]) == 1
    assert len(post("/tokenize", content="<|im_end|>", parse_special=False)["tokens"]) > 1
    assert post("/tokenize", content="")["tokens"] == []
    assert "no token 999999" in post("/detokenize", tokens=[999999])["error"]["message"]
    prompt = post("/apply-template", messages=QUESTION)["prompt"]
    assert prompt.endswith("<|im_start|>user\nWhat is the weather in Paris?<|im_end|>\n<|im_start|>assistant\n")
    assert post("/v1/completions", prompt=prompt, max_tokens=3)["usage"]["prompt_tokens"] == len(
        post("/tokenize", content=prompt)["tokens"]
    )


BODIES: dict[str, dict[str, Any]] = {
    "/v1/messages": {"messages": LONG, "max_tokens": 1900},
    "/v1/responses": {"input": LONG, "max_output_tokens": 1900},
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", BODIES)
def test_a_client_that_leaves_ends_its_generation(families: Server, path: str, stream: bool):
    wait_until_idle(families)
    # Unbound, a reply of this model may soon be over.
    body = {**BODIES[path], "model": "filler", "stream": stream, "grammar": 'root ::= ("on and " | "so "){2000}'}
    before = figure(families, "generated_tokens_total")
    if stream:
        with httpx.stream("POST", f"{families.url}{path}", json=body, timeout=60) as response:
            events = events_in(response.iter_lines())
            for _ in range(4):
                next(events)
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{families.url}{path}", json=body, timeout=1.5)
    wait_until_idle(families, 10)
    assert figure(families, "generated_tokens_total") - before < 1000


def test_keys_owners_and_quotas_hold(tmp_path: Path):
    with Server(tmp_path, *FLAGS, "--generations-per-user", "1") as server:
        wait_until_ready(server)
        keys = {}
        for name in ("alice", "bob"):
            assert user(server, "add", name, password="correct horse").returncode == 0
            keys[name] = user(server, "key", name).stdout.strip()
        stack = ExitStack()
        people = {**keys, "stranger": "wrong"}
        claudes = {
            name: stack.enter_context(anthropic.Anthropic(base_url=server.url, api_key=key, max_retries=0))
            for name, key in people.items()
        }
        clients = {
            name: stack.enter_context(openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0))
            for name, key in keys.items()
        }
        asked: Any = {"model": "", "max_tokens": 5, "messages": QUESTION}
        # Anthropic's clients send a key in a header of their own.
        assert claudes["alice"].messages.create(**asked).content
        with pytest.raises(anthropic.AuthenticationError) as caught:
            claudes["stranger"].messages.create(**asked)
        assert caught.value.body == {
            "type": "error",
            "error": {
                "message": "This API key is wrong or was revoked.",
                "type": "authentication_error",
                "param": None,
                "code": "invalid_api_key",
            },
        }
        kept = clients["alice"].responses.create(model="", input="Hello", max_output_tokens=5)
        assert clients["alice"].responses.retrieve(kept.id).id == kept.id
        with pytest.raises(openai.NotFoundError):
            clients["bob"].responses.retrieve(kept.id)
        with pytest.raises(openai.NotFoundError):
            clients["bob"].responses.delete(kept.id)
        with pytest.raises(openai.BadRequestError):
            clients["bob"].responses.create(model="", input="And?", previous_response_id=kept.id)
        endless = {"grammar": 'root ::= ("on and " | "so "){2000}', "max_tokens": 1900}
        with claudes["alice"].messages.stream(**{**asked, "max_tokens": 1900}, extra_body=endless) as stream:
            next(iter(stream.text_stream))
            with pytest.raises(anthropic.RateLimitError):
                claudes["alice"].messages.create(**asked)
            with pytest.raises(openai.RateLimitError):
                clients["alice"].responses.create(model="", input="Hello")
            # Counting writes nothing, and others are not concerned.
            assert claudes["alice"].messages.count_tokens(model="", messages=QUESTION).input_tokens
            assert claudes["bob"].messages.create(**asked).content
        assert "Traceback" not in server.output()
        stack.close()


def test_open_streams_are_told_of_the_end(tmp_path: Path):
    with Server(tmp_path, *FLAGS) as server:
        wait_until_ready(server)
        endless = {"stream": True, "grammar": 'root ::= ("on and " | "so "){2000}'}
        for path, last in (("/v1/messages", "error"), ("/v1/responses", "response.failed")):
            if server.process is None or server.process.poll() is not None:
                server.start()
                wait_until_ready(server)
            with httpx.stream("POST", f"{server.url}{path}", json={**BODIES[path], **endless}, timeout=60) as response:
                events = events_in(response.iter_lines())
                next(events), next(events)
                server.stop()
                *_, event = events
            assert event.name == last
            error = event.data["error"] if last == "error" else event.data["response"]["error"]
            assert error["code"] == "shutting_down"
        assert "Traceback" not in server.output()
