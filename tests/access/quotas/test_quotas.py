"""Who may have how much, and who says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from localchat_ui.access import AccessError
from localchat_ui.access.accounts import Accounts
from localchat_ui.access.quotas import Quota, Quotas, usage
from localchat_ui.access.tables import UsageRow
from localchat_ui.access.visitor import User, Visitor
from localchat_ui.conversation import utc_now
from localchat_ui.settings import Settings

ALICE = Visitor("session", "10.0.0.1", "one", User("1", "alice"))
HER_KEY = Visitor("key", "10.0.0.2", "two", User("1", "alice"))
BOB = Visitor("session", "10.0.0.1", "three", User("2", "bob"))
ME = Visitor("open", "127.0.0.1")


class Office:
    """Makes quotas from settings, on one database."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.opened: list[Quotas] = []

    def quotas(self, **settings: int) -> Quotas:
        quotas = Quotas(Settings(_env_file=None, **settings), self._accounts.database)
        quotas.open()
        self.opened.append(quotas)
        return quotas


@pytest.fixture
async def office(accounts: Accounts) -> AsyncIterator[Office]:
    office = Office(accounts)
    yield office
    for quotas in office.opened:
        await quotas.close()


async def test_what_an_administrator_says_outranks_the_settings_and_those_the_defaults(office: Office):
    quotas = office.quotas(requests_per_minute=10)
    assert await quotas.of(ALICE) == Quota(10, 2, 0)
    await quotas.store(Quota(requests_per_minute=20, tokens_per_day=500))
    assert await quotas.of(ALICE) == await quotas.of(HER_KEY) == Quota(20, 2, 500)
    await quotas.store(Quota(tokens_per_day=0, generations_per_user=7), "1")
    assert await quotas.of(ALICE) == Quota(20, 7, 0)
    assert await quotas.of(BOB) == Quota(20, 2, 500)
    # It is kept, and taking it back leaves what held before.
    assert await office.quotas().of(BOB) == Quota(20, 2, 500)
    await quotas.store(Quota())
    assert await quotas.of(BOB) == Quota(10, 2, 0)


async def test_nobody_is_limited_while_all_is_open_unless_the_settings_say_so(office: Office):
    quotas = office.quotas()
    await quotas.store(Quota(1, 1, 1))
    assert await quotas.of(ME) == Quota(0, 0, 0)
    assert await office.quotas(tokens_per_day=9, generations_per_user=3).of(ME) == Quota(0, 3, 9)
    claim = await quotas.claim(ME)
    claim.take(1000)


@pytest.mark.parametrize(("parallel", "most"), [(1, 1), (2, 1), (3, 2), (4, 2), (16, 2)])
async def test_one_person_does_not_take_all_of_parallel(office: Office, parallel: int, most: int):
    assert (await office.quotas(parallel=parallel).of(ALICE)).generations_per_user == most


async def test_replies_at_a_time_are_those_of_a_person_with_all_tabs_and_keys(office: Office):
    quotas = office.quotas()
    first, second, others = [await quotas.claim(each) for each in (ALICE, HER_KEY, BOB)]
    first.take()
    second.take()
    others.take(2)
    with pytest.raises(AccessError, match="2 replies written at a time") as refused:
        first.take()
    assert (refused.value.status, refused.value.code) == (429, "too_many_generations")
    second.release()
    second.release()
    first.take()
    with pytest.raises(AccessError):
        second.take()


async def test_a_request_that_wants_several_replies_counts_for_several(office: Office):
    claim = await office.quotas().claim(ALICE)
    claim.take()
    claim.take_at_least(1)
    claim.take_at_least(2)
    with pytest.raises(AccessError):
        claim.take_at_least(3)


async def test_tokens_of_a_day_are_those_of_a_person_and_a_reply_that_crosses_the_limit_is_the_last(office: Office):
    quotas = office.quotas(tokens_per_day=1000)
    await quotas.claim(ALICE)
    # From the engine's thread, as it happens.
    await asyncio.to_thread(quotas.record_usage, ALICE, 900)
    await asyncio.to_thread(quotas.record_usage, HER_KEY, 900)
    await asyncio.to_thread(quotas.record_usage, None, 900)
    await until_used(quotas, 1800)
    for visitor in (ALICE, HER_KEY):
        with pytest.raises(
            AccessError, match=r"The 1,000 tokens of a day are used up. Try again in 2\d h\."
        ) as refused:
            await quotas.claim(visitor)
        assert (refused.value.status, refused.value.code) == (429, "tokens_used_up")
        assert 86000 < int(refused.value.headers["Retry-After"]) <= 86400
    await quotas.claim(BOB)
    # What was used still counts when the limit is another one.
    await quotas.store(Quota(tokens_per_day=2000))
    await quotas.claim(ALICE)
    await quotas.store(Quota(tokens_per_day=1800))
    with pytest.raises(AccessError):
        await quotas.claim(ALICE)


async def test_a_restart_forgets_no_tokens_and_a_day_ends_where_it_would_have(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    before = office.quotas(tokens_per_day=1000)
    for _ in range(30):
        await asyncio.to_thread(before.record_usage, ALICE, 50)
    # What is under way at the end is written.
    await before.close()
    after = office.quotas(tokens_per_day=1000)
    used, seconds = await after.used_today(ALICE)
    assert (used, 86000 < seconds <= 86400) == (1500, True)
    assert (await after.used_today(BOB))[0] == 0
    with pytest.raises(AccessError, match="tokens of a day are used up"):
        await after.claim(HER_KEY)
    a_day_later = utc_now() + timedelta(days=1)
    monkeypatch.setattr(usage, "utc_now", lambda: a_day_later)
    await after.claim(ALICE)
    after.record_usage(ALICE, 7)
    await until_used(after, 7)
    await after.close()
    assert (await office.quotas().used_today(ALICE))[0] == 7


async def test_nothing_is_written_where_nobody_can_be_limited(office: Office, accounts: Accounts):
    quotas = office.quotas()
    quotas.record_usage(ME, 50)
    quotas.record_usage(ALICE, 50)
    await until_used(quotas, 50)
    await quotas.close()
    async with accounts.database.begin() as session:
        assert [(row.person, row.tokens) for row in await session.scalars(select(UsageRow))] == [("user 1", 50)]


async def test_what_somebody_has_used_goes_with_the_account(office: Office, accounts: Accounts):
    carol = await accounts.users.add("carol", "correct horse")
    quotas = office.quotas()
    quotas.record_usage(Visitor("session", "", "four", carol), 50)
    await quotas.close()
    await accounts.users.remove("carol")
    async with accounts.database.begin() as session:
        assert list(await session.scalars(select(UsageRow))) == []


async def until_used(quotas: Quotas, n_tokens: int) -> None:
    """What is spent on another thread is counted on the loop's next rounds."""
    for _ in range(1000):
        if (await quotas.used_today(ALICE))[0] == n_tokens:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(await quotas.used_today(ALICE))


async def test_more_replies_than_are_ever_allowed_are_not_to_be_tried_again(office: Office):
    claim = await office.quotas().claim(ALICE)
    claim.take()
    with pytest.raises(AccessError, match="at most 2 replies, and this one asks for 3") as refused:
        claim.take_at_least(3)
    assert (refused.value.status, refused.value.code) == (400, "too_many_choices")
    assert "Retry-After" not in refused.value.headers
    claim.take_at_least(2)


async def test_an_error_nobody_expected_loses_no_tokens_and_does_not_hold_up_the_end(
    office: Office, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    quotas = office.quotas(tokens_per_day=1000)

    async def broken(*_: object) -> None:
        raise RuntimeError("the event loop is confused")

    with monkeypatch.context() as patched:
        patched.setattr(usage.UsageCounter, "_store", broken)
        quotas.record_usage(ALICE, 40)
        await quotas.close()
    assert "the event loop is confused" in caplog.text
    quotas.open()
    quotas.record_usage(ALICE, 2)
    await quotas.close()
    async with accounts.database.begin() as session:
        assert [row.tokens for row in await session.scalars(select(UsageRow))] == [42]
