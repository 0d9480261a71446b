"""Who may log in, for administrators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from html import escape

from nicegui import Event, ui

from localchat_ui.access import User, current_user
from localchat_ui.access.accounts import MIN_PASSWORD_LENGTH, Administration
from localchat_ui.i18n import _
from localchat_ui.text import N_
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.removal import Removal
from localchat_ui.ui.page_layout import Outcome, field, section

HINT = N_("Conversations are private. Administrators cannot see them either, unless they are handed over.")


class UsersTable:
    """`changed` fires when there are others than before."""

    def __init__(self, administration: Administration, users: Sequence[User]) -> None:
        self._administration = administration
        self.changed: Event[[]] = Event()
        with section(_("People"), _(HINT)):
            self._table = ui.element("div")
            with ui.element("form").classes("fields inline") as form:
                self._name = field(_("Name"), autocomplete="off")
                least = _("At least {n} characters.").format(n=MIN_PASSWORD_LENGTH)
                self._password = field(_("Password"), autocomplete="new-password", secret=True, hint=least)
                self._is_admin = ui.checkbox(_("Administrator"))
                text_button(_("Add"), primary=True).props("type=submit")
            form.on("submit", self._add, js_handler="(event) => { event.preventDefault(); emit(); }")
            self._outcome = Outcome()
            self._removal = Removal(administration, self._removed)
            self._dialog_place = ui.element("div")
        self._draw(users)

    def _draw(self, users: Sequence[User]) -> None:
        self._table.clear()
        with self._table, ui.element("table").classes("page-table"):
            with ui.element("thead"), ui.element("tr"):
                for name in (_("Name"), _("Role")):
                    ui.html(escape(name), sanitize=False, tag="th")
                ui.html("", sanitize=False, tag="td")
            with ui.element("tbody"):
                for user in users:
                    self._row(user)

    def _row(self, user: User) -> None:
        me = current_user()
        is_me = me is not None and me.id == user.id
        with ui.element("tr"):
            with ui.element("td").classes("name"):
                ui.label(_("{name} (you)").format(name=user.name) if is_me else user.name).props("dir=auto")
            with ui.element("td"):
                ui.label(_("Administrator") if user.is_admin else _("User"))
            with ui.element("td").classes("actions-cell"):
                role = _("Make regular user") if user.is_admin else _("Make administrator")
                self._button(role, user, self._switch_role)
                if not is_me:
                    # One's own password is changed where the present one is asked for.
                    self._button(_("Set password…"), user, self._ask_password)
                self._button(_("Remove…"), user, self._ask_to_remove).classes("danger")

    def _button(self, label: str, user: User, action: Callable[[User], object]) -> ui.button:
        button = text_button(label, partial(action, user))
        button.props["aria-label"] = _("{verb}: {name}").format(verb=label.removesuffix("…"), name=user.name)
        return button

    async def _refresh(self) -> None:
        self._draw(await self._administration.users())
        self.changed.emit()

    async def _add(self) -> None:
        name = self._name.value or ""
        with self._outcome.telling(_("{name} can log in now.").format(name=name)):
            await self._administration.add_user(name, self._password.value or "", is_admin=self._is_admin.value)
            self._name.set_value("")
            self._password.set_value("")
            self._is_admin.set_value(False)
            await self._refresh()

    async def _switch_role(self, user: User) -> None:
        done = _("{name} is a plain user now.") if user.is_admin else _("{name} is an administrator now.")
        with self._outcome.telling(done.format(name=user.name)):
            await self._administration.set_admin(user.name, not user.is_admin)
            await self._refresh()

    def _ask_password(self, user: User) -> None:
        async def save() -> None:
            with outcome.telling():
                await self._administration.set_password(user.name, box.value or "")
                dialog.close()
                done = _("{name} has the new password, and all sessions of {name} have ended.")
                self._outcome.say(done.format(name=user.name))

        self._dialog_place.clear()
        with self._dialog_place:
            dialog = Dialog(_("New password for {name}").format(name=user.name), close=_("Close"))
            with dialog.body, ui.element("form") as form:
                box = field(
                    _("New password"),
                    autocomplete="new-password",
                    secret=True,
                    hint=_("This logs them out everywhere."),
                )
                box.props["autofocus"] = True
                outcome = Outcome()
                with ui.element("div").classes("dialog-actions"):
                    text_button(_("Cancel"), dialog.close)
                    text_button(_("Set password"), primary=True).props("type=submit")
            form.on("submit", save, js_handler="(event) => { event.preventDefault(); emit(); }")
        dialog.open()

    async def _ask_to_remove(self, user: User) -> None:
        with self._outcome.telling():
            await self._removal.ask(user)

    async def _removed(self, what: str) -> None:
        await self._refresh()
        self._outcome.say(what)
