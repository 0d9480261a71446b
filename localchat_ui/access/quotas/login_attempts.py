"""How often anybody may try a password, token or key."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from localchat_ui.access.audit import audit
from localchat_ui.access.errors import AccessError
from localchat_ui.access.hardening.proxies import network_of

GUESSES_PER_MINUTE = 10  # of an address; of an account half as many


class LoginAttempts:
    """Wrong passwords, tokens and keys. Whoever guesses waits; whoever is logged in already is not bothered."""

    def __init__(self, storage: Storage | None = None, per_minute: int = GUESSES_PER_MINUTE) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(storage or MemoryStorage())
        self._of_address = RateLimitItemPerMinute(per_minute)
        self._of_account = RateLimitItemPerMinute(max(1, per_minute // 2))

    async def check(self, address: str, account: str = "") -> None:
        """Raises AccessError when there were too many; ask before a secret is looked at."""
        for item, *names in self._counters(address, account):
            if not await self._limiter.test(item, *names):
                audit("too many guesses", address=address, account=account)
                raise await too_many(self._limiter, item, names, "Too many attempts")

    async def failed(self, address: str, account: str = "") -> None:
        for item, *names in self._counters(address, account):
            await self._limiter.hit(item, *names)

    def _counters(self, address: str, account: str) -> Iterator[tuple[RateLimitItem, str, str]]:
        yield self._of_address, "guesses from", network_of(address)
        if account:
            yield self._of_account, "guesses of", account


async def too_many(
    limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, names: list[str], what: str
) -> AccessError:
    stats = await limiter.get_window_stats(item, *names)
    seconds = max(1, math.ceil(stats.reset_time - time.time()))
    return AccessError(429, "rate_limit_exceeded", f"{what}. Try again in {seconds} s.", {"Retry-After": str(seconds)})
