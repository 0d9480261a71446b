"""What cannot be done with an account. The text of each error is written for people and shown as it is."""

from __future__ import annotations

from localchat_ui.text import PlainError


class AccountError(PlainError):
    """Base class of these errors."""


class UserDataError(AccountError):
    """A user has conversations or saved prompts, and the caller has not said what becomes of them."""


class NotAdminError(AccountError):
    """Only administrators may do this."""


class LoggedOutError(AccountError):
    """The session of this page has ended, or it was not opened by a logged-in user."""
