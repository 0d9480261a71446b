"""The program behind a proxy, set up as docs/deployment.md says: page, socket, events, and who is believed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
from playwright.sync_api import WebSocket, expect

from tests.api.events import events_in
from tests.browser.server import Server
from tests.browser.visitor import LONG, SHORT, Visitor, open_browser
from tests.deployment.proxies import Proxy

TOKEN = "the-token-of-the-deployment"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Site:
    """What the world sees: `url` is where the page is."""

    url: str
    proxy: Proxy
    server: Server

    @property
    def path(self) -> str:
        return self.url.removeprefix(self.proxy.origin)


@pytest.fixture(scope="module", params=["nginx.conf", "nginx-subpath.conf", "Caddyfile"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    server = Server(folder, "--temperature", "0", "--n-threads", "1", "--access-token", TOKEN)
    start: Callable[..., Proxy] = Proxy.caddy
    if request.param != "Caddyfile":
        start = partial(Proxy.nginx, request.param)
    with ExitStack() as stack:
        stack.callback(server.kill)
        proxy = stack.enter_context(start(folder / "proxy", upstream=server.port))
        path = "/chat" if "subpath" in request.param else ""
        server.flags += ("--trusted-proxies", "127.0.0.1", "--allowed-hosts", proxy.name)
        server.flags += ("--root-path", path) if path else ()
        server.launch()
        wait_until(lambda: '"ready":true' in server.get("/healthz"))
        yield Site(proxy.origin + path, proxy, server)
        print(server.output(), proxy.log())  # noqa: T201 - shown by pytest when a test fails


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if condition():
                return
        except (httpx.TransportError, OSError, ValueError):
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def visitor(site: Site) -> Iterator[tuple[Visitor, list[str]]]:
    """Somebody in front of a real browser, and what there was to complain of."""
    complaints: list[str] = []

    def look_at(address: str) -> None:
        if not re.match(f"(https|wss)://{re.escape(site.url.removeprefix('https://'))}/|data:|blob:", address):
            complaints.append(f"request to another place: {address}")

    resolve = f"--host-resolver-rules=MAP {site.proxy.name}:443 127.0.0.1:{site.proxy.port}"
    with open_browser(resolve) as browser:
        # Chromium fetches a service worker from trusted certificates alone, whatever it is told to ignore.
        page = browser.new_context(ignore_https_errors=True, service_workers="block").new_page()
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: look_at(request.url))
        page.on("websocket", lambda socket: look_at(socket.url))
        at_site: Any = site
        yield Visitor(page, at_site), complaints


def test_a_person_talks_through_the_proxy(site: Site) -> None:
    frames: list[str | bytes] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: frames.append(frame))  # noqa: PLW0108 - a method cannot be marked

    with visitor(site) as (anna, complaints):
        anna.page.on("websocket", listen)
        anna.open(f"/?token={TOKEN}")
        assert anna.page.url == f"{site.url}/"
        anna.watch_growth()
        anna.ask(SHORT)
        said = anna.reply()
        assert len(anna.growth()) > 1, "it came in pieces"
        assert sum("words" in str(frame) for frame in frames) > 1, "over the socket"
        anna.page.wait_for_url(f"{site.url}/c/*")

        anna.page.reload()
        expect(anna.replies.locator(".words")).to_have_text([said], use_inner_text=True)
        anna.new_chat.click()
        anna.page.wait_for_url(f"{site.url}/")
        expect(anna.questions).to_have_count(0)
        [link] = anna.listed().all()
        assert (link.get_attribute("href") or "").startswith(f"{site.path}/c/")
        link.click()
        expect(anna.questions).to_have_count(1)
        anna.page.go_back()
        expect(anna.questions).to_have_count(0)
        anna.page.go_forward()
        expect(anna.questions).to_have_count(1)
    assert not complaints


def test_events_come_as_they_are_written(site: Site) -> None:
    with site.proxy.client(headers=BEARER) as program:
        body = {"user_input": LONG, "max_tokens": 300}
        with program.stream("POST", f"{site.path}/chat/stream", json=body) as response:
            events = events_in(response.iter_lines())
            conversation_id, token = next(events).data["conversation_id"], next(events)
            # The first word is here while the last one is not written yet.
            path = f"{site.path}/conversations/{conversation_id}"
            assert program.get(path).json()["messages"][-1]["state"] == "writing"
            *_, done = events
        assert (token.name, done.name) == ("token", "done")
        assert done.data["usage"]["completion_tokens"] == 300


def test_the_browser_is_believed_to_be_where_the_proxy_says(site: Site) -> None:
    """And nobody else: not a visitor who writes the headers, nor one who goes past the proxy."""
    forged = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
    forged |= {"X-Forwarded-Prefix": "/evil", "Authorization": "Bearer a-guess"}
    with site.proxy.client() as through, past(site, "127.0.0.2") as liar:
        assert through.get(f"{site.path}/v1/models", headers=forged).status_code == 401
        wait_until(lambda: 'token refused address="127.0.0.1"' in site.server.output())
        assert liar.get("/v1/models", headers=forged).status_code == 401
        wait_until(lambda: 'token refused address="127.0.0.2"' in site.server.output())
        assert "9.9.9.9" not in site.server.output()

        # Over TLS as far as the browser is concerned: the cookie is never sent in the clear, and the page may post.
        html = {"Accept": "text/html"}
        cookie = through.get(f"{site.path}/?token={TOKEN}", headers=html).headers["set-cookie"]
        assert "Secure" in cookie
        assert f"Path={site.path or '/'};" in cookie
        page = {**BEARER, "Origin": site.proxy.origin}
        assert through.post(f"{site.path}/reset", headers=page).status_code == 200
        assert liar.post("/reset", headers={**page, "X-Forwarded-Proto": "https"}).status_code == 403
        assert "Secure" not in liar.get(f"/?token={TOKEN}", headers=html | forged).headers.get("set-cookie", "")
        assert "evil" not in through.get(f"{site.path}/", headers=forged | html | BEARER).text


@contextmanager
def past(site: Site, address: str) -> Iterator[httpx.Client]:
    """Another machine, as far as loopback has any, that talks to the program without the proxy."""
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(transport=transport, base_url=site.server.url) as client:
        yield client


def test_a_foreign_name_and_a_foreign_page_get_nowhere(site: Site) -> None:
    with site.proxy.client(headers=BEARER) as program:
        models = f"{site.path}/v1/models"
        assert program.get(models).status_code == 200
        # Caddy answers for names that it does not know by itself, with an empty page.
        rebound = program.get(models, headers={"Host": "evil.example"})
        assert rebound.status_code == 421 or not rebound.content
        foreign = {"Origin": "https://evil.example"}
        assert program.post(f"{site.path}/reset", headers=foreign).status_code == 403


def test_what_the_proxy_adds_and_what_it_does_not_write_down(site: Site) -> None:
    with site.proxy.client() as visitor, httpx.Client() as in_the_clear:
        answer = visitor.get(f"{site.path}/?token={TOKEN}", headers={"Accept": "text/html"})
        assert answer.status_code == 303
        assert answer.headers["location"] == f"{site.path}/"
        assert "max-age=" in answer.headers["strict-transport-security"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        large = visitor.post(f"{site.path}/reset", json=" " * 70_000_000, headers=BEARER)
        # Caddy may be cut off while it passes the body on, and then makes it a 502.
        assert large.status_code in (413, 502)
        away = in_the_clear.get(
            f"http://127.0.0.1:{site.proxy.http_port}{site.path}/?token={TOKEN}", headers={"Host": site.proxy.name}
        )
        assert away.status_code in (301, 308)
        assert away.headers["location"].startswith(site.url)
    assert f"{site.path}/" in site.proxy.log() or "Caddyfile" in site.proxy.log(), "there is a log"
    assert TOKEN not in site.proxy.log()
