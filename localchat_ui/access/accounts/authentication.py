"""Who is this? Finds the visitor of each request and socket, and lets in nobody else."""

from __future__ import annotations

import re
import secrets
import time
from collections import OrderedDict
from hmac import compare_digest
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from localchat_ui.access.accounts.accounts import Accounts, fingerprint
from localchat_ui.access.accounts.cookies import SESSION, cookie_of, set_cookie
from localchat_ui.access.audit import audit
from localchat_ui.access.errors import AccessError
from localchat_ui.access.hardening.proxies import address_of, path_of
from localchat_ui.access.quotas import LoginAttempts
from localchat_ui.access.visitor import VISITOR, User, Visitor
from localchat_ui.history.errors import HistoryError
from localchat_ui.settings import Settings

PUBLIC = frozenset({"/login", "/healthz", "/favicon.ico"})
TOKEN_SESSIONS = 1000
OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)


class Authenticator:
    """Knows the three ways in.

    1. As soon as there is an account, everybody logs in or brings an API key, on this machine too.
    2. Otherwise, when others can reach the program or ACCESS_TOKEN is set, the access token is needed.
    3. Otherwise everything is open to whoever sits at this machine.
    """

    def __init__(self, settings: Settings, accounts: Accounts) -> None:
        self.accounts = accounts
        self.attempts = LoginAttempts()
        self.token = settings.access_token or (secrets.token_urlsafe(32) if needs_token(settings) else "")
        self.session_seconds = int(settings.session_days * 86400)
        # Of the access token; they end with the program.
        self._token_sessions: OrderedDict[str, float] = OrderedDict()

    async def visitor(self, scope: Scope) -> Visitor:
        """Who sent this; raises AccessError (401, 429) when it is nobody who may come in."""
        if not await self.accounts.has_users():
            if not self.token:
                return Visitor("open", address_of(scope))
            return await self._visitor_with_token(scope)
        address, cookie = address_of(scope), cookie_of(scope, SESSION)
        if cookie:
            session_id = fingerprint(cookie)
            if user := await self.accounts.user_of_session(session_id):
                return Visitor("session", address, session_id, user)
        if key := _bearer(scope):
            await self.attempts.check(address)
            if found := await self.accounts.user_of_key(key):
                return Visitor("key", address, *found)
            await self._wrong(address, "key refused", "This API key is wrong or was revoked.")
        raise unauthorized("Log in, or send an API key: Authorization: Bearer <key>.")

    async def is_still_in(self, visitor: Visitor) -> bool:
        """Whether what let this visitor in would do so again, with the same rights."""
        exist = await self.accounts.has_users()
        if visitor.auth_method == "session":
            return await self.accounts.user_of_session(visitor.session_id) == visitor.user
        if visitor.auth_method == "token":
            is_token = bool(self.token) and visitor.session_id == fingerprint(self.token)
            return not exist and (is_token or self._is_token_session(visitor.session_id))
        if visitor.auth_method == "key":
            return await self.accounts.has_key(visitor.session_id)
        return visitor.auth_method == "open" and not exist and not self.token

    async def redeem(self, token: str, address: str) -> str | None:
        """The cookie of a new session for the access token; None when it is wrong. Raises AccessError (429)."""
        await self.attempts.check(address)
        if not self._is_token(token):
            await self.attempts.failed(address)
            audit("token refused", address=address)
            return None
        cookie = secrets.token_urlsafe(32)
        self._token_sessions[fingerprint(cookie)] = time.monotonic() + self.session_seconds
        while len(self._token_sessions) > TOKEN_SESSIONS:
            self._token_sessions.popitem(last=False)
        audit("token accepted", address=address)
        return cookie

    async def log_in(self, name: str, password: str, scope: Scope) -> tuple[User, str] | None:
        """The user, and the cookie of a new session; None when name or password is wrong. Raises AccessError (429)."""
        address, account = address_of(scope), name.strip().lower()[:64]
        await self.attempts.check(address, account)
        # Counted before the slow part, so that guesses at the same time do not slip through.
        await self.attempts.failed(address, account)
        found = await self.accounts.log_in(name, password, cookie_of(scope, SESSION))
        audit("login" if found else "login failed", user=account, address=address)
        return found

    async def log_out(self, visitor: Visitor) -> None:
        audit("logout", user=visitor.user.name if visitor.user else "", address=visitor.address)
        self._token_sessions.pop(visitor.session_id, None)
        if visitor.auth_method == "session":
            await self.accounts.log_out(visitor.session_id)

    async def _visitor_with_token(self, scope: Scope) -> Visitor:
        address = address_of(scope)
        session_id = fingerprint(cookie_of(scope, SESSION))
        if self._is_token_session(session_id):
            return Visitor("token", address, session_id)
        if token := _bearer(scope):
            await self.attempts.check(address)
            if self._is_token(token):
                return Visitor("token", address, fingerprint(token))
            await self._wrong(address, "token refused", "The access token is wrong.")
        raise unauthorized(
            "The access token is needed: Authorization: Bearer <token>, or the URL printed at the start."
        )

    async def _wrong(self, address: str, event: str, message: str) -> None:
        await self.attempts.failed(address)
        audit(event, address=address)
        raise unauthorized(message)

    def _is_token(self, token: str) -> bool:
        return bool(self.token) and compare_digest(token.encode("utf-8", "surrogatepass"), self.token.encode())

    def _is_token_session(self, session_id: str) -> bool:
        return time.monotonic() < self._token_sessions.get(session_id, 0.0)


class AuthenticationMiddleware:
    """ASGI layer: puts the visitor into the scope's state and the context, or turns the request away."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self.app = app
        self.authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            visitor = await self._let_in(scope)
        except _Redirect as redirect:
            await redirect.response(scope, receive, send)
            return
        except AccessError as refusal:
            await refusal(scope, receive, send)
            return
        except HistoryError as error:
            await AccessError(503, "database_unavailable", str(error))(scope, receive, send)
            return
        scope.setdefault("state", {})["visitor"] = visitor
        reset = VISITOR.set(visitor)
        try:
            await self.app(scope, receive, send)
        finally:
            VISITOR.reset(reset)

    async def _let_in(self, scope: Scope) -> Visitor:
        if token := await self._token_in_url(scope):
            await self._redeem(scope, token)
        try:
            return await self.authenticator.visitor(scope)
        except AccessError as refusal:
            path = path_of(scope)
            if path in PUBLIC and scope["type"] == "http":
                return Visitor("anonymous", address_of(scope))
            if refusal.status == 401 and _is_navigation(scope):
                query = scope.get("query_string", b"").decode("latin-1")
                there = quote(path, safe="/") + (f"?{query}" if query else "")
                raise _Redirect(f"{scope.get('root_path', '')}/login?{urlencode({'next': there})}") from None
            raise

    async def _token_in_url(self, scope: Scope) -> str:
        if b"token=" not in scope.get("query_string", b"") or not _is_navigation(scope):
            return ""
        if not self.authenticator.token or await self.authenticator.accounts.has_users():
            return ""
        query: str = scope["query_string"].decode("latin-1")
        return dict(parse_qsl(query)).get("token", "")

    async def _redeem(self, scope: Scope, token: str) -> None:
        """The token goes out of the address bar, and out of the history of the browser."""
        cookie = await self.authenticator.redeem(token, address_of(scope))
        if cookie is None:
            raise unauthorized(
                "The access token in this address is wrong. It is printed where the program was started."
            )
        rest = [(k, v) for k, v in parse_qsl(scope["query_string"].decode("latin-1")) if k != "token"]
        there = scope.get("root_path", "") + quote(path_of(scope), safe="/") + (f"?{urlencode(rest)}" if rest else "")
        redirect = _Redirect(safe_path(there))
        set_cookie(redirect.response, scope, SESSION, cookie, self.authenticator.session_seconds)
        raise redirect


class _Redirect(Exception):  # noqa: N818 - no error
    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.response = RedirectResponse(location, 303, {"Cache-Control": "no-store"})


def needs_token(settings: Settings) -> bool:
    """Whether somebody else than the person at this machine may reach the program."""
    return not settings.listens_on_loopback or bool(settings.allowed_hosts or settings.trusted_proxies)


def safe_path(path: str) -> str:
    """The path when it leads to this program, else the start page."""
    return path if OWN_PATH.fullmatch(path) else "/"


def unauthorized(message: str) -> AccessError:
    return AccessError(401, "invalid_api_key", message, {"WWW-Authenticate": "Bearer"})


def _bearer(scope: Scope) -> str:
    kind, _, secret = Headers(scope=scope).get("authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else ""


def _is_navigation(scope: Scope) -> bool:
    """A person opens a page, as opposed to a program that asks for data."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return False
    return "text/html" in Headers(scope=scope).get("accept", "")
