"""Asks before an account is removed, and what becomes of what that person has written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.events import GenericEventArguments

from localchat_ui.access import User
from localchat_ui.access.accounts import Administration
from localchat_ui.i18n import _, translated
from localchat_ui.text import N_
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.page_layout import Outcome

ERASE = "erase"
CHOSEN = "(event) => emit(event.target.value)"
GONE = N_("{name} can no longer log in, and their API keys stop working.")
CHOICE = N_("They have {user_data}. Choose what happens to them. Erasing cannot be undone.")


class Removal:
    """Stands where it is made; one dialog at a time."""

    def __init__(self, administration: Administration, removed: Callable[[str], Awaitable[None]]) -> None:
        """`removed` is called with what came of it, in words."""
        self._administration = administration
        self._removed = removed
        self._place = ui.element("div")

    async def ask(self, user: User) -> None:
        """Raises what Administration raises."""
        user_data = await self._administration.user_data(user.name)
        others = [other.name for other in await self._administration.users() if other.id != user.id]
        choice = "" if user_data else ERASE

        def choose(event: GenericEventArguments) -> None:
            nonlocal choice
            choice = str(event.args)

        async def remove() -> None:
            with self._place, outcome.telling():
                heir = choice.removeprefix("to ") if choice.startswith("to ") else None
                went = await self._administration.remove_user(user.name, give_to=heir, erase=choice == ERASE)
                dialog.close()
                gone = _("{name} is gone.")
                if went:
                    gone = (
                        _("{name} is gone; erased: {went}.")
                        if heir is None
                        else _("{name} is gone; {heir} has {went} more.")
                    )
                await self._removed(gone.format(name=user.name, heir=heir, went=translated(went)))

        self._place.clear()
        with self._place:
            dialog = Dialog(_("Remove {name}?").format(name=user.name), close=_("Close"))
            with dialog.body:
                ui.label(_(GONE).format(name=user.name)).classes("dialog-text")
                if user_data:
                    ui.label(_(CHOICE).format(user_data=translated(user_data))).classes("dialog-text")
                    with ui.element("select").classes("plain-select") as select:
                        select.props["aria-label"] = _("What happens to them")
                        _option("", _("Choose…"))
                        _option(ERASE, _("Erase permanently"))
                        for name in others:
                            _option(f"to {name}", _("Give them to {name}").format(name=name))
                    select.on("change", choose, js_handler=CHOSEN)
                outcome = Outcome()
                with ui.element("div").classes("dialog-actions"):
                    text_button(_("Cancel"), dialog.close)
                    text_button(_("Remove"), remove).classes("danger")
        dialog.open()


def _option(value: str, label: str) -> None:
    option = ui.element("option")
    option.props["value"], option.props["label"] = value, label
