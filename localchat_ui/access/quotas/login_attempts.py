"""How often wrong passwords, access tokens and API keys may be tried."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from localchat_ui.access.audit import audit
from localchat_ui.access.errors import AccessError
from localchat_ui.access.hardening import is_loopback, network_of
from localchat_ui.text import Text

T = TypeVar("T")

FAILURES_PER_NETWORK = RateLimitItemPerMinute(10)
FAILURES_PER_ACCOUNT = RateLimitItemPerMinute(5)  # from one network
LOOPBACK_DELAY = 1.0  # seconds


class LoginAttempts:
    """Counts failures for each network, and for each account from that network, for a minute.

    Never for an account from everywhere: whoever knows its name could lock its owner out. And on this machine whoever
    has failed too often is delayed instead of refused, unless `trusts_loopback` is False.
    """

    def __init__(self, *, trusts_loopback: bool) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._trusts_loopback = trusts_loopback
        self._running: Counter[tuple[RateLimitItem, str]] = Counter()

    async def limit(self, verify: Callable[[], Awaitable[T]], address: str, account: str = "") -> T:
        """What `verify` returns; a falsy result is a failure. Raises AccessError (429) when there were too many."""
        counters = _counters(address, account)
        await self._check(counters, address, account)
        # Attempts count while they run, so that no more than allowed run at the same time.
        self._running.update(counters)
        try:
            result = await verify()
            if not result:
                await self._count(counters)
        finally:
            self._running.subtract(counters)
            self._running += Counter()  # drops what is zero
        return result

    async def fail(self, address: str) -> None:
        """Count a failure. Raises AccessError (429) when there were too many before."""
        counters = _counters(address)
        await self._check(counters, address)
        await self._count(counters)

    async def _check(self, counters: list[tuple[RateLimitItem, str]], address: str, account: str = "") -> None:
        for item, name in counters:
            if (await self._limiter.get_window_stats(item, name)).remaining > self._running[item, name]:
                continue
            audit("too many attempts", address=address, account=account)
            if self._trusts_loopback and is_loopback(address):
                await asyncio.sleep(LOOPBACK_DELAY)
                return
            raise await too_many(self._limiter, item, name, Text("Too many attempts"))

    async def _count(self, counters: list[tuple[RateLimitItem, str]]) -> None:
        for item, name in counters:
            await self._limiter.hit(item, name)


async def too_many(limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, name: str, what: str) -> AccessError:
    """429, with the time after which there is room again."""
    stats = await limiter.get_window_stats(item, name)
    seconds = max(1, math.ceil(stats.reset_time - time.time()))
    return AccessError(
        429,
        "rate_limit_exceeded",
        Text("{what}. Try again in {seconds} s.", what=what, seconds=seconds),
        {"Retry-After": str(seconds)},
    )


def _counters(address: str, account: str = "") -> list[tuple[RateLimitItem, str]]:
    network = network_of(address)
    counters: list[tuple[RateLimitItem, str]] = [(FAILURES_PER_NETWORK, f"failures from {network}")]
    if account:
        counters.append((FAILURES_PER_ACCOUNT, f"failures from {network} for {account}"))
    return counters
