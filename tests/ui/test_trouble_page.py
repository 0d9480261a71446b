"""A database that is damaged while the program runs: each page says so, and what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from nicegui import core

from localchat_ui.chat import ChatService
from localchat_ui.history.errors import DAMAGED, HistoryError
from tests.ui.conftest import Program


@pytest.mark.parametrize("path", ["/", "/c/some"])
async def test_a_page_that_cannot_be_read_says_what_to_do(
    running: Program, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async def refuse(*_: object) -> None:
        raise HistoryError(f"The conversation history in <here> cannot be used: {DAMAGED}.")

    monkeypatch.setattr(ChatService, "conversations", refuse)
    response = await running.visitor().user.http_client.get(path)

    assert response.status_code == 503
    assert "This page cannot be shown" in response.text
    assert "python -m localchat_ui database recover" in response.text
    assert "Try again" in response.text
    assert "<here>" not in response.text  # told as text


async def test_a_conversation_whose_messages_are_damaged_says_so_too(program: Program) -> None:
    async with program.running():
        me = program.visitor()
        await me.open()
        me.say("Hi there")
        await me.sees_reply("Hi there")
        with closing(sqlite3.connect(program.database_url.partition("///")[2])) as connection:
            [name] = connection.execute("SELECT id FROM conversations").fetchone()
            connection.execute("ALTER TABLE messages RENAME TO lost")
            connection.commit()
        response = await me.user.http_client.get(f"/c/{name}")
    assert response.status_code == 503
    assert "cannot be used" in response.text


async def test_the_page_is_back_with_the_database(running: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise HistoryError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(ChatService, "conversations", refuse)
        assert (await running.visitor().user.http_client.get("/")).status_code == 503
    assert (await running.visitor().user.http_client.get("/")).status_code == 200
    assert HistoryError in core.app.exception_handlers
