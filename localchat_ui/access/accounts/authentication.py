"""Authenticates every request and socket: by session cookie, API key or access token."""

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

from localchat_ui.access.accounts.accounts import Accounts
from localchat_ui.access.accounts.cookies import CSRF, CSRF_SECONDS, SESSION, cookie_of, csrf_of, set_cookie
from localchat_ui.access.audit import audit
from localchat_ui.access.errors import AccessError
from localchat_ui.access.hardening import address_of, path_of
from localchat_ui.access.quotas import LoginAttempts
from localchat_ui.access.tables import fingerprint
from localchat_ui.access.visitor import VISITOR, User, Visitor
from localchat_ui.history.errors import HistoryError
from localchat_ui.settings import Settings

PUBLIC_PATHS = frozenset(
    {"/login", "/healthz", "/favicon.ico"}
    # What a browser asks for to install the page, and shows when the program does not run.
    | {"/manifest.webmanifest", "/service-worker.js", "/offline", "/icon.svg", "/icon-192.png", "/icon-512.png"}
)
MAX_TOKEN_SESSIONS = 1000
LOCAL_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)


class Authenticator:
    """Decides what a request needs.

    1. As soon as there is an account, everybody logs in or sends an API key, on this machine too.
    2. Otherwise, when other machines can reach the program or ACCESS_TOKEN is set, the access token is needed.
    3. Otherwise nothing is needed.
    """

    def __init__(self, settings: Settings, accounts: Accounts) -> None:
        self.accounts = accounts
        # Behind a proxy that is not listed in TRUSTED_PROXIES everybody seems to be on this machine.
        self.attempts = LoginAttempts(trusts_loopback=not settings.allowed_hosts or bool(settings.trusted_proxies))
        self.token = settings.access_token or (secrets.token_urlsafe(32) if needs_token(settings) else "")
        self.session_seconds = int(settings.session_days * 86400)
        # Sessions of the access token: when each ends on the monotonic clock. They end with the process, too.
        self._token_sessions: OrderedDict[str, float] = OrderedDict()

    async def authenticate(self, scope: Scope) -> Visitor:
        """Who sent this request. Raises AccessError (401, 429)."""
        if await self.accounts.users.exist():
            return await self._with_account(scope)
        return await self._with_token(scope) if self.token else Visitor("open", address_of(scope))

    async def is_valid(self, visitor: Visitor) -> bool:
        """Whether this visitor would be authenticated again, with the same rights."""
        has_users = await self.accounts.users.exist()
        if visitor.auth_method == "session":
            return await self.accounts.sessions.user(visitor.session_id) == visitor.user
        if visitor.auth_method == "key":
            return await self.accounts.api_keys.exists(visitor.session_id)
        if visitor.auth_method == "token":
            is_token = bool(self.token) and visitor.session_id == fingerprint(self.token)
            return not has_users and (is_token or self._is_token_session(visitor.session_id))
        return visitor.auth_method == "open" and not has_users and not self.token

    async def log_in(self, name: str, password: str, scope: Scope) -> tuple[User, str] | None:
        """The user and the cookie of a new session; None for a wrong name or password. Raises AccessError (429)."""
        address, account = address_of(scope), name.strip().lower()[:64]
        old_secret = cookie_of(scope, SESSION)
        found = await self.attempts.limit(
            lambda: self.accounts.sessions.log_in(name, password, old_secret), address, account
        )
        audit("login" if found else "login failed", user=account, address=address)
        return found

    async def log_in_with_token(self, token: str, address: str) -> str | None:
        """The cookie of a new session; None for a wrong access token. Raises AccessError (429)."""
        if not await self.attempts.limit(lambda: self._is_token(token), address):
            audit("token refused", address=address)
            return None
        cookie = secrets.token_urlsafe(32)
        self._token_sessions[fingerprint(cookie)] = time.monotonic() + self.session_seconds
        while len(self._token_sessions) > MAX_TOKEN_SESSIONS:
            self._token_sessions.popitem(last=False)
        audit("token accepted", address=address)
        return cookie

    async def log_out(self, visitor: Visitor) -> None:
        audit("logout", user=visitor.user.name if visitor.user else "", address=visitor.address)
        self._token_sessions.pop(visitor.session_id, None)
        if visitor.auth_method == "session":
            await self.accounts.sessions.end(visitor.session_id)

    async def _with_account(self, scope: Scope) -> Visitor:
        address = address_of(scope)
        if cookie := cookie_of(scope, SESSION):
            session_id = fingerprint(cookie)
            if user := await self.accounts.sessions.user(session_id):
                return Visitor("session", address, session_id, user)
        if key := _secret(scope):
            # A right key always works, whoever sends wrong ones from the same address: it is too long to be guessed.
            if found := await self.accounts.api_keys.authenticate(key):
                return Visitor("key", address, *found)
            await self.attempts.fail(address)
            audit("key refused", address=address)
            raise unauthorized("This API key is wrong or was revoked.")
        raise unauthorized("Log in, or send an API key: Authorization: Bearer <key>.")

    async def _with_token(self, scope: Scope) -> Visitor:
        address = address_of(scope)
        session_id = fingerprint(cookie_of(scope, SESSION))
        if self._is_token_session(session_id):
            return Visitor("token", address, session_id)
        if token := _secret(scope):
            if await self.attempts.limit(lambda: self._is_token(token), address):
                return Visitor("token", address, fingerprint(token))
            audit("token refused", address=address)
            raise unauthorized("The access token is wrong.")
        raise unauthorized(
            "The access token is needed: Authorization: Bearer <token>, or the URL printed at the start."
        )

    async def _is_token(self, token: str) -> bool:
        return bool(self.token) and compare_digest(token.encode("utf-8", "surrogatepass"), self.token.encode())

    def _is_token_session(self, session_id: str) -> bool:
        return time.monotonic() < self._token_sessions.get(session_id, 0.0)


class AuthenticationMiddleware:
    """ASGI middleware: sets the visitor in `scope["state"]` and the context; or answers 401, or redirects to /login."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self.app = app
        self.authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            visitor = await self._authenticate(scope)
        except _Redirect as redirect:
            await redirect.response(scope, receive, send)
            return
        except AccessError as error:
            await error(scope, receive, send)
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

    async def _authenticate(self, scope: Scope) -> Visitor:
        if token := await self._token_in_url(scope):
            await self._log_in_with_token(scope, token)
        try:
            return await self.authenticator.authenticate(scope)
        except AccessError as error:
            path = path_of(scope)
            if path in PUBLIC_PATHS and scope["type"] == "http":
                return Visitor("anonymous", address_of(scope))
            if error.status == 401 and _is_navigation(scope):
                query = scope.get("query_string", b"").decode("latin-1")
                target = quote(path, safe="/") + (f"?{query}" if query else "")
                raise _Redirect(f"{scope.get('root_path', '')}/login?{urlencode({'next': target})}") from None
            raise

    async def _token_in_url(self, scope: Scope) -> str:
        if b"token=" not in scope.get("query_string", b"") or not _is_navigation(scope):
            return ""
        if not self.authenticator.token or await self.authenticator.accounts.users.exist():
            return ""
        query: str = scope["query_string"].decode("latin-1")
        return dict(parse_qsl(query)).get("token", "")

    async def _log_in_with_token(self, scope: Scope, token: str) -> None:
        """Redirects, so that the token leaves the address bar and the browser's history."""
        cookie = await self.authenticator.log_in_with_token(token, address_of(scope))
        if cookie is None:
            raise unauthorized(
                "The access token in this address is wrong. It is printed where the program was started."
            )
        rest = [(k, v) for k, v in parse_qsl(scope["query_string"].decode("latin-1")) if k != "token"]
        path = scope.get("root_path", "") + quote(path_of(scope), safe="/")
        redirect = _Redirect(safe_redirect_path(path + (f"?{urlencode(rest)}" if rest else "")))
        set_cookie(redirect.response, scope, SESSION, cookie, self.authenticator.session_seconds)
        set_cookie(redirect.response, scope, CSRF, csrf_of(scope), CSRF_SECONDS)
        raise redirect


class _Redirect(Exception):  # noqa: N818 - no error
    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.response = RedirectResponse(location, 303, {"Cache-Control": "no-store"})


def needs_token(settings: Settings) -> bool:
    """Whether other machines may reach the program."""
    return not settings.listens_on_loopback or bool(settings.allowed_hosts or settings.trusted_proxies)


def safe_redirect_path(path: str) -> str:
    """The path when it stays on this origin, else `/`."""
    return path if LOCAL_PATH.fullmatch(path) else "/"


def unauthorized(message: str) -> AccessError:
    return AccessError(401, "invalid_api_key", message, {"WWW-Authenticate": "Bearer"})


def _secret(scope: Scope) -> str:
    """The key or token of a program, in the header of OpenAI's clients or in that of Anthropic's."""
    headers = Headers(scope=scope)
    kind, _, secret = headers.get("authorization", "").partition(" ")
    bearer = secret.strip() if kind.lower() == "bearer" else ""
    return bearer or headers.get("x-api-key", "").strip()


def _is_navigation(scope: Scope) -> bool:
    """Whether a browser opens a page, as opposed to a program that requests data."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return False
    return "text/html" in Headers(scope=scope).get("accept", "")
