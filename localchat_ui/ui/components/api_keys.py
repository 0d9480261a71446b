"""The keys of a person's programs: made, shown once, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape

from nicegui import ui

from localchat_ui.access.accounts import MAX_LABEL_LENGTH, ApiKey, OwnAccount
from localchat_ui.i18n import _
from localchat_ui.text import N_
from localchat_ui.ui import icons
from localchat_ui.ui.components.confirm import Confirm
from localchat_ui.ui.components.element import icon_button, one_press, text_button
from localchat_ui.ui.dates import day_of
from localchat_ui.ui.page_layout import Outcome, copy_button, field, section

HINT = N_("For programs that use the API as you. They send a key as “Authorization: Bearer …”.")


class ApiKeys:
    def __init__(self, account: OwnAccount, keys: Sequence[ApiKey]) -> None:
        self._account = account
        with section(_("API keys"), _(HINT)):
            self._table = ui.element("div")
            with ui.element("form").classes("fields inline") as form:
                self._label = field(_("Label of the new key"), autocomplete="off")
                self._label.props["maxlength"] = MAX_LABEL_LENGTH
                self._label.props["placeholder"] = _("laptop, notebook, editor …")
                text_button(_("Create key"), primary=True).props("type=submit")
            form.on("submit", one_press(self._make), js_handler="(event) => { event.preventDefault(); emit(); }")
            with ui.element("div").classes("new-key").props("role=status") as self._shown:
                ui.label(_("This is your new key. Copy it now: it will not be shown again."))
                with ui.element("div").classes("page-row"):
                    self._key = ui.html(sanitize=False, tag="code")
                    copy_button(self._key)
                    icon_button(icons.CLOSE, _("Dismiss"), self._forget)
            self._shown.set_visibility(False)
            self._outcome = Outcome()
            self._confirm = Confirm()
        self._draw(keys)

    def _draw(self, keys: Sequence[ApiKey]) -> None:
        self._table.clear()
        if not keys:
            with self._table:
                ui.label(_("No keys yet.")).classes("page-text")
            return
        with self._table, ui.element("table").classes("page-table"):
            with ui.element("thead"), ui.element("tr"):
                # NOTE: headings of a table of API keys
                for name in (_("Label"), _("Made"), _("Last used")):
                    ui.html(escape(name), sanitize=False, tag="th")
                ui.html("", sanitize=False, tag="td")
            with ui.element("tbody"):
                for key in keys:
                    self._row(key)

    def _row(self, key: ApiKey) -> None:
        name = key.label or _("no label")
        with ui.element("tr"):
            with ui.element("td").classes("name"):
                ui.label(name).props("dir=auto")
            with ui.element("td") as made:
                made.props["data-name"] = _("Made")
                ui.label(day_of(key.created_at))
            with ui.element("td") as used:
                used.props["data-name"] = _("Last used")
                ui.label(day_of(key.last_used_at) if key.last_used_at else _("never"))
            with ui.element("td").classes("actions-cell"):
                button = text_button(_("Revoke…"), partial(self._ask, key)).classes("danger")
                button.props["aria-label"] = _("Revoke {name}").format(name=name)

    async def _make(self) -> None:
        with self._outcome.telling():
            self._key.set_content("")
            self._key.set_content(await self._account.create_key(self._label.value or ""))
            self._shown.set_visibility(True)
            self._label.set_value("")
            self._draw(await self._account.keys())

    def _ask(self, key: ApiKey) -> None:
        text = _("Programs that use “{name}” will lose access. This cannot be undone.")
        text = text.format(name=key.label or _("no label"))
        self._confirm.ask(_("Revoke this key?"), text, _("Revoke"), partial(self._revoke, key))

    async def _revoke(self, key: ApiKey) -> None:
        with self._outcome.telling(_("The key “{name}” was revoked.").format(name=key.label or _("no label"))):
            await self._account.revoke_key(key.id)
            self._forget()
            self._draw(await self._account.keys())

    def _forget(self) -> None:
        self._key.set_content("")
        self._shown.set_visibility(False)
