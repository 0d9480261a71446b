"""Requests a minute and replies at a time, over HTTP."""

from __future__ import annotations

import asyncio

from tests.access.conftest import TOKEN, Door, OpenDoor

BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def test_requests_a_minute_are_limited_for_each_address(open_door: OpenDoor):
    door = await open_door(access_token=TOKEN, requests_per_minute=3)
    async with door.browser() as me, door.browser(address="127.0.0.2") as other:
        answers = [await me.get("/v1/models", headers=BEARER) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        error = answers[-1].json()["error"]
        assert (error["type"], error["code"], error["param"]) == ("rate_limit_error", "rate_limit_exceeded", None)
        assert "3 requests a minute" in error["message"]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert "<h1" in (await me.get("/", headers={**BEARER, "Accept": "text/html"})).text
        # Neither the files of the page nor anybody else has to suffer for it.
        assert (await me.get("/_nicegui/x.js", headers=BEARER)).status_code == 404
        assert (await other.get("/v1/models", headers=BEARER)).status_code == 200


async def test_each_person_and_each_key_counts_for_itself(open_door: OpenDoor):
    door = await open_door(requests_per_minute=1)
    await door.accounts.users.add("alice", "correct horse")
    keys = [await door.accounts.api_keys.create("alice") for _ in range(2)]
    async with door.browser() as me:
        for key in keys:
            headers = {"Authorization": f"Bearer {key}"}
            assert [(await me.get("/", headers=headers)).status_code for _ in range(2)] == [200, 429]


async def test_a_person_alone_on_this_machine_is_not_limited(door: Door):
    async with door.browser() as me:
        assert {(await me.get("/")).status_code for _ in range(350)} == {200}


async def test_replies_at_a_time_are_limited_over_the_api(open_door: OpenDoor):
    door = await open_door(access_token=TOKEN, generations_per_user=1)
    async with door.browser() as me, door.browser(address="127.0.0.2") as other:
        post = {"url": "/v1/chat/completions", "json": {}, "headers": BEARER}
        first = asyncio.create_task(me.post(**post))
        await asyncio.wait_for(door.writing.wait(), 5)
        second = await asyncio.wait_for(me.post(**post), 5)
        assert second.status_code == 429
        assert second.json()["error"]["code"] == "too_many_generations"
        assert second.headers["retry-after"]
        door.may_finish.set()
        assert (await first).text == "Once upon a time"
        assert (await me.post(**post)).status_code == 200
        assert (await other.post(**post)).status_code == 200
