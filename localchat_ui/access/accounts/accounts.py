"""Everything stored about accounts, in one object."""

from __future__ import annotations

from datetime import timedelta

from argon2 import PasswordHasher

from localchat_ui.access.accounts.api_keys import ApiKeys
from localchat_ui.access.accounts.passwords import Passwords
from localchat_ui.access.accounts.sessions import Sessions
from localchat_ui.access.accounts.users import Users
from localchat_ui.access.database import AccessDatabase


class Accounts:
    """The users, their sessions and their API keys."""

    def __init__(
        self, database: AccessDatabase, session_days: float = 30, hasher: PasswordHasher | None = None
    ) -> None:
        self.database = database
        self.passwords = Passwords(hasher)
        self.users = Users(database, self.passwords)
        self.sessions = Sessions(database, self.passwords, timedelta(days=session_days))
        self.api_keys = ApiKeys(database)
