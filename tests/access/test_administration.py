"""Whoever presses a button is asked who they are, however the page got there."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import pytest

from localchat_ui.access import User, Visitor, acting_as
from localchat_ui.access.accounts import MOST_KEYS, AccountError, Accounts, fingerprint
from localchat_ui.access.administration import Administration, NotAdminError
from localchat_ui.access.guard import Guard
from localchat_ui.access.own_account import LoggedOutError, OwnAccount
from localchat_ui.access.quotas import Quota

from .conftest import OpenDoor

PASSWORD = "correct horse"
OTHER = "battery staple"

Act = Callable[[Administration], Awaitable[object]]
ACTS: list[Act] = [
    lambda office: office.require(),
    lambda office: office.users(),
    lambda office: office.quotas(),
    lambda office: office.add_user("eve", PASSWORD, is_admin=True),
    lambda office: office.set_admin("bob", True),
    lambda office: office.set_password("alice", OTHER),
    lambda office: office.belongings("alice"),
    lambda office: office.remove_user("alice", erase=True),
    lambda office: office.set_quota(Quota(0, 0, 0)),
    lambda office: office.acting("model chosen").__aenter__(),
]
OwnAct = Callable[[OwnAccount], Awaitable[object]]
OWN_ACTS: list[OwnAct] = [
    lambda own: own.session(),
    lambda own: own.change_password(PASSWORD, OTHER),
    lambda own: own.log_out_elsewhere(),
    lambda own: own.keys(),
    lambda own: own.make_key("stolen"),
    lambda own: own.revoke_key("any"),
]


@pytest.fixture
async def guard(open_door: OpenDoor) -> Guard:
    """Alice administrates, Bob does not."""
    guard = (await open_door()).guard
    await guard.accounts.add("alice", PASSWORD, is_admin=True)
    await guard.accounts.add("bob", PASSWORD)
    return guard


async def session(accounts: Accounts, name: str) -> Visitor:
    """Of a page that somebody has just opened."""
    found = await accounts.log_in(name, PASSWORD)
    assert found
    return Visitor("session", "127.0.0.1", fingerprint(found[1]), found[0])


@pytest.mark.parametrize("act", ACTS)
async def test_only_an_administrator_administrates(guard: Guard, act: Act, caplog: pytest.LogCaptureFixture):
    bob = await session(guard.accounts, "bob")
    before = await guard.accounts.users()
    with acting_as(bob), pytest.raises(NotAdminError):
        await act(guard.administration)
    assert "administration refused" in caplog.text
    # A page that says so itself is not believed.
    with (
        acting_as(Visitor("session", "", bob.session_id, User("x", "bob", is_admin=True))),
        pytest.raises(NotAdminError),
    ):
        await act(guard.administration)
    assert (await guard.accounts.users(), await guard.quotas.stored()) == (before, {})
    assert await guard.accounts.log_in("alice", PASSWORD)


@pytest.mark.parametrize("act", ACTS)
async def test_a_page_of_who_is_no_administrator_any_more_does_nothing(guard: Guard, act: Act):
    alice = await session(guard.accounts, "alice")
    await guard.accounts.set_admin("bob", True)
    await guard.accounts.set_admin("alice", False)
    with acting_as(alice), pytest.raises(NotAdminError):
        await act(guard.administration)


@pytest.mark.parametrize("act", ACTS)
async def test_neither_a_key_nor_an_ended_session_nor_nobody_administrates(guard: Guard, act: Act):
    alice = await session(guard.accounts, "alice")
    assert alice.user
    key = await guard.accounts.user_of_key(await guard.accounts.make_key("alice"))
    assert key
    await guard.accounts.log_out(alice.session_id)
    for visitor in (alice, Visitor("key", "", *key), Visitor("open"), Visitor("token", "", alice.session_id), None):
        with acting_as(visitor), pytest.raises(LoggedOutError):
            await act(guard.administration)


@pytest.mark.parametrize("act", OWN_ACTS)
async def test_a_page_of_an_ended_session_does_nothing_to_the_account(guard: Guard, act: OwnAct):
    alice = await session(guard.accounts, "alice")
    await guard.accounts.log_out(alice.session_id)
    with acting_as(alice), pytest.raises(LoggedOutError):
        await act(guard.own_account)
    assert await guard.accounts.keys("alice") == []


async def test_the_key_of_somebody_else_cannot_be_revoked(guard: Guard):
    await guard.accounts.make_key("alice")
    [key] = await guard.accounts.keys("alice")
    with acting_as(await session(guard.accounts, "bob")), pytest.raises(AccountError, match="no key"):
        await guard.own_account.revoke_key(key.id)
    assert await guard.accounts.has_key(key.id)


async def test_keys_are_not_made_without_end(guard: Guard):
    with acting_as(await session(guard.accounts, "bob")):
        for _ in range(MOST_KEYS):
            await guard.own_account.make_key("x" * 500)
        with pytest.raises(AccountError, match="20 keys are the most"):
            await guard.own_account.make_key("one more")
        keys = await guard.own_account.keys()
    assert (len(keys), {len(key.label) for key in keys}) == (MOST_KEYS, {80})


async def test_two_administrators_can_leave_but_the_last_one_cannot(guard: Guard):
    alice = await session(guard.accounts, "alice")
    with acting_as(alice):
        for refused in (guard.administration.set_admin("alice", False), guard.administration.remove_user("alice")):
            with pytest.raises(AccountError, match="last administrator"):
                await refused
        await guard.administration.set_admin("bob", True)
        await guard.administration.set_admin("alice", False)
        assert [user.is_admin for user in await guard.accounts.users()] == [False, True]
    with acting_as(await session(guard.accounts, "bob")):
        with pytest.raises(AccountError, match="no user nobody"):
            await guard.administration.remove_user("nobody")
        await guard.administration.remove_user("alice")
    # At the terminal, whoever owns the machine may do as they like.
    await guard.accounts.remove("bob")


async def test_limits_go_with_the_person(guard: Guard):
    with acting_as(await session(guard.accounts, "alice")):
        bob = next(user for user in await guard.administration.users() if user.name == "bob")
        await guard.administration.set_quota(Quota(tokens_per_day=5), bob)
        await guard.administration.set_quota(Quota(1, 1, 1))
        await guard.administration.remove_user("bob")
        assert list(await guard.administration.quotas()) == [""]


async def test_what_was_done_is_written_down_and_what_failed_is_not(guard: Guard, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    with acting_as(await session(guard.accounts, "alice")):
        with pytest.raises(AccountError):
            await guard.administration.add_user("bob", PASSWORD)
        await guard.administration.add_user("eve", "a password\nby=eve")
        await guard.administration.set_quota(Quota(1, None, 0))
    said = [record.getMessage() for record in caplog.records if record.name == "localchat_ui.audit"]
    assert said == [
        'user added by="alice" user="eve" admin="False"',
        'limits set by="alice" user="everybody" requests_per_minute="1" generations_per_user="None" tokens_per_day="0"',
    ]
