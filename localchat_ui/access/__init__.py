"""Who may come in, and how much: `control.py` is the way through all checks, `visitor.py` says who came."""

from localchat_ui.access.control import AccessControl
from localchat_ui.access.errors import ERROR_TYPES, AccessError
from localchat_ui.access.visitor import (
    User,
    Visitor,
    acting_as,
    current_is_admin,
    current_owner,
    current_user,
    current_visitor,
)

__all__ = [
    "ERROR_TYPES",
    "AccessControl",
    "AccessError",
    "User",
    "Visitor",
    "acting_as",
    "current_is_admin",
    "current_owner",
    "current_user",
    "current_visitor",
]
