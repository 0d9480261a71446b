"""How much one person, key or address may ask for, and how often anybody may guess."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from localchat_ui.access.audit import audit
from localchat_ui.access.forwarded import network_of, path_of
from localchat_ui.access.quotas import Claim, Quotas
from localchat_ui.access.refusal import Refusal
from localchat_ui.access.visitor import Visitor, visitor_of_scope
from localchat_ui.history.errors import HistoryError

GUESSES_PER_MINUTE = 10  # of an address; of an account half as many
UNCOUNTED = ("/_nicegui", "/favicon.ico", "/healthz")  # files and sockets of the page, and what watches the program
GENERATING = "/v1/"
CLAIM = "claim"


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


class Limits:
    """ASGI layer: 429 for too many requests a minute, and under /v1 for too many replies at a time or tokens a day.

    Replies in conversations are counted where they begin, because the page begins them without a request.
    """

    def __init__(self, app: ASGIApp, quotas: Quotas) -> None:
        self.app = app
        self.quotas = quotas
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visitor = visitor_of_scope(scope) if scope["type"] == "http" else None
        path = path_of(scope) if visitor else ""
        if visitor is None or path.startswith(UNCOUNTED):
            await self.app(scope, receive, send)
            return
        claim: Claim | None = None
        try:
            await self._count(visitor)
            if scope["method"] == "POST" and path.startswith(GENERATING):
                claim = await self.quotas.claim(visitor)
                claim.take()
        except Refusal as refusal:
            await refusal(scope, receive, send)
            return
        except HistoryError as error:
            await Refusal(503, "database_unavailable", str(error))(scope, receive, send)
            return
        scope["state"][CLAIM] = claim
        try:
            await self.app(scope, receive, send)
        finally:
            if claim is not None:
                claim.release()

    async def _count(self, visitor: Visitor) -> None:
        most = (await self.quotas.of(visitor)).requests_per_minute
        if not most:
            return
        item = RateLimitItemPerMinute(most)
        name = visitor.limited_as if visitor.way in ("session", "key") else f"address {network_of(visitor.address)}"
        if not await self._limiter.hit(item, name):
            raise await _too_many(self._limiter, item, [name], f"More than {most} requests a minute")


def claim_more(scope: Scope, number: int) -> None:
    """A request turns out to want so many replies at a time. Raises Refusal."""
    claim: Claim | None = scope.get("state", {}).get(CLAIM)
    if claim is not None:
        claim.take_at_least(number)


async def _too_many(
    limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, names: list[str], what: str
) -> Refusal:
    stats = await limiter.get_window_stats(item, *names)
    seconds = max(1, math.ceil(stats.reset_time - time.time()))
    return Refusal(429, "rate_limit_exceeded", f"{what}. Try again in {seconds} s.", {"Retry-After": str(seconds)})
