"""X-Forwarded headers: used when they come from TRUSTED_PROXIES, removed when they come from anybody else."""

from __future__ import annotations

import ipaddress
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

NAMES = frozenset({b"forwarded", b"x-real-ip"})


class ForwardedHeadersMiddleware:
    """ASGI middleware: puts the address, scheme and host of the client into the scope instead of the proxy's."""

    def __init__(self, app: ASGIApp, trusted: list[str]) -> None:
        self.app = app
        # uvicorn's knows networks and chains of proxies.
        self._proxy_headers = ProxyHeadersMiddleware(cast(Any, _with_forwarded_host(app)), trusted)
        self._trusted = self._proxy_headers.trusted_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        # NiceGUI would prefix ROOT_PATH with it in every page.
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"x-forwarded-prefix"]
        if scope.get("client") and scope["client"][0] in self._trusted:
            await self._proxy_headers(cast(Any, scope), cast(Any, receive), cast(Any, send))
        else:
            # python-engineio would use them.
            scope["headers"] = [(name, value) for name, value in scope["headers"] if not _is_forwarded(name)]
            await self.app(scope, receive, send)


def path_of(scope: Scope) -> str:
    """The path without ROOT_PATH."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] or "/" if root and (path == root or path.startswith(root + "/")) else path


def address_of(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


def network_of(address: str) -> str:
    """The address; of IPv6 its /64, because whoever has one address of it has them all."""
    ip = _ip(address)
    if ip is None:
        return address
    return str(ipaddress.ip_network(f"{ip}/64", strict=False)) if ip.version == 6 else str(ip)


def is_loopback(address: str) -> bool:
    ip = _ip(address)
    return ip is not None and ip.is_loopback


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def _with_forwarded_host(app: ASGIApp) -> ASGIApp:
    async def with_host(scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value for name, value in scope["headers"] if name == b"x-forwarded-host"]
        if hosts:
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope["headers"] = [*others, (b"host", hosts[-1].split(b",")[-1].strip())]
        await app(scope, receive, send)

    return with_host


def _is_forwarded(name: bytes) -> bool:
    return name.startswith(b"x-forwarded-") or name in NAMES
