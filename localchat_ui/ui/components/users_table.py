"""Who may log in, for administrators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from nicegui import Event, ui

from localchat_ui.access import User, current_user
from localchat_ui.access.accounts import MIN_PASSWORD_LENGTH, Administration
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.removal import Removal
from localchat_ui.ui.page_layout import Outcome, field, section

HINT = "Conversations are private. Administrators cannot see them either, unless they are handed over."


class UsersTable:
    """`changed` fires when there are others than before."""

    def __init__(self, administration: Administration, users: Sequence[User]) -> None:
        self._administration = administration
        self.changed: Event[[]] = Event()
        with section("People", HINT):
            self._table = ui.element("div")
            with ui.element("form").classes("fields inline") as form:
                self._name = field("Name", autocomplete="off")
                least = f"At least {MIN_PASSWORD_LENGTH} characters."
                self._password = field("Password", autocomplete="new-password", secret=True, hint=least)
                self._is_admin = ui.checkbox("Administrator")
                text_button("Add", primary=True).props("type=submit")
            form.on("submit", self._add, js_handler="(event) => { event.preventDefault(); emit(); }")
            self._outcome = Outcome()
            self._removal = Removal(administration, self._removed)
            self._dialog_place = ui.element("div")
        self._draw(users)

    def _draw(self, users: Sequence[User]) -> None:
        self._table.clear()
        with self._table, ui.element("table").classes("page-table"):
            with ui.element("thead"), ui.element("tr"):
                for name in ("Name", "Role"):
                    ui.html(name, sanitize=False, tag="th")
                ui.html("", sanitize=False, tag="td")
            with ui.element("tbody"):
                for user in users:
                    self._row(user)

    def _row(self, user: User) -> None:
        me = current_user()
        is_me = me is not None and me.id == user.id
        with ui.element("tr"):
            with ui.element("td").classes("name"):
                ui.label(f"{user.name} (you)" if is_me else user.name).props("dir=auto")
            with ui.element("td"):
                ui.label("Administrator" if user.is_admin else "User")
            with ui.element("td").classes("actions-cell"):
                role = "Make regular user" if user.is_admin else "Make administrator"
                self._button(role, user, self._switch_role)
                if not is_me:
                    # One's own password is changed where the present one is asked for.
                    self._button("Set password…", user, self._ask_password)
                self._button("Remove…", user, self._ask_to_remove).classes("danger")

    def _button(self, label: str, user: User, action: Callable[[User], object]) -> ui.button:
        button = text_button(label, partial(action, user))
        button.props["aria-label"] = f"{label.removesuffix('…')}: {user.name}"
        return button

    async def _refresh(self) -> None:
        self._draw(await self._administration.users())
        self.changed.emit()

    async def _add(self) -> None:
        name = self._name.value or ""
        with self._outcome.telling(f"{name} can log in now."):
            await self._administration.add_user(name, self._password.value or "", is_admin=self._is_admin.value)
            self._name.set_value("")
            self._password.set_value("")
            self._is_admin.set_value(False)
            await self._refresh()

    async def _switch_role(self, user: User) -> None:
        role = "a plain user" if user.is_admin else "an administrator"
        with self._outcome.telling(f"{user.name} is {role} now."):
            await self._administration.set_admin(user.name, not user.is_admin)
            await self._refresh()

    def _ask_password(self, user: User) -> None:
        async def save() -> None:
            with outcome.telling():
                await self._administration.set_password(user.name, box.value or "")
                dialog.close()
                self._outcome.say(f"{user.name} has the new password, and all sessions of {user.name} have ended.")

        self._dialog_place.clear()
        with self._dialog_place:
            dialog = Dialog(f"New password for {user.name}", close="Close")
            with dialog.body, ui.element("form") as form:
                box = field(
                    "New password", autocomplete="new-password", secret=True, hint="This logs them out everywhere."
                )
                box.props["autofocus"] = True
                outcome = Outcome()
                with ui.element("div").classes("dialog-actions"):
                    text_button("Cancel", dialog.close)
                    text_button("Set password", primary=True).props("type=submit")
            form.on("submit", save, js_handler="(event) => { event.preventDefault(); emit(); }")
        dialog.open()

    async def _ask_to_remove(self, user: User) -> None:
        with self._outcome.telling():
            await self._removal.ask(user)

    async def _removed(self, what: str) -> None:
        await self._refresh()
        self._outcome.say(what)
