"""A person's own account: who they are, their sessions, their password, the keys of their programs."""

from __future__ import annotations

from html import escape

from nicegui import ui
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from localchat_ui.access import AccessControl, User, current_user, current_visitor
from localchat_ui.access.accounts import MIN_PASSWORD_LENGTH, OwnAccount
from localchat_ui.i18n import _, ngettext, number
from localchat_ui.ui import icons
from localchat_ui.ui.components.api_keys import ApiKeys
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.page_layout import Outcome, field, link, page_layout, path_to, section


def register(access: AccessControl) -> None:
    """The route /account, for whoever has logged in to an account."""

    @ui.page("/account")
    async def account_page(request: Request) -> Response | None:
        user = current_user()
        visitor = current_visitor()
        if user is None or visitor is None or visitor.auth_method != "session":
            return RedirectResponse(path_to("/"), 303, {"Cache-Control": "no-store"})
        keys = await access.own_account.keys()
        quota, (used, _left) = await access.quotas.of(visitor), await access.quotas.used_today(visitor)
        with page_layout(_("Your account")):
            spent = _("You have used {used} of {limit} tokens today.")
            spent = spent.format(used=number(used), limit=number(quota.tokens_per_day or 0))
            _Sessions(access, user, spent if quota.tokens_per_day else "")
            _Password(access.own_account, user)
            ApiKeys(access.own_account, keys)
        return None


class _Sessions:
    def __init__(self, access: AccessControl, user: User, spent: str) -> None:
        self._access = access
        with section(_("Logged in")):
            with ui.element("p").classes("page-text"):
                who = _("You are {name}, an administrator.") if user.is_admin else _("You are {name}.")
                before, _name, after = who.partition("{name}")
                ui.html(tag="span", sanitize=False, content=escape(before))
                ui.label(user.name).classes("strong").props("dir=auto")
                ui.html(tag="span", sanitize=False, content=escape(after))
            if spent:
                ui.label(spent).classes("page-text")
            with ui.element("div").classes("page-row"):
                text_button(_("Log out"), self._log_out, primary=True)
                text_button(_("Log out everywhere else"), self._log_out_elsewhere)
                if user.is_admin:
                    link(icons.SETTINGS, _("Administration"), "/admin").classes("text-button")
            self._outcome = Outcome()

    async def _log_out(self) -> None:
        visitor = current_visitor()
        if visitor is not None:
            await self._access.log_out(visitor)

    async def _log_out_elsewhere(self) -> None:
        ended = 0
        with self._outcome.telling(
            lambda: (
                ngettext("{n} other session ended.", "{n} other sessions ended.", ended).format(n=number(ended))
                if ended
                else _("You are not logged in anywhere else.")
            )
        ):
            ended = await self._access.own_account.log_out_elsewhere()


class _Password:
    def __init__(self, account: OwnAccount, user: User) -> None:
        self._account = account
        with section(_("Password"), _("Changing it logs out all other sessions. API keys work until you revoke them.")):
            with ui.element("form").classes("fields") as form:
                # For password managers, which want to know whose password it is.
                ui.element("input").props("type=text autocomplete=username hidden").props["value"] = user.name
                self._present = field(_("Current password"), autocomplete="current-password", secret=True)
                self._new = field(
                    _("New password"),
                    autocomplete="new-password",
                    secret=True,
                    hint=_("At least {n} characters; a sentence is easy to remember and hard to guess.").format(
                        n=MIN_PASSWORD_LENGTH
                    ),
                )
                self._again = field(_("Confirm new password"), autocomplete="new-password", secret=True)
                text_button(_("Change password"), primary=True).props("type=submit")
            form.on("submit", self._change, js_handler="(event) => { event.preventDefault(); emit(); }")
            self._outcome = Outcome()

    async def _change(self) -> None:
        if self._new.value != self._again.value:
            self._outcome.complain(_("The new passwords do not match."))
            return
        with self._outcome.telling(_("Password changed. All other sessions were logged out.")):
            await self._account.change_password(self._present.value or "", self._new.value or "")
            for box in (self._present, self._new, self._again):
                box.set_value("")
