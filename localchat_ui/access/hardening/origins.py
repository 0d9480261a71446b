"""Checks Host, Origin and Content-Type: against DNS rebinding and cross-site requests."""

from __future__ import annotations

import ipaddress
import re
import socket

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from localchat_ui.access.errors import AccessError
from localchat_ui.access.hardening.proxies import path_of
from localchat_ui.settings import Settings

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.ASCII)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Take other bodies than JSON. Their Origin is checked like everybody's.
FORM_PATHS = ("/_nicegui", "/login", "/logout", "/upload/")
SOCKET_PATH = "/_nicegui_ws"


class OriginMiddleware:
    """ASGI middleware: 421 for host names that are not this program's, 403 for requests from other sites' pages."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._names = LOOPBACK | set(settings.allowed_host_names)
        self._any_ip = not settings.listens_on_loopback
        if self._any_ip:
            # A host name may be rebound by its owner's DNS server; an IP address cannot be.
            own = socket.gethostname().lower()
            self._names |= {settings.host.lower(), own, f"{own}.local"}
        self._listed = frozenset(settings.cors_origin_list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(scope)
            except AccessError as error:
                await error(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        path = path_of(scope)
        host = self._check_host(headers)
        is_socket = scope["type"] == "websocket" or path.startswith(SOCKET_PATH)
        changes = is_socket or scope["method"] not in SAFE_METHODS
        self._check_site(headers, f"{_web_scheme(scope)}://{host}", changes)
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS and not path.startswith(FORM_PATHS):
            _check_content_type(headers)

    def _check_host(self, headers: Headers) -> str:
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        match = HOST.fullmatch(host)
        if match is None:
            raise AccessError(400, "bad_host", "The request does not say which host it is for.")
        if not self._is_allowed(match["name"].removesuffix(".")):
            raise AccessError(
                421,
                "unknown_host",
                f"This program does not answer to the name {host}. If it should, list it in ALLOWED_HOSTS.",
            )
        return host

    def _is_allowed(self, name: str) -> bool:
        if name in self._names or (self._any_ip and _is_ip(name)):
            return True
        return any(pattern.startswith("*.") and name.endswith(pattern[1:]) for pattern in self._names)

    def _check_site(self, headers: Headers, own: str, changes: bool) -> None:
        """Browsers say which site a request comes from. Other programs do not, and are not tricked into requests."""
        origins = headers.getlist("origin")
        if origins and set(origins) <= self._listed:
            return
        if changes and origins and origins != [own]:
            raise AccessError(
                403,
                "foreign_origin",
                f"Pages of another site may not do this; this one is {own}. "
                "Behind a proxy with TLS, set TRUSTED_PROXIES; to admit a site, list it in CORS_ORIGINS.",
            )
        is_link = not changes and headers.get("sec-fetch-mode", "navigate") == "navigate"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not is_link:
            raise AccessError(403, "foreign_site", "Pages of another site may not do this.")


def _check_content_type(headers: Headers) -> None:
    """Content types that another site can send without a preflight are never parsed as JSON."""
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    kinds = headers.getlist("content-type")
    kind = kinds[0].partition(";")[0].strip().lower() if len(kinds) == 1 else ""
    if kind != "application/json" and not kind.endswith("+json"):
        raise AccessError(415, "not_json", "Send JSON, with the header Content-Type: application/json.")


def _web_scheme(scope: Scope) -> str:
    return {"ws": "http", "wss": "https"}.get(scope["scheme"], str(scope["scheme"]))


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
