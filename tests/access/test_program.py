"""The real program on loopback: its page works behind the checks, and attacks on its real socket do not."""

from __future__ import annotations

import re
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.browser.server import Server
from tests.test_process import run, see_refusal

from .live import PAGE, Browser, Page, Socket, send_bytes, user

PASSWORD = "correct horse"


def test_the_page_opens_and_its_socket_shakes_hands(program: Server) -> None:
    with Browser(program) as me:
        page = me.page()
        with me.socket(page) as mine:
            assert mine.is_welcome
            mine.emit("log", {"client_id": page.client_id, "level": "warning", "message": "said by my own page"})
            wait_until(lambda: "said by my own page" in program.output())
        again = me.page()
        with me.socket(again, implicit=False) as mine:
            assert mine.ask("handshake", again.handshake()) is True


def test_all_that_the_page_loads_is_there(program: Server) -> None:
    with Browser(program) as me:
        html = me.get("/").text
        files = set(re.findall(r'["(](/_nicegui/[^"\')]+)["\')]', html))
        assert len(files) > 5
        for file in files:
            if "." in file.rpartition("/")[2]:
                assert (
                    me.get(file, headers={"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors"}).status_code
                    == 200
                )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:3000"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"origin": "http://evil.example:8080", "Host": "evil.example:8080"}, None),
    ],
)
def test_a_foreign_page_does_not_open_the_socket(program: Server, headers: dict[str, str], status: int | None) -> None:
    """Browsers let any page open a socket to anywhere; they only tell where it comes from."""
    with Browser(program) as me, pytest.raises(InvalidStatus) as refused:
        me.socket(me.page(), **headers)
    # Two hosts, because the client adds its own.
    assert refused.value.response.status_code == (status or 400)


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:3000"])
def test_a_foreign_page_does_not_poll_either(program: Server, origin: str) -> None:
    polling = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    with Browser(program) as me:
        assert me.get(polling, headers={"Origin": origin}).status_code == 403
        own = me.get(polling, headers={"Origin": program.url})
        assert own.status_code == 200
        assert "access-control-allow-origin" not in own.headers
        sid = re.search(r'"sid":"([^"]+)"', own.text)
        assert sid
        post = {
            "url": f"{polling}&sid={sid[1]}",
            "content": "40",
            "headers": {"Content-Type": "text/plain;charset=UTF-8"},
        }
        assert me.post(**post).text == "OK"


def test_a_rebound_name_does_not_open_the_socket(program: Server) -> None:
    upgrade = (
        b"GET /_nicegui_ws/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: evil.example\r\n"
        b"Origin: http://evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert send_bytes(program, upgrade).startswith(b"HTTP/1.1 421 ")


def test_the_id_of_another_page_is_worth_nothing_on_a_socket(program: Server) -> None:
    """In NiceGUI 3.18 it is enough to press another tab's buttons."""
    with Browser(program) as victim, Browser(program) as thief:
        theirs, mine = victim.page(), thief.page()
        with victim.socket(theirs) as open_page, thief.socket(mine) as own:
            assert open_page.is_welcome
            for event in ("log", "event", "ack", "javascript_response"):
                message = {"client_id": theirs.client_id, "level": "warning", "message": "said by a thief", "id": 1}
                own.emit(event, message | {"args": [], "next_message_id": 10**9, "request_id": "1"})
            own.emit("log", {"client_id": mine.client_id, "level": "warning", "message": "all was heard"})
            wait_until(lambda: "all was heard" in program.output())
            assert "said by a thief" not in program.output()
            assert "Traceback" not in program.output()
        with Socket(program, mine, implicit=False) as silent:
            for nonsense in ("x", None, 7, ["y"], {}):
                silent.emit("event", nonsense)  # type: ignore[arg-type]
            assert silent.ask("handshake", {"client_id": "unknown"}) is False


@pytest.mark.parametrize(
    "head",
    [
        b"Host: localhost\r\nOrigin: http://localhost\rSet-Cookie: a=b",
        b"Host: localhost\rX-Evil: 1",
        b"Host: localhost\nX-Evil: 1\r\nHost: evil.example",
        b"Host: localhost\r\n X-Folded: 1",
        b"Host: localhost\x00evil.example",
        b"X: 1",
    ],
)
def test_broken_headers_are_a_bad_request_and_never_come_back(program: Server, head: bytes) -> None:
    answer = send_bytes(program, b"GET / HTTP/1.1\r\n" + head + b"\r\nConnection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 421 "))
    assert b"Set-Cookie" not in answer
    assert b"X-Evil" not in answer


@pytest.mark.parametrize("climb", ["../" * 12, "%2e%2e/" * 12, "..%2f" * 12, "%252e%252e/" * 12, "..\\" * 12, "/" * 4])
def test_no_path_leads_out_of_the_files_of_the_page(program: Server, climb: str) -> None:
    with Browser(program) as me:
        static = re.search(r"/_nicegui/[^/]+/static/", me.get("/").text)
        assert static
    version = static[0].removesuffix("static/")
    for place in ("static/", "libraries/", "components/", "resources/x/", "esm/nicegui-button/"):
        request = f"GET {version}{place}{climb}etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = send_bytes(program, request.encode())
        assert b"root:" not in answer
        assert re.match(rb"HTTP/1.1 (400|403|404) ", answer)


def test_a_body_is_refused_by_its_length_before_it_is_sent(program: Server) -> None:
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99000000000\r\nContent-Type: x/y\r\n\r\n"
    assert send_bytes(program, head).startswith(b"HTTP/1.1 413 ")


def test_open_to_the_network_it_prints_an_address_that_opens(tmp_path: Path) -> None:
    server = Server(tmp_path, "--host", "0.0.0.0")
    server.launch()
    try:
        wait_until(lambda: "/?token=" in server.output() and "ready" in server.output())
        url = re.search(r"http://127.0.0.1:\d+(/\?token=\S+)", server.output())
        assert url
        with Browser(server) as me:
            assert me.get("/").headers["location"] == "/login?next=%2F"
            with pytest.raises(InvalidStatus) as refused:
                me.socket(Page("'client_id': 'abc'"))
            assert refused.value.response.status_code == 401
            with me.socket(me.page(url[1])) as mine:
                assert mine.is_welcome
    finally:
        server.kill()


class People:
    """Alice and Bob have accounts, made while the program runs."""

    def __init__(self, server: Server) -> None:
        self.server = server
        for name in ("alice", "bob"):
            assert user(server, "add", name, password=PASSWORD).returncode == 0

    @contextmanager
    def browser(self, name: str) -> Iterator[Browser]:
        with Browser(self.server) as browser:
            browser.log_in(name, PASSWORD)
            yield browser


def test_accounts_from_the_first_user_to_the_last(tmp_path: Path) -> None:
    """One story, because each start of the program takes its time."""
    with Server(tmp_path) as server:
        with Browser(server) as early, early.socket(early.page()) as open_page:
            assert open_page.is_welcome
            people = People(server)
            wait_for_reload(open_page)  # it was opened without a login
            assert early.get("/").headers["location"] == "/login?next=%2F"
        see_that_pages_belong_to_their_session(people)
        see_that_a_logout_ends_live_pages(people)
        see_that_keys_work(people)
        with people.browser("bob") as bob, bob.socket(bob.page()) as live:
            assert user(server, "remove", "bob").returncode == 0
            wait_for_reload(live)
        assert "Traceback" not in server.output()
        assert "ERROR" not in server.output()
        assert PASSWORD not in server.output()


def see_that_pages_belong_to_their_session(people: People) -> None:
    with people.browser("alice") as alice, people.browser("bob") as bob, Browser(people.server) as nobody:
        page = alice.page()
        with bob.socket(page) as thief:
            assert not thief.is_welcome
            assert "Implicit handshake failed" in thief.welcome
        # NiceGUI lets a socket that names no page at first name one later.
        silent = bob.page()
        silent.client_id = ""
        with bob.socket(silent, implicit=False) as thief:
            assert thief.is_welcome
            assert thief.ask("handshake", page.handshake()) is False
        with pytest.raises(InvalidStatus) as refused:
            nobody.socket(page)
        assert refused.value.response.status_code == 401
        with alice.socket(page) as own:
            assert own.is_welcome
        for browser, status in ((nobody, 401), (alice, 200)):
            assert browser.post("/upload/file", content=b"Hello").status_code == status


def see_that_a_logout_ends_live_pages(people: People) -> None:
    with people.browser("alice") as here, people.browser("alice") as there:
        with here.socket(here.page()) as live, there.socket(there.page()) as other:
            here.post("/logout")
            wait_for_reload(live)
            assert there.get("/").status_code == 200
            other.emit("log", {})
            assert other.is_welcome
        assert here.get("/").status_code == 303


def see_that_keys_work(people: People) -> None:
    key = user(people.server, "key", "alice", "--label", "laptop").stdout.strip()
    with httpx.Client(base_url=people.server.url, trust_env=False) as program:
        assert program.get("/").status_code == 401
        assert program.get("/", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        [line] = user(people.server, "keys", "alice").stdout.splitlines()
        assert "laptop" in line
        assert key not in line
        assert user(people.server, "revoke", "alice", line.split()[0]).returncode == 0
        time.sleep(1.1)
        assert program.get("/", headers={"Authorization": f"Bearer {key}"}).status_code == 401


def wait_for_reload(socket: Socket) -> None:
    """The server tells the page to load again, and hangs up."""
    packets = [socket.receive()]
    while packets[-1] != "41":
        packets.append(socket.receive())
    assert "window.location.reload()" in packets[-2]


def test_commands_about_users_say_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    server = Server(tmp_path)
    assert user(server, "list").stdout == "There are no users.\n"
    see_refusal(user(server, "add", "alice", password="short"), "8 to 1,024")
    see_refusal(user(server, "remove", "alice"), "no user alice")
    added = user(server, "add", "alice", "--admin", password=PASSWORD)
    assert "alice" in added.stdout
    assert PASSWORD not in added.stdout + added.stderr
    assert user(server, "list").stdout == "alice (admin)\n"
    assert user(server, "password", "alice", password="battery staple").returncode == 0
    assert user(server, "add", "bob", password=PASSWORD).returncode == 0
    see_refusal(user(server, "admin", "alice", "--off"), "At least one administrator must remain")
    see_refusal(user(server, "admin", "carol"), "no user carol")
    assert user(server, "admin", "bob").stdout == "bob is an administrator now.\n"
    assert user(server, "list").stdout == "alice (admin)\nbob (admin)\n"
    assert user(server, "admin", "alice", "--off").stdout == "alice is a plain user now.\n"
    assert user(server, "list").stdout == "alice\nbob (admin)\n"
    see_refusal(user(server, "remove", "alice", "--give-to", "carol"), "no user carol")
    assert user(server, "remove", "alice", "--give-to", "bob").stdout == "alice is gone.\n"


def test_tls(tmp_path: Path) -> None:
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        *names,
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    server = Server(tmp_path, "--ssl-certfile", "cert.pem", "--ssl-keyfile", "key.pem", "--access-token", "a" * 20)
    server.launch()
    try:
        trust = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        wait_until(lambda: "ready" in server.output())
        with httpx.Client(
            base_url=f"https://localhost:{server.port}", verify=trust, trust_env=False, headers=PAGE
        ) as me:
            wait_until(lambda: me.get("/").status_code == 303)
            assert "Secure" in me.get(f"/?token={'a' * 20}").headers["set-cookie"]
            assert me.get("/").status_code == 200
            same = {"Origin": f"https://localhost:{server.port}"}
            assert me.post("/logout", headers=same).status_code == 303
    finally:
        server.kill()


def test_a_certificate_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "data"))
    see_refusal(run("--ssl-certfile", "cert.pem", *data, folder=tmp_path), "SSL_CERTFILE", "SSL_KEYFILE")
    both = ("--ssl-certfile", "a.pem", "--ssl-keyfile", "b.pem")
    see_refusal(run(*both, *data, folder=tmp_path), "SSL_CERTFILE", "a.pem")


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if condition():
                return
        except (httpx.TransportError, OSError):
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)
