"""Enforces quotas on HTTP: requests a minute everywhere, replies at a time and tokens a day under /v1."""

from __future__ import annotations

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from localchat_ui.access.errors import AccessError
from localchat_ui.access.hardening import path_of
from localchat_ui.access.quotas.login_attempts import too_many
from localchat_ui.access.quotas.quotas import Claim, Quotas
from localchat_ui.access.visitor import Visitor, visitor_of_scope
from localchat_ui.history.errors import HistoryError
from localchat_ui.text import Text

UNCOUNTED_PATHS = ("/_nicegui", "/favicon.ico", "/healthz")  # files and sockets of pages, and health checks
GENERATING_PATH = "/v1/"
COUNTING_PATH = "/v1/messages/count_tokens"  # writes nothing
CLAIM = "claim"


class RateLimitMiddleware:
    """ASGI middleware: 429 when a quota is used up.

    Replies in conversations are counted where they begin, because a page begins them without a request.
    """

    def __init__(self, app: ASGIApp, quotas: Quotas) -> None:
        self.app = app
        self.quotas = quotas
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visitor = visitor_of_scope(scope) if scope["type"] == "http" else None
        path = path_of(scope) if visitor else ""
        if visitor is None or path.startswith(UNCOUNTED_PATHS):
            await self.app(scope, receive, send)
            return
        claim: Claim | None = None
        try:
            await self._count(visitor)
            if scope["method"] == "POST" and path.startswith(GENERATING_PATH) and path != COUNTING_PATH:
                claim = await self.quotas.claim(visitor)
                claim.take()
        except AccessError as error:
            await error(scope, receive, send)
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
        limit = (await self.quotas.of(visitor)).requests_per_minute
        if not limit:
            return
        item = RateLimitItemPerMinute(limit)
        if not await self._limiter.hit(item, visitor.rate_limit_key):
            raise await too_many(
                self._limiter, item, visitor.rate_limit_key, Text("More than {n} requests a minute", n=limit)
            )


def claim_more(scope: Scope, number: int) -> None:
    """Raise the claim of a request to so many replies at a time. Raises AccessError (400, 429)."""
    claim: Claim | None = scope.get("state", {}).get(CLAIM)
    if claim is not None:
        claim.take_at_least(number)
