"""How much one person, key or address may ask for, and how often anybody may guess."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from localchat_ui.access.audit import audit
from localchat_ui.access.forwarded import path_of
from localchat_ui.access.refusal import Refusal
from localchat_ui.access.visitor import Visitor, visitor_of_scope
from localchat_ui.settings import Settings

REQUESTS_PER_MINUTE = 300
GENERATIONS_PER_USER = 2
GUESSES_PER_MINUTE = 10  # of an address; of an account half as many
UNCOUNTED = ("/_nicegui", "/favicon.ico", "/healthz")  # files and sockets of the page, and what watches the program
GENERATING = ("/v1/", "/chat/")


class Guesses:
    """Wrong passwords, tokens and keys. Whoever guesses waits; whoever is logged in already is not bothered."""

    def __init__(self, storage: Storage | None = None, per_minute: int = GUESSES_PER_MINUTE) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(storage or MemoryStorage())
        self._of_address = RateLimitItemPerMinute(per_minute)
        self._of_account = RateLimitItemPerMinute(max(1, per_minute // 2))

    async def check(self, address: str, account: str = "") -> None:
        """Raises Refusal when there were too many; ask before a secret is looked at."""
        for item, *names in self._counters(address, account):
            if not await self._limiter.test(item, *names):
                audit("too many guesses", address=address, account=account)
                raise await _too_many(self._limiter, item, names, "Too many attempts")

    async def failed(self, address: str, account: str = "") -> None:
        for item, *names in self._counters(address, account):
            await self._limiter.hit(item, *names)

    def _counters(self, address: str, account: str) -> Iterator[tuple[RateLimitItem, str, str]]:
        yield self._of_address, "guesses from", network_of(address)
        if account:
            yield self._of_account, "guesses of", account


class Generations:
    """Replies that are being written for each visitor."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._running: Counter[str] = Counter()

    @contextmanager
    def slot(self, visitor: Visitor) -> Iterator[None]:
        """Hold it while a reply is written; raises Refusal when this visitor has as many as allowed."""
        most = _limit(self._most, GENERATIONS_PER_USER, visitor)
        name = visitor.limited_as
        if most and self._running[name] >= most:
            raise Refusal(
                429,
                "too_many_generations",
                f"Only {most} replies at a time (GENERATIONS_PER_USER). Wait until one is finished.",
                {"Retry-After": "5"},
            )
        self._running[name] += 1
        try:
            yield
        finally:
            self._running[name] -= 1
            if not self._running[name]:
                del self._running[name]


class Limits:
    """ASGI layer: 429 for too many requests a minute, and for too many replies at a time over the API.

    Nobody is limited while everything is open on this machine: there is one person, and that one owns the machine.
    """

    def __init__(self, app: ASGIApp, settings: Settings, generations: Generations) -> None:
        self.app = app
        self.generations = generations
        self._per_minute = settings.requests_per_minute
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visitor = visitor_of_scope(scope) if scope["type"] == "http" else None
        path = path_of(scope) if visitor else ""
        if visitor is None or path.startswith(UNCOUNTED):
            await self.app(scope, receive, send)
            return
        try:
            await self._count(visitor)
            if scope["method"] == "POST" and path.startswith(GENERATING):
                with self.generations.slot(visitor):
                    await self.app(scope, receive, send)
                return
        except Refusal as refusal:
            await refusal(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _count(self, visitor: Visitor) -> None:
        most = _limit(self._per_minute, REQUESTS_PER_MINUTE, visitor)
        if not most:
            return
        item = RateLimitItemPerMinute(most)
        name = visitor.limited_as if visitor.way in ("session", "key") else f"address {network_of(visitor.address)}"
        if not await self._limiter.hit(item, name):
            raise await _too_many(self._limiter, item, [name], f"More than {most} requests a minute")


def network_of(address: str) -> str:
    """Whoever has one IPv6 address has all of its /64."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{ip}/64", strict=False)) if ip.version == 6 else str(ip)


def _limit(setting: int | None, default: int, visitor: Visitor) -> int:
    if setting is not None:
        return setting
    return 0 if visitor.way == "open" else default


async def _too_many(
    limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, names: list[str], what: str
) -> Refusal:
    stats = await limiter.get_window_stats(item, *names)
    seconds = max(1, math.ceil(stats.reset_time - time.time()))
    return Refusal(429, "rate_limit_exceeded", f"{what}. Try again in {seconds} s.", {"Retry-After": str(seconds)})
