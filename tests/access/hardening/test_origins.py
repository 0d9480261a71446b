"""Nothing to log in to, and yet no web page elsewhere gets in. Each test is an attack that works without its rule."""

from __future__ import annotations

import pytest
from starlette.types import Message

from tests.access.conftest import HERE, Door, OpenDoor

EVIL = "https://evil.example"


async def test_the_person_at_the_machine_just_comes_in(door: Door):
    async with door.browser() as me:
        assert (await me.get("/")).json() == {"way": "open", "address": "127.0.0.1", "user": None, "owner": None}


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST", "localhost."]
)
async def test_the_names_of_this_machine_are_ours(door: Door, host: str):
    async with door.browser() as me:
        assert (await me.get("/", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.7:8080"],
)
async def test_a_name_rebound_to_this_machine_is_not_answered(door: Door, host: str):
    """DNS rebinding: the browser believes that evil.example lives here, and would let its page read everything."""
    async with door.browser() as me:
        answer = await me.get("/", headers={"Host": host})
    assert answer.status_code == 421
    assert "ALLOWED_HOSTS" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "host",
    ["", "localhost, evil.example", "localhost/evil", "localhost@evil.example", "localhost\r\nX-Evil: 1", "lo calhost"],
)
async def test_a_host_that_is_none_is_a_bad_request(door: Door, host: str):
    assert (await raw(door, [(b"host", host.encode())]))["status"] == 400


async def test_two_hosts_or_none_are_a_bad_request(door: Door):
    assert (await raw(door, []))["status"] == 400
    assert (await raw(door, [(b"host", b"localhost"), (b"host", b"evil.example")]))["status"] == 400


async def test_hosts_can_be_listed(open_door: OpenDoor):
    door = await open_door(allowed_hosts="chat.example.org, *.lan", access_token="0123456789abcdef")
    async with door.browser() as me:
        for host, status in [("chat.example.org", 401), ("a.lan", 401), ("lan", 421), ("evil.org", 421)]:
            assert (await me.get("/", headers={"Host": host})).status_code == status


@pytest.mark.parametrize(
    "origin",
    [EVIL, "null", "http://localhost:3000", "https://localhost:8080", f"{HERE}.evil.example", f"{HERE}\r\nX: 1", ""],
)
@pytest.mark.parametrize("path", ["/echo", "/v1/chat/completions", "/login", "/logout", "/_nicegui_ws/socket.io/"])
async def test_a_foreign_origin_changes_nothing(door: Door, origin: str, path: str):
    """Any page may send a POST here; the port counts too, for other programs on this machine have pages as well."""
    answer = await raw(door, [(b"host", b"localhost:8080"), (b"origin", origin.encode())], method="POST", path=path)
    assert answer["status"] == 403
    assert b"evil" not in b"".join(name + value for name, value in answer["headers"])


async def test_one_good_origin_does_not_excuse_a_second_one(door: Door):
    headers = [(b"host", b"localhost:8080"), (b"origin", HERE.encode()), (b"origin", EVIL.encode())]
    assert (await raw(door, headers, method="POST", path="/echo"))["status"] == 403


async def test_our_own_page_may(door: Door):
    async with door.browser() as me:
        for headers in ({}, {"Origin": HERE}, {"Origin": HERE, "Sec-Fetch-Site": "same-origin"}):
            assert (await me.post("/echo", json={"a": 1}, headers=headers)).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_browser_that_names_no_origin_still_gives_itself_away(door: Door, site: str):
    async with door.browser() as me:
        assert (await me.post("/echo", json={}, headers={"Sec-Fetch-Site": site})).status_code == 403
        image = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
        assert (await me.get("/v1/models", headers=image)).status_code == 403
        link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert (await me.get("/", headers=link)).status_code == 200


@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:3000"])
async def test_a_socket_from_a_foreign_page_is_refused_before_it_opens(door: Door, origin: str):
    sent = await socket(door, [(b"host", b"localhost:8080"), (b"origin", origin.encode())])
    assert sent[0]["type"] == "websocket.http.response.start"
    assert sent[0]["status"] == 403


async def test_a_socket_through_a_rebound_name_or_a_sibling_site_is_refused(door: Door):
    host = b"evil.example:8080"
    assert (await socket(door, [(b"host", host), (b"origin", b"http://" + host)]))[0]["status"] == 421
    headers = [(b"host", b"localhost:8080"), (b"sec-fetch-site", b"same-site")]
    assert (await socket(door, headers))[0]["status"] == 403


async def test_a_server_without_refusals_for_sockets_closes_them(door: Door):
    [closed] = await socket(door, [(b"host", b"localhost"), (b"origin", b"null")], extensions=False)
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""]
)
async def test_what_a_form_can_send_is_not_taken_for_json(door: Door, kind: str):
    """A form needs nobody's leave to post JSON as text/plain to any address."""
    async with door.browser() as me:
        answer = await me.post("/echo", content=b'{"user_input": "hi"}', headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "not_json"


async def test_json_of_all_kinds_and_uploads_of_the_page_go_through(door: Door):
    async with door.browser() as me:
        for kind in ("application/json", "application/json; charset=utf-8", "application/ld+json"):
            assert (await me.post("/echo", content=b"{}", headers={"Content-Type": kind})).status_code == 200
        assert (await me.post("/echo")).status_code == 200
        assert (await me.post("/_nicegui/client/1/upload/2", files={"a": b"x"})).status_code == 200


async def test_no_other_page_may_read_unless_it_is_listed(open_door: OpenDoor):
    door, listing = await open_door(), await open_door(cors_origins=EVIL)
    asking = {"Origin": EVIL, "Access-Control-Request-Method": "POST", "Sec-Fetch-Site": "cross-site"}
    from_page = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    async with door.browser() as me, listing.browser() as guest:
        assert "access-control-allow-origin" not in (await me.options("/echo", headers=asking)).headers
        assert (await me.get("/v1/models", headers=from_page)).status_code == 403
        allowed = await guest.options("/echo", headers=asking | {"Access-Control-Request-Headers": "authorization"})
        assert allowed.headers["access-control-allow-origin"] == EVIL
        assert (await guest.post("/echo", json={}, headers=from_page)).headers["access-control-allow-origin"] == EVIL
        other = from_page | {"Origin": "https://other.example"}
        assert (await guest.post("/echo", json={}, headers=other)).status_code == 403


@pytest.mark.parametrize("path", ["/", "/nowhere", "/login", "/v1/models"])
async def test_every_answer_tells_the_browser_what_not_to_do(door: Door, path: str):
    async with door.browser() as me:
        for host in ("localhost", "evil.example"):
            headers = (await me.get(path, headers={"Host": host}, follow_redirects=False)).headers
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "default-src" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer" or path == "/login"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "camera=()" in headers["permissions-policy"]


async def raw(door: Door, headers: list[tuple[bytes, bytes]], method: str = "GET", path: str = "/") -> Message:
    """The start of the answer to what no client would send, as a server hands it over."""
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "scheme": "http",
        "headers": headers,
        "server": ("localhost", 8080),
        "client": ("127.0.0.1", 4711),
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await door.asgi(scope, receive, send)
    return sent[0]


async def socket(door: Door, headers: list[tuple[bytes, bytes]], *, extensions: bool = True) -> list[Message]:
    sent: list[Message] = []
    scope = {"type": "websocket", "path": "/_nicegui_ws/socket.io/", "scheme": "ws", "headers": headers}
    scope |= {"client": ("127.0.0.1", 1), "extensions": {"websocket.http.response": {}} if extensions else {}}

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await door.asgi(scope, receive, send)
    return sent
