"""Beyond loopback with nothing configured: whoever has the token comes in."""

from __future__ import annotations

import hmac

import pytest

from localchat_ui.access.accounts import authentication, needs_token, safe_redirect_path
from localchat_ui.settings import Settings
from tests.access.conftest import PAGE, TOKEN, OpenDoor, csrf_of


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0"},
        {"host": "192.168.1.7"},
        {"host": "::"},
        {"allowed_hosts": "a.example"},
        {"trusted_proxies": "10.0.0.1"},
    ],
)
async def test_nobody_comes_in_from_elsewhere_without_a_token(open_door: OpenDoor, settings: dict[str, str]):
    """Also when it listens on loopback, but a proxy there lets the world in."""
    door = await open_door(**settings)
    assert len(door.access.authenticator.token) >= 32
    async with door.browser() as me:
        for path in ("/", "/secret", "/v1/models"):
            refused = await me.get(path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        assert (await me.post("/v1/chat/completions", json={})).json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_this_machine_alone_needs_none(host: str):
    assert not needs_token(Settings(_env_file=None, host=host))


async def test_every_start_has_another_token(open_door: OpenDoor):
    assert (await open_door(host="0.0.0.0")).access.authenticator.token != (
        await open_door(host="0.0.0.0")
    ).access.authenticator.token


async def test_the_address_with_the_token_becomes_a_cookie(open_door: OpenDoor):
    door = await open_door(host="0.0.0.0", access_token=TOKEN)
    async with door.browser() as me:
        answer = await me.get(f"/secret?a=1&token={TOKEN}&b=%26", headers=PAGE)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/secret?a=1&b=%26"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert TOKEN not in cookie
        assert (await me.get("/secret")).json()["way"] == "token"
        # Tabs that are logged out at once have one token for their forms.
        assert "localchat_csrf_8080" in me.cookies
    async with door.browser(base_url="https://localhost:8080") as me:
        assert "Secure" in (await me.get(f"/?token={TOKEN}", headers=PAGE)).headers["set-cookie"]


async def test_a_token_in_an_address_does_not_lead_elsewhere(open_door: OpenDoor):
    door = await open_door(access_token=TOKEN)
    async with door.browser() as me:
        answer = await me.get(f"//evil.example/?token={TOKEN}", headers=PAGE)
        assert answer.headers["location"] in ("/", "http://localhost:8080/")


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/a\r\nX: 1", "/\t/evil"]
)
def test_only_paths_of_our_own_are_gone_back_to(path: str):
    assert safe_redirect_path(path) == "/"
    assert safe_redirect_path("/c/1?a=b") == "/c/1?a=b"


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é", "\udcff"])
async def test_a_wrong_token_is_no_way_in(open_door: OpenDoor, token: str):
    door = await open_door(access_token=TOKEN)
    async with door.browser() as me:
        answer = await me.get("/", params={"token": token.encode("utf-8", "surrogatepass")}, headers=PAGE)
        assert answer.status_code in (401, 303)
        assert "set-cookie" not in answer.headers
        bearer = b"Bearer " + token.encode("utf-8", "surrogatepass")
        assert (await me.get("/", headers={"Authorization": bearer})).status_code == 401
        assert (await me.get("/", headers={"Cookie": f"localchat_8080={TOKEN}; localchat={TOKEN}"})).status_code == 401


async def test_programs_send_it_in_a_header(open_door: OpenDoor):
    door = await open_door(access_token=TOKEN)
    async with door.browser() as me:
        for kind in ("Bearer", "bearer"):
            assert (await me.get("/v1/models", headers={"Authorization": f"{kind} {TOKEN}"})).status_code == 200
        assert (await me.get("/v1/models", headers={"Authorization": f"Basic {TOKEN}"})).status_code == 401
        # In an address it would end up in logs, and any link could log somebody in behind their back.
        assert (await me.get(f"/v1/models?token={TOKEN}")).status_code == 401


async def test_tokens_are_compared_in_constant_time(open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch):
    compared: list[bytes] = []

    def spy(mine: bytes, theirs: bytes) -> bool:
        compared.append(mine)
        return hmac.compare_digest(mine, theirs)

    monkeypatch.setattr(authentication, "compare_digest", spy)
    door = await open_door(access_token=TOKEN)
    async with door.browser() as me:
        await me.get("/", headers={"Authorization": "Bearer x"})
        await me.get("/?token=y", headers=PAGE)
    assert compared == [b"x", b"y"]


async def test_a_session_of_the_token_ends(open_door: OpenDoor):
    door = await open_door(access_token=TOKEN, session_days=0.000001)
    async with door.browser() as me:
        answer = await me.get(f"/?token={TOKEN}", headers=PAGE)
        # A thief keeps the cookie, whatever its age is.
        kept = answer.headers["set-cookie"].partition(";")[0]
        assert (await me.get("/", headers={"Cookie": kept})).status_code == 401


async def test_guessing_is_slowed_but_does_not_lock_out_who_is_in(open_door: OpenDoor):
    door = await open_door(access_token=TOKEN)
    async with door.browser() as me, door.browser(address="10.0.0.9") as guesser:
        await me.get(f"/?token={TOKEN}", headers=PAGE)
        answers = [await guesser.get("/", headers={"Authorization": f"Bearer {n}"}) for n in range(11)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429]
        assert 0 < int(answers[-1].headers["retry-after"]) <= 120
        # The right one among many guesses is of no use either, in whichever way it comes.
        assert (await guesser.get("/", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 429
        assert (await guesser.get(f"/?token={TOKEN}", headers=PAGE)).status_code == 429
        assert (await me.get("/")).status_code == 200


async def test_a_person_is_sent_to_the_login_and_comes_back_to_the_page_asked_for(open_door: OpenDoor):
    door = await open_door(access_token=TOKEN)
    async with door.browser() as me:
        sent = await me.get("/secret?a=b", headers=PAGE)
        assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=%2Fsecret%3Fa%3Db")
        form = await me.get(sent.headers["location"])
        assert "Access token" in form.text
        data = {"csrf": csrf_of(form.text), "next": "/secret?a=b", "token": "wrong"}
        assert 'role="alert"' in (await me.post("/login", data=data)).text
        back = await me.post("/login", data=data | {"token": TOKEN})
        assert (back.status_code, back.headers["location"]) == (303, "/secret?a=b")
        assert (await me.get("/secret")).json()["way"] == "token"


async def test_with_accounts_the_token_is_worth_nothing(open_door: OpenDoor):
    door = await open_door(access_token=TOKEN)
    async with door.browser() as me:
        await me.get(f"/?token={TOKEN}", headers=PAGE)
        await door.accounts.users.add("alice", "correct horse")
        assert (await me.get("/")).status_code == 401
        assert (await me.get("/", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 401
