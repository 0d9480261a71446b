"""Asks before an account is removed, and what becomes of what that person has written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.events import GenericEventArguments

from localchat_ui.access import User
from localchat_ui.access.accounts import Administration
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.page_layout import Outcome

ERASE = "erase"
CHOSEN = "(event) => emit(event.target.value)"
GONE = "{name} can no longer log in, and their API keys stop working."
CHOICE = "They have {user_data}. Choose what happens to them. Erasing cannot be undone."


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
                became = (f"erased: {went}" if heir is None else f"{heir} has {went} more") if went else ""
                await self._removed(f"{user.name} is gone; {became}." if became else f"{user.name} is gone.")

        self._place.clear()
        with self._place:
            dialog = Dialog(f"Remove {user.name}?", close="Close")
            with dialog.body:
                ui.label(GONE.format(name=user.name)).classes("dialog-text")
                if user_data:
                    ui.label(CHOICE.format(user_data=user_data)).classes("dialog-text")
                    with ui.element("select").classes("plain-select") as select:
                        select.props["aria-label"] = "What happens to them"
                        _option("", "Choose…")
                        _option(ERASE, "Erase permanently")
                        for name in others:
                            _option(f"to {name}", f"Give them to {name}")
                    select.on("change", choose, js_handler=CHOSEN)
                outcome = Outcome()
                with ui.element("div").classes("dialog-actions"):
                    text_button("Cancel", dialog.close)
                    text_button("Remove", remove).classes("danger")
        dialog.open()


def _option(value: str, label: str) -> None:
    option = ui.element("option")
    option.props["value"], option.props["label"] = value, label
