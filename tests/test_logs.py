"""What the log says, and what it never says."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from localchat_ui.access.audit import audit
from localchat_ui.logs import Json, Text
from tests.access.live import Browser, user
from tests.api.conftest import wait_until_ready
from tests.api.events import events_in
from tests.browser.server import Server
from tests.browser.visitor import Visitor, open_browser

PROMPT = "Write a poem about the purple walrus of Zanzibar."
PASSWORD = "correct horse battery"
SECRETS = "purple walrus", "walrus", PASSWORD, "a wrong password", "lc-wrong-key", "attached-to-an-address"


def record(message: str, **more: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "x", "levelname": "INFO", "msg": message, "created": 0.25, **more})


@pytest.mark.parametrize("form", [Text(), Json()])
def test_a_record_is_a_line_that_nobody_can_break(form: logging.Formatter):
    line = form.format(record('a\n2026 INFO localchat_ui.audit: login user="admin"\r\x1b[2K\x85b'))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "1970-01-01T00:00:00.250Z" in line


def test_what_belongs_to_a_record_is_indented():
    try:
        raise ValueError("bad\nINFO localchat_ui.audit: login")
    except ValueError:
        text = Text().format(record("failed", exc_info=sys.exc_info()))
        said = json.loads(Json().format(record("failed", exc_info=sys.exc_info())))
    first, *more = text.splitlines()
    assert first.endswith("x: failed")
    assert more
    assert all(line.startswith("  ") for line in more)
    assert "ValueError: bad" in said["trace"]


def test_an_audit_record_has_members(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="localchat_ui.audit")
    audit("login", user='ali"ce', address="::1")
    said = json.loads(Json().format(caplog.records[0]))
    assert {name: said[name] for name in ("level", "logger", "event", "user", "address")} == {
        "level": "info",
        "logger": "localchat_ui.audit",
        "event": "login",
        "user": 'ali"ce',
        "address": "::1",
    }
    assert Text().format(caplog.records[0]).endswith(r'INFO localchat_ui.audit: login user="ali\"ce" address="::1"')


def test_a_token_in_an_address_is_left_out():
    assert Text().format(record("http://a/?b=1&token=secret-secret&c=2 not found")).endswith("token=***&c=2 not found")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_day_at_debug_leaves_no_prompt_reply_or_secret_in_the_log(tmp_path: Path, form: str):
    with Server(tmp_path, "--log-level", "debug", "--log-format", form, "--max-tokens", "60") as server:
        wait_until_ready(server)
        with open_browser() as browser:
            anna = Visitor(browser.new_page(), server).open().ask(PROMPT)
            replies = [anna.reply()]
        added = user(server, "add", "alice", password=PASSWORD)
        key = user(server, "key", "alice").stdout.strip()
        bearer = {"Authorization": f"Bearer {key}"}
        body = {"user_input": PROMPT, "system_prompt": "Speak of the walrus."}
        answer = httpx.post(f"{server.url}/chat/stream", json=body, headers=bearer, timeout=60)
        replies.append("".join(event.data.get("text", "") for event in events_in(answer.text.split("\n"))))
        chat = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 20}
        answer = httpx.post(f"{server.url}/v1/chat/completions", json=chat, headers=bearer, timeout=60)
        replies.append(answer.json()["choices"][0]["message"]["content"])
        httpx.post(f"{server.url}/v1/chat/completions", json={"messages": PROMPT}, headers=bearer)
        httpx.get(f"{server.url}/nowhere?token=attached-to-an-address", headers=bearer)
        httpx.get(f"{server.url}/v1/models", headers={"Authorization": "Bearer lc-wrong-key"})
        with Browser(server) as me:
            form_page = me.get("/login").text
            wrong = {"csrf": form_page.partition('name="csrf" value="')[2].partition('"')[0], "name": "alice"}
            me.post("/login", data=wrong | {"password": "a wrong password"}, headers={"Origin": server.url})
            me.log_in("alice", PASSWORD)
            me.page()
            cookies = [str(cookie.value) for cookie in me.cookies.jar]
        # Something of each size, from what a person sees and from what a program gets.
        pieces = [reply[start : start + 24].strip() for reply in replies for start in (0, 40)]
        log = server.output() + added.stderr
    assert "login failed" in log
    assert "nowhere" in log
    assert "Traceback" not in log
    assert len(cookies) == 2
    for secret in (*SECRETS, key, *cookies, *(piece for piece in pieces if len(piece) > 10)):
        assert secret not in log
    lines = log[log.index("localchat_ui") :].splitlines()[1:]
    if form == "json":
        assert all(json.loads(line)["level"] for line in lines if line.startswith("{"))
        assert sum(line.startswith("{") for line in lines) > len(lines) / 2


def test_only_a_token_that_the_program_made_itself_is_printed(tmp_path: Path):
    own = Server(tmp_path, "--access-token", "a-token-from-the-settings")
    own.launch()
    try:
        while "ready" not in own.output():
            assert own.process is not None
            with pytest.raises(subprocess.TimeoutExpired):
                own.process.wait(0.05)
        assert "a-token-from-the-settings" not in own.output()
        assert "ACCESS_TOKEN" in own.output()
    finally:
        own.kill()
