"""Who may come in, and how much: `guard.py` is the way through all checks, `visitor.py` says who came."""

from localchat_ui.access.visitor import (
    User,
    Visitor,
    acting_as,
    current_is_admin,
    current_owner,
    current_user,
    current_visitor,
)

__all__ = ["User", "Visitor", "acting_as", "current_is_admin", "current_owner", "current_user", "current_visitor"]
