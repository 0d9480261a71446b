"""The cookies of a session and of the login form."""

from __future__ import annotations

import secrets

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import Scope

SESSION = "localchat"
CSRF = "localchat_csrf"
CSRF_SECONDS = 90 * 86400


def cookie_of(scope: Scope, kind: str) -> str:
    """Its value; empty when the request has none."""
    header = Headers(scope=scope).get("cookie")
    return cookie_parser(header).get(_name(scope, kind), "") if header else ""


def set_cookie(response: Response, scope: Scope, kind: str, value: str, max_age: int | None = None) -> None:
    """HttpOnly, SameSite=Strict, and Secure over TLS."""
    response.set_cookie(
        _name(scope, kind),
        value,
        max_age=max_age,
        path=scope.get("root_path") or "/",
        httponly=True,
        samesite="strict",
        secure=scope["scheme"] in ("https", "wss"),
    )


def csrf_of(scope: Scope) -> str:
    """The token of the login form: the one that this browser has, or a new one.

    It is kept for long, and from the login on: two tabs that are logged out at once would otherwise each get a form of
    their own, and the cookie of one.
    """
    return cookie_of(scope, CSRF) or secrets.token_urlsafe(16)


def _name(scope: Scope, kind: str) -> str:
    """Includes the port, because browsers share cookies between all ports of a host."""
    server = scope.get("server")
    return f"{kind}_{server[1]}" if server and server[1] else kind
