"""What holds for every route of the real program, whatever is sent to it: pages, files, sockets, API and errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from localchat_ui.access.hardening import HEADERS
from localchat_ui.ui import login_page
from tests.browser.server import Server

from .live import PAGE, Browser, send_bytes
from .test_program import wait_until

TOKEN = "the-token-of-every-route"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PAGES = [
    "/",
    "/c/x",
    "/models",
    "/system",
    "/login",
    "/logout",
    "/docs",
    "/openapi.json",
    "/favicon.ico",
    "/nowhere",
    "/?token=wrong",
]
SOCKETS = ["/_nicegui_ws/socket.io/?EIO=4&transport=polling", "/_nicegui_ws/socket.io/", "/_nicegui_ws/x"]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"]
INSTALL = ["/manifest.webmanifest", "/service-worker.js", "/offline", "/icon.svg", "/icon-192.png", "/icon-512.png"]
OPEN_TO_ALL = {"/login", "/healthz", "/favicon.ico", *INSTALL}
BRACES = {ord("{"): "", ord("}"): ""}
SMUGGLED = b"POST /reset HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a token, and a limit of one megabyte."""
    flags = ("--access-token", TOKEN, "--max-body-mb", "1", "--requests-per-minute", "0")
    server = Server(tmp_path_factory.mktemp("guarded"), *flags)
    server.launch()
    try:
        wait_until(lambda: '"ready":true' in server.get("/healthz"))
        yield server
        assert "Traceback" not in server.output()
    finally:
        server.kill()


@pytest.fixture(scope="module")
def routes(program: Server) -> dict[str, list[str]]:
    """Every address there is, with the methods that the document knows for it."""
    document = httpx.get(f"{program.url}/openapi.json").json()
    documented = {path.translate(BRACES): [m.upper() for m in known] for path, known in document["paths"].items()}
    with Browser(program) as me:
        html = me.get("/").text
    files = [re.search(f'/_nicegui/[^"]+{end}"', html) for end in (r"nicegui\.css", r"\.js")]
    found = [match[0].rstrip('"') for match in files if match]
    assert len(found) == 2
    found += [found[0] + "x", found[0].rpartition("/")[0] + "/", "/_nicegui/x", "/_nicegui/client/x/upload/1"]
    return documented | {path: ["GET"] for path in [*PAGES, *INSTALL, *SOCKETS, *found]}


@pytest.fixture
def me(program: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=program.url, trust_env=False, timeout=60) as client:
        yield client


def see_headers(answer: httpx.Response) -> None:
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) in ([value], [login_page.HEADERS.get(name)]), (answer.request, name)
    assert "server" not in answer.headers


def test_every_answer_has_the_headers_of_security(me: httpx.Client, routes: dict[str, list[str]]) -> None:
    statuses = set()
    for path in routes:
        for method in METHODS:
            answer = me.request(method, path)
            see_headers(answer)
            assert answer.status_code < 500, (method, path, answer.text)
            statuses.add(answer.status_code)
    assert statuses >= {200, 303, 400, 404, 405}


def test_every_error_of_the_api_has_the_one_shape(me: httpx.Client) -> None:
    document = me.get("/openapi.json").json()
    for path, known in document["paths"].items():
        for method in {*METHODS} - {"HEAD", "OPTIONS"} - {method.upper() for method in known}:
            see_error(me.request(method, path.translate(BRACES)), 405, "method_not_allowed")
        see_error(me.get(f"/{path.split('/')[1]}/no/such/address", headers=PAGE), 404, "unknown_url")
    see_error(me.post("/v1/audio/speech", json={}), 404, "unknown_url")
    assert me.put("/reset").headers["allow"] == "POST"
    # Outside of the API a person reads it.
    assert "text/html" in me.get("/nowhere", headers=PAGE).headers["content-type"]
    assert me.get("/nowhere").status_code == 404


def see_error(answer: httpx.Response, status: int, code: str) -> None:
    asked = f"{answer.request.method} {answer.request.url}"
    assert answer.status_code == status, asked
    assert list(answer.json()) == ["error"], asked
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, code), asked
    assert error["message"].startswith(("There is no /", answer.request.url.path)), asked


def test_refusals_have_them_too(me: httpx.Client, guarded: Server) -> None:
    with httpx.Client(base_url=guarded.url, trust_env=False) as stranger:
        answers = [
            me.get("/", headers={"Host": "evil.example"}),
            me.post("/reset", headers={"Origin": "https://evil.example"}),
            me.post("/reset", content=b"a=b"),
            me.get("/conversations", params={"limit": "x"}),
            stranger.get("/"),
            stranger.get("/", headers={"Accept": "text/html"}),
            stranger.post("/reset", content=b" " * 1_100_000, headers=BEARER | {"Content-Type": "application/json"}),
        ]
    for answer in answers:
        see_headers(answer)
    assert [answer.status_code for answer in answers] == [421, 403, 415, 400, 401, 303, 413]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 400_000 + b"\r\n\r\n", 431),
        (SMUGGLED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (SMUGGLED + b"Content-Length: 2\r\n\r\n{}", 400),
    ],
)
def test_what_is_no_request_is_refused_with_them(program: Server, request_: bytes, status: int) -> None:
    """These never reach our layers: the parser turns them away. The last two are how requests are smuggled."""
    answer = send_bytes(program, request_)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    for name, value in HEADERS.items():
        assert f"{name}: {value}\r\n".encode() in answer


def test_a_stranger_reaches_nothing_but_the_door(guarded: Server, routes: dict[str, list[str]]) -> None:
    """Figures, documents and files of the page included."""
    with httpx.Client(base_url=guarded.url, trust_env=False) as stranger:
        for path, methods in routes.items():
            for method in {*methods, "GET", "POST"}:
                answer = stranger.request(method, path, **({"json": {}} if method == "POST" else {}))
                is_open = path.partition("?")[0] in OPEN_TO_ALL
                assert (answer.status_code == 401) != is_open, (method, path, answer.status_code)
                assert stranger.get(path, headers=BEARER).status_code != 401
        assert stranger.get("/metrics", headers=BEARER).text.startswith("# HELP")
        assert stranger.head("/healthz").status_code == 200


def test_a_program_on_this_machine_is_not_believed_to_be_elsewhere(guarded: Server) -> None:
    """uvicorn would believe it: it takes whatever is on this machine for a proxy."""
    forged = {"Authorization": "Bearer a-guess", "X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https"}
    with httpx.Client(base_url=guarded.url, trust_env=False) as liar:
        assert liar.get("/v1/models", headers=forged).status_code == 401
        cookie = liar.get("/", params={"token": TOKEN}, headers={"Accept": "text/html"} | forged).headers["set-cookie"]
    wait_until(lambda: 'token refused address="127.0.0.1"' in guarded.output())
    assert "9.9.9.9" not in guarded.output()
    assert "Secure" not in cookie


def test_two_megabytes_are_too_much_for_every_route(guarded: Server, routes: dict[str, list[str]]) -> None:
    large = b'{"user_input": "' + b"x" * 2_000_000 + b'"}'
    headers = BEARER | {"Content-Type": "application/json"}
    with httpx.Client(base_url=guarded.url, trust_env=False, timeout=30) as client:
        for path in routes:
            for method in ("POST", "PUT", "DELETE", "GET"):
                assert client.request(method, path, content=large, headers=headers).status_code == 413, (method, path)
            # The login is read before anybody is known.
            if path == "/login":
                form = {"Content-Type": "application/x-www-form-urlencoded"}
                assert client.post(path, content=b"name=" + large, headers=form).status_code == 413


def test_two_megabytes_that_are_allowed_break_nothing(me: httpx.Client, routes: dict[str, list[str]]) -> None:
    text = "x " * 1_000_000
    for path, methods in routes.items():
        if "POST" in methods:
            for body in (
                {"user_input": text},
                {"user_input": "x", "system_prompt": text},
                {"messages": [{"role": "user", "content": text}]},
                {"prompt": text},
                {"input": text},
                {"conversation_id": text, "model": text, "user_input": "x"},
                {text: text},
            ):
                answer = me.post(path, json=body)
                # A conversation that is too long can be counted all the same.
                counted = (200,) if path.endswith("/count_tokens") and "messages" in body else ()
                assert answer.status_code in (400, 404, 415, *counted), (path, next(iter(body))[:20], answer.text[:200])
                assert len(answer.content) < 10_000


BOMBS: dict[str, bytes] = {
    "nothing": b"",
    "half": b'{"user_input": "x',
    "not UTF-8": b'{"user_input": "\xff\xfe"}',
    "half a character": b'{"user_input": "\\ud800"}',
    "a deep list": b"[" * 100_000 + b"]" * 100_000,
    "a deep value": b'{"user_input":' * 5000 + b"1" + b"}" * 5000,
    "deep metadata": b'{"user_input": "x", "metadata": ' + b"[" * 900 + b"]" * 900 + b"}",
    "not a number": b'{"user_input": "x", "temperature": NaN}',
    "infinity": b'{"user_input": "x", "temperature": Infinity, "top_p": -Infinity}',
    "a huge number": b'{"user_input": "x", "seed": ' + b"9" * 5000 + b"}",
    "a huge exponent": b'{"user_input": "x", "temperature": 1e999999}',
    "true": b"true",
    "null": b"null",
    "a list": b'[{"user_input": "x"}]',
    "a wrong type": b'{"user_input": {"a": 1}, "messages": 7, "prompt": {}, "input": null, "conversation_id": []}',
    "twice": b'{"user_input": "", "user_input": " "}',
    "the prototype": b'{"__proto__": {"a": 1}, "__class__": "x", "user_input": 1}',
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_body_that_is_none_is_a_bad_request(me: httpx.Client, routes: dict[str, list[str]], bomb: bytes) -> None:
    for path, methods in routes.items():
        if "POST" in methods and not (path == "/reset" and bomb in (b"", b"null")):
            answer = me.post(path, content=bomb, headers={"Content-Type": "application/json"})
            assert answer.status_code == 400, (path, answer.text[:300])
            assert answer.json()["error"]["type"] == "invalid_request_error"
            assert len(answer.content) < 10_000


@pytest.mark.parametrize("field", ["chat_template_kwargs", "json_schema", "tools", "response_format"])
def test_a_value_without_bottom_is_refused_where_values_may_have_any_shape(me: httpx.Client, field: str) -> None:
    """Templates and grammars walk through them, and would not come back."""
    deep = b'{"a":' * 400 + b"1" + b"}" * 400
    inside = {
        "tools": b'[{"type": "function", "function": {"name": "f", "parameters": %b}}]' % deep,
        "response_format": b'{"type": "json_schema", "json_schema": {"name": "x", "schema": %b}}' % deep,
    }
    body = b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "%b": %b}'
    data = body % (field.encode(), inside.get(field, deep))
    answer = me.post("/v1/chat/completions", content=data, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "nested deeper" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "application/jsonx"]
)
def test_no_route_takes_a_form_for_json(me: httpx.Client, routes: dict[str, list[str]], kind: str) -> None:
    """A page elsewhere can send these without asking first."""
    for path, methods in routes.items():
        if "POST" in methods:
            answer = me.post(path, content=b'{"user_input": "x"}', headers={"Content-Type": kind})
            assert answer.status_code == 415, path
        if "DELETE" in methods:
            foreign = me.delete(path, headers={"Origin": "https://evil.example"})
            assert foreign.status_code == 403, path


NINES = "9" * 5000
EVENT_IDS = ["", "x", ":::", "a:1:2", "a:-1:0", NINES, f"a:{NINES}:0", "../../etc/passwd", "%0d%0aX-Evil: 1"]


@pytest.mark.parametrize("event_id", EVENT_IDS)
def test_an_event_id_that_is_none_leads_nowhere(me: httpx.Client, event_id: str) -> None:
    headers = {"Last-Event-ID": event_id}
    for answer in (
        me.get("/chat/stream", params={"conversation_id": "x"}, headers=headers),
        me.post("/chat/stream", json={"user_input": "x"}, headers=headers),
    ):
        assert answer.status_code == 404
        assert "x-evil" not in answer.headers


def test_any_number_of_unknown_conversations_leaves_nothing_behind(me: httpx.Client) -> None:
    def figures() -> int:
        return len(me.get("/metrics").text.splitlines())

    me.get("/conversations/first"), me.delete("/conversations/first")
    me.post("/chat/stream", json={"user_input": "x", "conversation_id": "first"})
    before = figures()
    for number in range(300):
        path = f"/conversations/{number}-{'x' * 200}"
        assert me.get(path).status_code == me.delete(path).status_code == 404
        again = me.post("/chat/stream", json={"user_input": "x", "conversation_id": str(number)})
        assert again.status_code == 404
    assert figures() == before


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a%0d%0aX-Evil:%201", "%E5%98%8A%E5%98%8DX-Evil:%201"])
def test_nothing_that_is_sent_becomes_a_header(me: httpx.Client, value: str) -> None:
    for path in ("/login", "/c/x", "/nowhere", "/chat/stream"):
        for answer in (
            me.get(path, params={"next": value, "conversation_id": value}),
            me.get(f"{path}/{quote(value)}"),
            me.post("/login", data={"next": value, "csrf": value, "name": value}),
        ):
            assert "x-evil" not in answer.headers
            assert answer.status_code < 500


def test_the_log_of_all_this_has_no_traceback(program: Server) -> None:
    assert "Traceback" not in program.output()
    assert Path(program.log).stat().st_size < 1_000_000
