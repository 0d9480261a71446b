"""Requests a minute, and under /v1 replies at a time and tokens a day."""

from __future__ import annotations

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from localchat_ui.access.errors import AccessError
from localchat_ui.access.hardening.proxies import network_of, path_of
from localchat_ui.access.quotas.login_attempts import too_many
from localchat_ui.access.quotas.quotas import Claim, Quotas
from localchat_ui.access.visitor import Visitor, visitor_of_scope
from localchat_ui.history.errors import HistoryError

UNCOUNTED = ("/_nicegui", "/favicon.ico", "/healthz")  # files and sockets of the page, and what watches the program
GENERATING = "/v1/"
CLAIM = "claim"


class RateLimitMiddleware:
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
        except AccessError as refusal:
            await refusal(scope, receive, send)
            return
        except HistoryError as error:
            await AccessError(503, "database_unavailable", str(error))(scope, receive, send)
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
        name = (
            visitor.rate_limit_key
            if visitor.auth_method in ("session", "key")
            else f"address {network_of(visitor.address)}"
        )
        if not await self._limiter.hit(item, name):
            raise await too_many(self._limiter, item, [name], f"More than {most} requests a minute")


def claim_more(scope: Scope, number: int) -> None:
    """A request turns out to want so many replies at a time. Raises AccessError."""
    claim: Claim | None = scope.get("state", {}).get(CLAIM)
    if claim is not None:
        claim.take_at_least(number)
