"""The token for gated and private repositories: given once, never shown again."""

from __future__ import annotations

from nicegui import ui

from localchat_ui.i18n import _
from localchat_ui.inference import ModelLibrary
from localchat_ui.text import N_
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.page_layout import Outcome, field, section

HINT = N_("For repositories that are private or want terms accepted. It goes to the hub alone and is not shown again.")


class HubTokenForm:
    def __init__(self, library: ModelLibrary) -> None:
        self._library = library
        with section(_("Access token of the hub"), _(HINT)):
            self._state = ui.label().classes("page-text")
            with ui.element("form").classes("fields inline") as form:
                self._box = field(_("Token"), autocomplete="off", secret=True)
                text_button(_("Save token"), primary=True).props("type=submit")
                self._remove = text_button(_("Remove token"), self._forget)
            form.on("submit", self._keep, js_handler="(event) => { event.preventDefault(); emit(); }")
            form.set_visibility(not library.token_is_configured)
            self._outcome = Outcome()
        self._draw()

    def _draw(self) -> None:
        has_token = self._library.has_token
        # NOTE: an access token
        set_by = _("It is set by HUB_TOKEN.") if self._library.token_is_configured else _("One is saved.")
        # NOTE: an access token
        self._state.set_text(set_by if has_token else _("None is saved."))
        self._remove.set_visibility(has_token)

    def _keep(self) -> None:
        with self._outcome.telling(_("The token is saved.")):
            self._library.keep_token(self._box.value or "")
            self._box.set_value("")
        self._draw()

    def _forget(self) -> None:
        with self._outcome.telling(_("The token is gone.")):
            self._library.keep_token("")
        self._draw()
