"""Whoever presses a button is asked who they are, however the page got there."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import pytest

from localchat_ui.access import AccessControl, User, Visitor, acting_as
from localchat_ui.access.accounts import (
    MAX_KEYS_PER_USER,
    AccountError,
    Accounts,
    Administration,
    LoggedOutError,
    NotAdminError,
    OwnAccount,
)
from localchat_ui.access.quotas import Quota
from localchat_ui.access.tables import fingerprint
from tests.access.conftest import OpenDoor

PASSWORD = "correct horse"
OTHER = "battery staple"

Act = Callable[[Administration], Awaitable[object]]
ACTS: list[Act] = [
    lambda office: office.require_admin(),
    lambda office: office.users(),
    lambda office: office.quotas(),
    lambda office: office.add_user("eve", PASSWORD, is_admin=True),
    lambda office: office.set_admin("bob", True),
    lambda office: office.set_password("alice", OTHER),
    lambda office: office.user_data("alice"),
    lambda office: office.remove_user("alice", erase=True),
    lambda office: office.set_quota(Quota(0, 0, 0)),
    lambda office: office.audited("model chosen").__aenter__(),
]
OwnAct = Callable[[OwnAccount], Awaitable[object]]
OWN_ACTS: list[OwnAct] = [
    lambda own: own.session(),
    lambda own: own.change_password(PASSWORD, OTHER),
    lambda own: own.log_out_elsewhere(),
    lambda own: own.keys(),
    lambda own: own.create_key("stolen"),
    lambda own: own.revoke_key("any"),
]


@pytest.fixture
async def access(open_door: OpenDoor) -> AccessControl:
    """Alice administrates, Bob does not."""
    access = (await open_door()).access
    await access.accounts.users.add("alice", PASSWORD, is_admin=True)
    await access.accounts.users.add("bob", PASSWORD)
    return access


async def session(accounts: Accounts, name: str) -> Visitor:
    """Of a page that somebody has just opened."""
    found = await accounts.sessions.log_in(name, PASSWORD)
    assert found
    return Visitor("session", "127.0.0.1", fingerprint(found[1]), found[0])


@pytest.mark.parametrize("act", ACTS)
async def test_only_an_administrator_administrates(access: AccessControl, act: Act, caplog: pytest.LogCaptureFixture):
    bob = await session(access.accounts, "bob")
    before = await access.accounts.users.all()
    with acting_as(bob), pytest.raises(NotAdminError):
        await act(access.administration)
    assert "administration refused" in caplog.text
    # A page that says so itself is not believed.
    with (
        acting_as(Visitor("session", "", bob.session_id, User("x", "bob", is_admin=True))),
        pytest.raises(NotAdminError),
    ):
        await act(access.administration)
    assert (await access.accounts.users.all(), await access.quotas.stored()) == (before, {})
    assert await access.accounts.sessions.log_in("alice", PASSWORD)


@pytest.mark.parametrize("act", ACTS)
async def test_a_page_of_who_is_no_administrator_any_more_does_nothing(access: AccessControl, act: Act):
    alice = await session(access.accounts, "alice")
    await access.accounts.users.set_admin("bob", True)
    await access.accounts.users.set_admin("alice", False)
    with acting_as(alice), pytest.raises(NotAdminError):
        await act(access.administration)


@pytest.mark.parametrize("act", ACTS)
async def test_neither_a_key_nor_an_ended_session_nor_nobody_administrates(access: AccessControl, act: Act):
    alice = await session(access.accounts, "alice")
    assert alice.user
    key = await access.accounts.api_keys.authenticate(await access.accounts.api_keys.create("alice"))
    assert key
    await access.accounts.sessions.end(alice.session_id)
    for visitor in (alice, Visitor("key", "", *key), Visitor("open"), Visitor("token", "", alice.session_id), None):
        with acting_as(visitor), pytest.raises(LoggedOutError):
            await act(access.administration)


@pytest.mark.parametrize("act", OWN_ACTS)
async def test_a_page_of_an_ended_session_does_nothing_to_the_account(access: AccessControl, act: OwnAct):
    alice = await session(access.accounts, "alice")
    await access.accounts.sessions.end(alice.session_id)
    with acting_as(alice), pytest.raises(LoggedOutError):
        await act(access.own_account)
    assert await access.accounts.api_keys.of("alice") == []


async def test_the_key_of_somebody_else_cannot_be_revoked(access: AccessControl):
    await access.accounts.api_keys.create("alice")
    [key] = await access.accounts.api_keys.of("alice")
    with acting_as(await session(access.accounts, "bob")), pytest.raises(AccountError, match="no key"):
        await access.own_account.revoke_key(key.id)
    assert await access.accounts.api_keys.exists(key.id)


async def test_keys_are_not_made_without_end(access: AccessControl):
    with acting_as(await session(access.accounts, "bob")):
        for _ in range(MAX_KEYS_PER_USER):
            await access.own_account.create_key("x" * 500)
        with pytest.raises(AccountError, match="20 keys are the most"):
            await access.own_account.create_key("one more")
        keys = await access.own_account.keys()
    assert (len(keys), {len(key.label) for key in keys}) == (MAX_KEYS_PER_USER, {80})


async def test_two_administrators_can_leave_but_the_last_one_cannot(access: AccessControl):
    alice = await session(access.accounts, "alice")
    with acting_as(alice):
        for refused in (access.administration.set_admin("alice", False), access.administration.remove_user("alice")):
            with pytest.raises(AccountError, match="At least one administrator"):
                await refused
        await access.administration.set_admin("bob", True)
        await access.administration.set_admin("alice", False)
        assert [user.is_admin for user in await access.accounts.users.all()] == [False, True]
    with acting_as(await session(access.accounts, "bob")):
        with pytest.raises(AccountError, match="no user nobody"):
            await access.administration.remove_user("nobody")
        await access.administration.remove_user("alice")
    # At the terminal, whoever owns the machine may do as they like.
    await access.accounts.users.remove("bob")


async def test_limits_go_with_the_person(access: AccessControl):
    with acting_as(await session(access.accounts, "alice")):
        bob = next(user for user in await access.administration.users() if user.name == "bob")
        await access.administration.set_quota(Quota(tokens_per_day=5), bob)
        await access.administration.set_quota(Quota(1, 1, 1))
        await access.administration.remove_user("bob")
        assert list(await access.administration.quotas()) == [""]


async def test_what_was_done_is_written_down_and_what_failed_is_not(
    access: AccessControl, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    with acting_as(await session(access.accounts, "alice")):
        with pytest.raises(AccountError):
            await access.administration.add_user("bob", PASSWORD)
        await access.administration.add_user("eve", "a password\nby=eve")
        await access.administration.set_quota(Quota(1, None, 0))
    said = [record.getMessage() for record in caplog.records if record.name == "localchat_ui.audit"]
    assert said == [
        'user added by="alice" user="eve" admin="False"',
        'limits set by="alice" user="everybody" requests_per_minute="1" generations_per_user="None" tokens_per_day="0"',
    ]
