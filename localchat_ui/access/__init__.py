"""Who may use the program, and how much: AccessControl checks every request, `current_visitor` says who sent it."""

from localchat_ui.access.control import AccessControl
from localchat_ui.access.database import AccessDatabase
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
    "AccessDatabase",
    "AccessError",
    "User",
    "Visitor",
    "acting_as",
    "current_is_admin",
    "current_owner",
    "current_user",
    "current_visitor",
]
