"""Whoever is looked after goes on to be looked after, whatever goes wrong with one of them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from localchat_ui.access import AccessControl, Visitor, acting_as
from localchat_ui.access.accounts import Authenticator, page_sessions
from localchat_ui.access.tables import fingerprint
from tests.access.conftest import OpenDoor

PASSWORD = "correct horse"


@pytest.fixture
async def access(open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> AccessControl:
    monkeypatch.setattr(page_sessions, "SWEEP_SECONDS", 0.01)
    return (await open_door()).access


async def waiting(access: AccessControl, name: str) -> tuple[Visitor, asyncio.Task[None]]:
    """A session, and something that lasts as long as it does."""
    found = await access.accounts.sessions.log_in(name, PASSWORD)
    assert found
    visitor = Visitor("session", "127.0.0.1", fingerprint(found[1]), found[0])
    with acting_as(visitor):
        return visitor, asyncio.create_task(access.page_sessions.until_access_ends())


async def test_the_sweep_survives_what_nobody_expected(
    access: AccessControl, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    await access.accounts.users.add("alice", PASSWORD)
    alice, waits = await waiting(access, "alice")
    failed = asyncio.Event()
    is_valid = Authenticator.is_valid

    async def broken(self: Authenticator, visitor: Visitor) -> bool:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("dictionary changed size during iteration")
        return await is_valid(self, visitor)

    monkeypatch.setattr(Authenticator, "is_valid", broken)
    await asyncio.wait_for(failed.wait(), 5)
    await access.accounts.sessions.end(alice.session_id)
    await asyncio.wait_for(waits, 5)
    assert "dictionary changed size" in caplog.text


async def test_a_page_that_cannot_be_closed_keeps_no_other_one_open(
    access: AccessControl, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    pages: dict[str, Any] = {}
    for name in ("alice", "bob"):
        await access.accounts.users.add(name, PASSWORD)
        visitor, waits = await waiting(access, name)
        request = SimpleNamespace(scope={"state": {"visitor": visitor}})
        pages |= {f"{name} {n}": SimpleNamespace(id=f"{name} {n}", request=request, _request=request) for n in (1, 2)}
        await access.accounts.sessions.end(visitor.session_id)
        await asyncio.wait_for(waits, 5)

    async def close(page: Any) -> None:
        if page.id == "alice 1":
            raise RuntimeError("this page does not close")
        del pages[page.id]

    monkeypatch.setattr(page_sessions, "_close", close)
    monkeypatch.setattr(page_sessions.Client, "instances", pages)
    await access.page_sessions.end_expired()
    assert list(pages) == ["alice 1"]
    assert "this page does not close" in caplog.text


async def test_what_was_never_closed_does_not_keep_the_rest_open_at_the_end(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
):
    """The accounts' database is closed, though the sweep is in the middle of an error."""
    monkeypatch.setattr(page_sessions, "SWEEP_SECONDS", 0.0)
    access = (await open_door()).access
    began = asyncio.Event()

    async def broken() -> None:
        began.set()
        raise OSError("too many open files")

    monkeypatch.setattr(access.page_sessions, "end_expired", broken)
    await asyncio.wait_for(began.wait(), 5)
    await access.close()
