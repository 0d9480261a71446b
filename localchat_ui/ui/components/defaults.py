"""What new chats start with: the program's settings, or a person's own."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from localchat_ui.chat import ChatDefaults
from localchat_ui.conversation import ChatOptions
from localchat_ui.history.errors import HistoryError
from localchat_ui.i18n import _, translated
from localchat_ui.text import N_
from localchat_ui.ui.components.element import text_button

OWN = N_("New chats start with your defaults.")
PROGRAM = N_("New chats start with the original defaults.")

CONFIRM_SECONDS = 8


class Defaults:
    """`options` tells what the panel shows now, None while that is not valid; `on_reset` fills in the defaults,
    `on_change` is told that they are others now."""

    def __init__(
        self,
        defaults: ChatDefaults,
        *,
        options: Callable[[], ChatOptions | None],
        on_reset: Callable[[], None],
        on_change: Callable[[], None],
        on_error: Callable[[str], None],
    ) -> None:
        self._defaults = defaults
        self._options = options
        self._on_change = on_change
        self._on_error = on_error
        self.section = ui.element("section").classes("setting-group defaults")
        self.section.props["aria-label"] = _("Defaults")
        with self.section:
            with ui.element("h3"):
                ui.label(_("Defaults"))
            self._state = ui.label().classes("hint").props("role=status")
            keep = text_button(_("Make these my defaults"), self._keep).classes("wide")
            text_button(_("Reset to defaults"), on_reset).classes("wide")
            self._forget_button = text_button(_("Restore the original defaults"), self._forget).classes("wide quiet")
            # It goes away with what it undoes; the focus stays nearby.
            self._forget_button.on("click", js_handler=f"() => getHtmlElement({keep.id}).focus()")
        self._own: bool | None = None
        self.show()

    def show(self) -> None:
        """Tell which defaults apply; another tab may have changed them."""
        own = self._defaults.are_own
        if own != self._own:
            self._own = own
            self._forget_button.set_visibility(own)
            self._tell()

    def _tell(self) -> None:
        self._state.set_text(_(OWN if self._own else PROGRAM))

    async def _keep(self) -> None:
        options = self._options()
        if options is None:
            self._state.set_text(_("A value above is out of range, so nothing was saved."))
            return
        if await self._set(options):
            self._state.set_text(_("Saved. {state}").format(state=_(OWN if self._own else PROGRAM)))
            ui.timer(CONFIRM_SECONDS, self._tell, once=True)

    async def _forget(self) -> None:
        await self._set(None)

    async def _set(self, options: ChatOptions | None) -> bool:
        try:
            await self._defaults.set(options)
        except HistoryError as error:
            self._on_error(_("The defaults could not be saved: {error}").format(error=translated(error)))
            return False
        self.show()
        self._on_change()
        return True
