"""What every HTTP request and connection is held to, whoever sends it: Host, Origin, headers, body sizes, proxies."""

from localchat_ui.access.hardening.body_limit import BodyLimitMiddleware
from localchat_ui.access.hardening.connection import BoundedHttpProtocol
from localchat_ui.access.hardening.origins import OriginMiddleware
from localchat_ui.access.hardening.proxies import (
    ForwardedHeadersMiddleware,
    address_of,
    is_loopback,
    network_of,
    path_of,
)
from localchat_ui.access.hardening.security_headers import HEADERS, SecurityHeadersMiddleware

__all__ = [
    "HEADERS",
    "BodyLimitMiddleware",
    "BoundedHttpProtocol",
    "ForwardedHeadersMiddleware",
    "OriginMiddleware",
    "SecurityHeadersMiddleware",
    "address_of",
    "is_loopback",
    "network_of",
    "path_of",
]
