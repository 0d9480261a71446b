"""How much people may have, for administrators: everybody, or one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from nicegui import ui

from localchat_ui.access import User
from localchat_ui.access.accounts import Administration
from localchat_ui.access.quotas import EVERYBODY, Quota
from localchat_ui.i18n import _, number
from localchat_ui.text import N_
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import OPTIONS_ALONE, hint_of, text_button
from localchat_ui.ui.page_layout import Outcome, section

HINT = N_(
    "These limits override the settings file and apply at once. An empty box falls back to the wider rule: "
    "for one person the limit for everybody, for everybody the settings file. 0 means no limit."
)
NAMES = {
    "generations_per_user": (N_("Replies at a time"), N_("On the page and through the API together.")),
    "requests_per_minute": (N_("Requests a minute"), N_("Per person, and per API key.")),
    "tokens_per_day": (N_("Tokens a day"), N_("Prompts and replies. The day starts with the first reply.")),
}
MOST = 10**12


class LimitsForm:
    def __init__(self, administration: Administration, users: Sequence[User], quotas: Mapping[str, Quota]) -> None:
        self._administration = administration
        with section(_("Limits"), _(HINT)):
            with ui.element("form").classes("fields") as form:
                with ui.element("div").classes("field"):
                    # NOTE: before a list of people
                    ui.label(_("For")).classes("field-name").props("aria-hidden=true")
                    self._who = ui.select({}, on_change=self._show).props("outlined dense options-dense behavior=menu")
                    self._who.props["aria-label"] = _("For whom")
                    self._who.props["dropdown-icon"] = icons.CHEVRON
                    self._who.on("popup-show", js_handler=OPTIONS_ALONE)
                with ui.element("div").classes("numbers"):
                    self._boxes = {name: _number(_(label), _(hint)) for name, (label, hint) in NAMES.items()}
                text_button(_("Save limits"), primary=True).props("type=submit")
            form.on("submit", self._save, js_handler="(event) => { event.preventDefault(); emit(); }")
            self._outcome = Outcome()
        self._take(users, quotas)

    async def refresh(self) -> None:
        """Others may log in now, or may not any more."""
        self._take(await self._administration.users(), await self._administration.quotas())

    def _take(self, users: Sequence[User], quotas: Mapping[str, Quota]) -> None:
        self._users, self._quotas = {user.id: user for user in users}, quotas
        own = {
            user.id: _("{name} (own limits)").format(name=user.name)
            for user in users
            if quotas.get(user.id, Quota()) != Quota()
        }
        names = {user.id: own.get(user.id, user.name) for user in users}
        chosen = self._who.value if self._who.value in names else EVERYBODY
        self._who.set_options({EVERYBODY: _("Everybody"), **names}, value=chosen)
        self._show()

    def _show(self) -> None:
        """What is set for whom was chosen, and behind it what holds when nothing is."""
        chosen: str = self._who.value
        wider = self._administration.default_quota
        if chosen != EVERYBODY:
            wider = self._quotas.get(EVERYBODY, Quota()).with_defaults(wider)
        for name, value in asdict(self._quotas.get(chosen, Quota())).items():
            box, otherwise = self._boxes[name], asdict(wider)[name]
            box.set_value(value)
            box.props["placeholder"] = number(otherwise) if otherwise else _("any number")
            box.update()

    async def _save(self) -> None:
        chosen: str = self._who.value
        user = self._users.get(chosen)
        values = {name: None if box.value is None else int(box.value) for name, box in self._boxes.items()}
        if any(value is not None and not 0 <= value <= MOST for value in values.values()):
            self._outcome.complain(_("A limit is a whole number from 0 on."))
            return
        with self._outcome.telling(
            _("Saved for {name}.").format(name=user.name) if user else _("Saved for everybody.")
        ):
            await self._administration.set_quota(Quota(**values), user)
            await self.refresh()


def _number(label: str, hint: str) -> ui.number:
    with ui.element("div").classes("field"):
        ui.label(label).classes("field-name").props("aria-hidden=true")
        box = ui.number(min=0, precision=0).props("outlined dense hide-bottom-space inputmode=numeric")
        box.props["aria-label"] = label
        hint_of(box, hint)
    return box
