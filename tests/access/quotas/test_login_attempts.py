"""Wrong passwords, tokens and keys are limited, and nobody is locked out by somebody else."""

from __future__ import annotations

import asyncio

import pytest

from localchat_ui.access.quotas import login_attempts
from tests.access.conftest import Door, OpenDoor, log_in

PASSWORD = "correct horse"
ELSEWHERE = "10.0.0.9"


@pytest.fixture
async def people(door: Door) -> Door:
    await door.accounts.users.add("alice", PASSWORD)
    await door.accounts.users.add("bob", PASSWORD)
    return door


async def guess(door: Door, times: int, name: str = "alice", address: str = ELSEWHERE) -> list[int]:
    async with door.browser(address=address) as guesser:
        return [(await log_in(guesser, name, f"wrong {n}")).status_code for n in range(times)]


async def test_a_network_has_five_wrong_passwords_for_an_account_and_ten_for_all(people: Door):
    assert await guess(people, 7) == [401] * 5 + [429] * 2
    async with people.browser(address=ELSEWHERE) as me:
        blocked = await log_in(me, "alice", PASSWORD)
        assert blocked.status_code == 429
        assert int(blocked.headers["retry-after"]) > 0
        assert "Too many attempts" in blocked.text
        assert (await log_in(me, "bob", PASSWORD)).status_code == 303
    # Five were counted for alice; what was refused was not.
    assert await guess(people, 6, name="nobody") == [401] * 5 + [429]
    async with people.browser(address=ELSEWHERE) as me:
        assert (await log_in(me, "bob", PASSWORD)).status_code == 429


async def test_nobody_locks_an_account_out_by_its_name(people: Door):
    """Whoever guesses from a hundred addresses is limited at each of them; the owner comes in from another."""
    for n in range(20):
        await guess(people, 5, address=f"10.0.{n}.1")
    for address in ("127.0.0.1", "10.0.99.1"):
        async with people.browser(address=address) as owner:
            assert (await log_in(owner, "alice", PASSWORD)).status_code == 303


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_on_this_machine_who_guesses_is_slowed_and_the_owner_comes_in(
    people: Door, address: str, monkeypatch: pytest.MonkeyPatch
):
    waited: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        waited.append(seconds)
        await sleep(0)

    monkeypatch.setattr(login_attempts.asyncio, "sleep", note)
    assert await guess(people, 12, address=address) == [401] * 12
    assert len([seconds for seconds in waited if seconds >= 1]) == 7
    async with people.browser(address=address) as owner:
        assert (await log_in(owner, "alice", PASSWORD)).status_code == 303


async def test_behind_an_unlisted_proxy_loopback_is_an_address_like_any_other(open_door: OpenDoor):
    """Everybody seems to come from this machine there; with TRUSTED_PROXIES only the owner does."""
    door = await open_door(allowed_hosts="chat.example")
    await door.accounts.users.add("alice", PASSWORD)
    assert await guess(door, 6, address="127.0.0.1") == [401] * 5 + [429]


async def test_a_whole_office_logs_in_at_nine_o_clock(people: Door):
    """Only failures count: behind one address there may be many people, and one with many devices."""
    for name in ("alice", "bob") * 6:
        async with people.browser(address=ELSEWHERE) as me:
            assert (await log_in(me, name, PASSWORD)).status_code == 303


async def test_guesses_at_the_same_time_do_not_slip_through(people: Door):
    async with people.browser(address=ELSEWHERE) as me:
        answers = await asyncio.gather(*(log_in(me, "alice", f"wrong {n}") for n in range(20)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 15


async def test_a_forgotten_program_with_a_revoked_key_locks_out_no_other(people: Door):
    key = await people.accounts.api_keys.create("bob")
    async with people.browser(address=ELSEWHERE) as program:
        wrong = [await program.get("/v1/models", headers={"Authorization": f"Bearer lc-{n}"}) for n in range(12)]
        assert [answer.status_code for answer in wrong] == [401] * 10 + [429] * 2
        assert (await program.get("/v1/models", headers={"Authorization": f"Bearer {key}"})).status_code == 200
