"""What an administrator sees: people, limits and models, and never what anybody has written."""

from __future__ import annotations

from nicegui import ui
from starlette.requests import Request
from starlette.responses import Response

from localchat_ui.access import AccessControl, AccessError
from localchat_ui.access.accounts import AccountError
from localchat_ui.i18n import _
from localchat_ui.inference import ModelRegistry
from localchat_ui.text import Text
from localchat_ui.ui.components.limits_form import LimitsForm
from localchat_ui.ui.components.model_choice import ModelChoice
from localchat_ui.ui.components.users_table import UsersTable
from localchat_ui.ui.page_layout import page_layout

REFUSAL = Text(
    "This page is for administrators. To make an account one, run this where the program runs: {command}",
    command="python -m localchat_ui user admin NAME",
)


def register(access: AccessControl, models: ModelRegistry) -> None:
    """The route /admin. What is behind its buttons asks once more who presses them."""
    administration = access.administration

    @ui.page("/admin")
    async def admin_page(request: Request) -> Response | None:
        try:
            users, quotas = await administration.users(), await administration.quotas()
        except AccountError:
            return AccessError(403, "not_admin", REFUSAL).response(request.scope)
        await models.refresh()
        with page_layout(_("Administration"), back=("/account", _("Your account"))):
            table = UsersTable(administration, users)
            limits = LimitsForm(administration, users, quotas)
            table.changed.subscribe(limits.refresh)
            ModelChoice(administration, models)
        return None
