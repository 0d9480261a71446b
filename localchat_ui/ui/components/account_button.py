"""The way to one's account, or out, in the header of the chat."""

from __future__ import annotations

from localchat_ui.access import AccessControl, current_visitor
from localchat_ui.i18n import _
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import icon_button
from localchat_ui.ui.page_layout import path_to


class AccountButton:
    """Nothing at all for whoever needed neither an account nor a token to come in."""

    def __init__(self, access: AccessControl) -> None:
        self._access = access
        visitor = current_visitor()
        if visitor is not None and visitor.auth_method == "session":
            icon_button(icons.ACCOUNT, _("Account")).props["href"] = path_to("/account")
        elif visitor is not None and visitor.auth_method == "token":
            icon_button(icons.LOG_OUT, _("Log out"), self._log_out)

    async def _log_out(self) -> None:
        visitor = current_visitor()
        if visitor is not None:
            await self._access.log_out(visitor)
