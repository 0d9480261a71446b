"""Users, their passwords, sessions and API keys, the pages bound to a session, and the command line for accounts."""

from localchat_ui.access.accounts.accounts import (
    LONGEST_LABEL,
    MOST_KEYS,
    SHORTEST_PASSWORD,
    AccountError,
    Accounts,
    ApiKey,
    UserDataError,
    fingerprint,
)
from localchat_ui.access.accounts.administration import Administration, NotAdminError
from localchat_ui.access.accounts.authentication import (
    AuthenticationMiddleware,
    Authenticator,
    needs_token,
    safe_path,
)
from localchat_ui.access.accounts.cookies import CSRF, SESSION, cookie_of, set_cookie
from localchat_ui.access.accounts.own_account import LoggedOutError, OwnAccount
from localchat_ui.access.accounts.page_sessions import PageOwnerMiddleware, PageSessions

__all__ = [
    "CSRF",
    "LONGEST_LABEL",
    "MOST_KEYS",
    "SESSION",
    "SHORTEST_PASSWORD",
    "AccountError",
    "Accounts",
    "Administration",
    "ApiKey",
    "AuthenticationMiddleware",
    "Authenticator",
    "LoggedOutError",
    "NotAdminError",
    "OwnAccount",
    "PageOwnerMiddleware",
    "PageSessions",
    "UserDataError",
    "cookie_of",
    "fingerprint",
    "needs_token",
    "safe_path",
    "set_cookie",
]
