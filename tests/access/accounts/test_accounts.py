"""Names, passwords, sessions and keys."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path

import httpx
import pytest

from localchat_ui.access.accounts import AccountError, Accounts
from localchat_ui.access.tables import fingerprint
from tests.access.conftest import PAGE, Door, OpenDoor, csrf_of, log_in, logged_in

PASSWORD = "correct horse"


async def test_with_one_account_everybody_must_log_in(door: Door):
    async with door.browser() as me:
        assert (await me.get("/")).status_code == 200
        await door.accounts.users.add("Alice", PASSWORD)
        assert (await me.get("/")).status_code == 401
        assert (await me.get("/", headers=PAGE)).headers["location"].startswith("/login")
        assert (await log_in(me, " ALICE ", PASSWORD)).status_code == 303
        answer = (await me.get("/")).json()
        assert (answer["way"], answer["user"]) == ("session", "alice")
        assert answer["owner"] == (await door.accounts.users.all())[0].id


async def test_wrong_passwords_and_names_are_told_alike(door: Door):
    await door.accounts.users.add("alice", PASSWORD)
    async with door.browser() as me:
        wrong = [await log_in(me, name, "wrong horse") for name in ("alice", "bob")]
        assert [answer.status_code for answer in wrong] == [401, 401]
        assert wrong[0].text.replace("alice", "bob") == wrong[1].text
        assert 'role="alert"' in wrong[0].text
        assert (await me.get("/")).status_code == 401


async def test_a_wrong_name_costs_as_many_hashes_as_a_wrong_password(accounts: Accounts):
    """Counted instead of timed: all of the time that differs is that of the hash."""
    await accounts.users.add("alice", PASSWORD)
    await accounts.sessions.log_in("alice", "the first one also makes the hash of nobody")
    counted: list[str] = []
    verify = accounts.passwords._verify
    accounts.passwords._verify = lambda hashed, password: bool(counted.append(hashed)) or verify(hashed, password)  # type: ignore[method-assign]
    await accounts.sessions.log_in("alice", "wrong horse")
    await accounts.sessions.log_in("nobody", "wrong horse")
    assert len(counted) == 2
    # With the same cost each, too.
    assert {hashed.split("$")[3] for hashed in counted} == {counted[0].split("$")[3]}


async def test_a_login_makes_a_new_session_and_ends_the_old_one(door: Door):
    """Session fixation: a cookie put there by somebody else never becomes a session."""
    await door.accounts.users.add("alice", PASSWORD)
    async with door.browser() as me:
        me.cookies.set("localchat_8080", "planted", domain="localhost.local", path="/")
        await log_in(me, "alice", PASSWORD)
        first = me.cookies["localchat_8080"]
        await log_in_again(me)
        second = me.cookies["localchat_8080"]
    assert len({"planted", first, second}) == 3
    assert await door.accounts.sessions.user(fingerprint("planted")) is None
    assert await door.accounts.sessions.user(fingerprint(first)) is None
    assert await door.accounts.sessions.user(fingerprint(second))


async def log_in_again(browser: httpx.AsyncClient) -> None:
    """Past the page that sends those who are in to the start."""
    csrf = browser.cookies["localchat_csrf_8080"]
    answer = await browser.post("/login", data={"csrf": csrf, "name": "alice", "password": PASSWORD})
    assert answer.status_code == 303


async def test_no_secret_is_in_the_database(door: Door, tmp_path: Path):
    await door.accounts.users.add("alice", PASSWORD)
    key = await door.accounts.api_keys.create("alice")
    async with logged_in(door) as me:
        secrets = [PASSWORD, key, me.cookies["localchat_8080"]]
    with sqlite3.connect(tmp_path / "localchat.sqlite3") as database:
        tables = ("users", "sessions", "api_keys")
        text = str([database.execute(f"SELECT * FROM {table}").fetchall() for table in tables])
    database.close()
    assert "alice" in text
    assert "$argon2id$" in text
    assert not [secret for secret in secrets if secret in text]


async def test_a_session_ends_by_time_logout_new_password_and_removal(open_door: OpenDoor):
    door, short = await open_door(), await open_door(session_days=0.000001)
    await door.accounts.users.add("alice", PASSWORD)
    async with logged_in(door) as out, logged_in(door) as other, logged_in(short) as late:
        assert (await out.post("/logout")).headers["location"] == "/login"
        assert (await out.get("/")).status_code == 401
        assert (await late.get("/")).status_code == 401
        assert (await other.get("/")).status_code == 200
        await door.accounts.users.set_password("alice", "battery staple")
        assert (await other.get("/")).status_code == 401
    async with logged_in(door, password="battery staple") as me:
        await door.accounts.users.add("bob", PASSWORD)
        await door.accounts.users.remove("alice")
        assert (await me.get("/")).status_code == 401


async def test_a_cookie_kept_from_before_a_logout_is_worth_nothing(door: Door):
    await door.accounts.users.add("alice", PASSWORD)
    async with logged_in(door) as me:
        kept = me.cookies["localchat_8080"]
        assert await status(door, kept) == 200
        await me.post("/logout")
    assert await status(door, kept) == 401


async def test_a_cookie_kept_beyond_its_time_is_worth_nothing(open_door: OpenDoor):
    """A browser would forget it by itself; a thief does not."""
    door = await open_door(session_days=1e-9)
    await door.accounts.users.add("alice", PASSWORD)
    async with door.browser() as me:
        answer = await log_in(me, "alice", PASSWORD)
    kept = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
    assert len(kept) > 30
    assert await status(door, kept) == 401


async def status(door: Door, cookie: str) -> int:
    async with door.browser() as thief:
        return (await thief.get("/", headers={"Cookie": f"localchat_8080={cookie}"})).status_code


async def test_what_another_process_takes_away_is_gone_in_a_second(open_door: OpenDoor):
    door, elsewhere = await open_door(), await open_door()
    await door.accounts.users.add("alice", PASSWORD)
    await door.accounts.users.add("bob", PASSWORD)
    async with logged_in(door) as me:
        assert (await me.get("/")).status_code == 200
        await elsewhere.accounts.users.remove("alice")
        await asyncio.sleep(1.05)
        assert (await me.get("/")).status_code == 401


async def test_the_login_form_cannot_be_sent_for_somebody_else(door: Door):
    """Login CSRF: to be logged in as the attacker, and write one's secrets into his account."""
    await door.accounts.users.add("alice", PASSWORD)
    credentials = {"name": "alice", "password": PASSWORD}
    async with door.browser() as me:
        csrf = csrf_of((await me.get("/login")).text)
        assert (await me.post("/login", data=credentials)).status_code == 403
        assert (await me.post("/login", data=credentials | {"csrf": "x" * 22})).status_code == 403
        assert (await me.post("/login", data=credentials | {"csrf": "é"})).status_code == 403
        async with door.browser() as without_cookie:
            assert (await without_cookie.post("/login", data=credentials | {"csrf": csrf})).status_code == 403
            assert (await without_cookie.post("/login", data=credentials | {"csrf": ""})).status_code == 403
        foreign = {"Origin": "https://evil.example"}
        assert (await me.post("/login", data=credentials | {"csrf": csrf}, headers=foreign)).status_code == 403
        assert (await me.post("/login", data=credentials | {"csrf": csrf})).status_code == 303


async def test_the_login_page_says_things_to_everybody_and_runs_nothing(door: Door):
    await door.accounts.users.add("alice", PASSWORD)
    async with door.browser() as me:
        page = await me.get("/login", params={"next": '"><script>alert(1)</script>'})
        assert "<script" not in page.text
        assert "script-src" not in page.headers["content-security-policy"]
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        for needed in (
            'lang="en"',
            "<label>Name",
            "<label>Password",
            "prefers-color-scheme: dark",
            "width=device-width",
        ):
            assert needed in page.text
        wrong = await log_in(me, '"><img src=x>', "wrong horse")
        assert "<img" not in wrong.text


async def test_keys_are_for_programs(door: Door):
    await door.accounts.users.add("alice", PASSWORD)
    key = await door.accounts.api_keys.create("alice", "laptop")
    [before] = await door.accounts.api_keys.of("alice")
    async with door.browser() as me:
        me.headers["Authorization"] = f"Bearer {key}"
        answer = (await me.get("/v1/models")).json()
        assert (answer["way"], answer["user"]) == ("key", "alice")
        [after] = await door.accounts.api_keys.of("alice")
        assert (before.last_used_at, after.label) == (None, "laptop")
        assert after.last_used_at
        await door.accounts.api_keys.revoke("alice", after.id)
        assert (await me.get("/v1/models")).status_code == 401
        for wrong in ("", "lc-", key[:-1], key + "x", f"{key} {key}", after.id, fingerprint(key)):
            assert (await me.get("/v1/models", headers={"Authorization": f"Bearer {wrong}"})).status_code in (401, 429)


async def test_a_key_of_one_is_not_revoked_by_another(accounts: Accounts):
    for name in ("alice", "bob"):
        await accounts.users.add(name, PASSWORD)
    await accounts.api_keys.create("alice")
    [key] = await accounts.api_keys.of("alice")
    with pytest.raises(AccountError):
        await accounts.api_keys.revoke("bob", key.id)
    assert await accounts.api_keys.of("bob") == []


@pytest.mark.parametrize("name", ["", " ", "-alice", "a b", "alice\n", "é", "x" * 65, "a'--", "<b>"])
async def test_names_that_would_make_trouble_are_refused(accounts: Accounts, name: str):
    if name.strip() == "alice":
        assert (await accounts.users.add(name, PASSWORD)).name == "alice"
        return
    with pytest.raises(AccountError):
        await accounts.users.add(name, PASSWORD)


async def test_a_name_is_taken_once(accounts: Accounts):
    await accounts.users.add("alice", PASSWORD)
    with pytest.raises(AccountError, match="There is already a user alice"):
        await accounts.users.add("ALICE", PASSWORD)
    for password in ("short", "x" * 1025):
        with pytest.raises(AccountError, match="8 to 1,024"):
            await accounts.users.add("bob", password)
    for doing in (
        accounts.users.remove("bob"),
        accounts.users.set_password("bob", PASSWORD),
        accounts.api_keys.create("bob"),
    ):
        with pytest.raises(AccountError, match="There is no user bob"):
            await doing


async def test_what_happened_is_logged_and_no_secret_is(door: Door, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="localchat_ui.audit")
    await door.accounts.users.add("alice", PASSWORD)
    key = await door.accounts.api_keys.create("alice")
    async with logged_in(door) as me:
        cookie = me.cookies["localchat_8080"]
        await me.post("/logout")
        await log_in(me, "mallory\nlogin user=alice", "wrong horse")
        await me.get("/", headers={"Authorization": "Bearer guess-guess-guess"})
    lines = [record.getMessage() for record in caplog.records if record.name == "localchat_ui.audit"]
    assert lines[0] == 'login user="alice" address="127.0.0.1"'
    assert [line.split(" ")[0] for line in lines] == ["login", "logout", "login", "key"]
    assert lines[2].startswith('login failed user="mallory\\nlogin user=alice"')
    for secret in (PASSWORD, key, cookie, "wrong horse", "guess-guess-guess"):
        assert secret not in caplog.text
