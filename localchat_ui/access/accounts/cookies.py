"""The one cookie of a session."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import Scope

SESSION = "localchat"
CSRF = "localchat_csrf"


def cookie_of(scope: Scope, kind: str) -> str:
    """Its value; empty when there is none."""
    header = Headers(scope=scope).get("cookie")
    return cookie_parser(header).get(_name(scope, kind), "") if header else ""


def set_cookie(response: Response, scope: Scope, kind: str, value: str, max_age: int | None = None) -> None:
    """No script reads it, no other site sends it along; over TLS it is never sent in the clear."""
    response.set_cookie(
        _name(scope, kind),
        value,
        max_age=max_age,
        path=scope.get("root_path") or "/",
        httponly=True,
        samesite="strict",
        secure=scope["scheme"] in ("https", "wss"),
    )


def _name(scope: Scope, kind: str) -> str:
    """With the port, because browsers give the cookies of one port to all others of the same host."""
    server = scope.get("server")
    return f"{kind}_{server[1]}" if server and server[1] else kind
