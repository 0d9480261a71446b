"""What a proxy says about the browser behind it is believed from listed proxies alone."""

from __future__ import annotations

from localchat_ui.access.hardening import network_of
from tests.access.conftest import Door, OpenDoor


async def test_what_somebody_calls_itself_is_not_believed(door: Door):
    """Anybody can write these headers; NiceGUI would put the prefix into the page."""
    forged = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
    async with door.browser() as me:
        assert (await me.get("/", headers=forged)).json()["address"] == "127.0.0.1"
        seen = (
            await me.get("/headers", headers={**forged, "X-Forwarded-Prefix": "/evil", "Forwarded": "for=9"})
        ).json()
        assert not [name for name in seen if "forwarded" in name]
        assert (
            await me.post("/echo", json={}, headers={**forged, "Origin": "https://evil.example"})
        ).status_code == 403


async def test_a_listed_proxy_is_believed(open_door: OpenDoor):
    door = await open_door(trusted_proxies="10.0.0.0/8", allowed_hosts="chat.example", access_token="0123456789abcdef")
    told = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example"}
    told |= {"Authorization": "Bearer 0123456789abcdef", "Origin": "https://chat.example"}
    async with door.browser(address="10.1.2.3") as proxied, door.browser(address="11.1.2.3") as liar:
        assert (await proxied.get("/", headers=told)).json()["address"] == "9.9.9.9"
        assert (await proxied.post("/echo", json={}, headers=told)).status_code == 200
        assert (await liar.post("/echo", json={}, headers=told)).status_code == 403


def test_a_whole_ipv6_network_is_one_address():
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("10.0.0.1") != network_of("10.0.0.2")
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("unix") == "unix"


def test_ipv4_addresses_on_a_socket_of_ipv6_are_no_network():
    """They are all in one /64, and yet everybody's."""
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") != network_of("::ffff:10.0.0.2")
