"""Users, their passwords, sessions and API keys, the pages bound to a session, and the command line for accounts."""

from localchat_ui.access.accounts.accounts import Accounts
from localchat_ui.access.accounts.administration import Administration
from localchat_ui.access.accounts.api_keys import MAX_KEYS_PER_USER, MAX_LABEL_LENGTH, ApiKey
from localchat_ui.access.accounts.authentication import (
    AuthenticationMiddleware,
    Authenticator,
    needs_token,
    safe_redirect_path,
)
from localchat_ui.access.accounts.cookies import CSRF, CSRF_SECONDS, SESSION, cookie_of, csrf_of, set_cookie
from localchat_ui.access.accounts.errors import AccountError, LoggedOutError, NotAdminError, UserDataError
from localchat_ui.access.accounts.own_account import OwnAccount
from localchat_ui.access.accounts.page_sessions import PageOwnerMiddleware, PageSessions
from localchat_ui.access.accounts.passwords import MIN_PASSWORD_LENGTH

__all__ = [
    "CSRF",
    "CSRF_SECONDS",
    "MAX_KEYS_PER_USER",
    "MAX_LABEL_LENGTH",
    "MIN_PASSWORD_LENGTH",
    "SESSION",
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
    "csrf_of",
    "needs_token",
    "safe_redirect_path",
    "set_cookie",
]
