"""Whether the model names new chats: of a person, on all their devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from localchat_ui.chat import TitleWriter
from localchat_ui.history.errors import HistoryError
from localchat_ui.i18n import _, translated
from localchat_ui.ui.components.element import hint_of
from localchat_ui.ui.components.setting import Setting


class TitleSetting:
    def __init__(self, titles: TitleWriter, *, on_error: Callable[[str], None]) -> None:
        self._titles = titles
        self._on_error = on_error
        self._filling = False
        text = _("The model names a new chat when it has nothing else to do.")
        self.setting = Setting(_("Name chats"), words=f"{text} {_('title')}")
        with self.setting.row:
            self._switch = ui.switch(on_change=self._toggle).props("dense")
            self._switch.props["aria-label"] = _("Name chats")
        with self.setting.body:
            hint_of(self._switch, text)

    async def refresh(self) -> None:
        """Show what is chosen."""
        try:
            on = await self._titles.is_on()
        except HistoryError as error:
            self._on_error(translated(error))
            return
        self._filling = True
        self._switch.set_value(on)
        self._filling = False

    async def _toggle(self, event: ValueChangeEventArguments[Any]) -> None:
        if self._filling:
            return
        try:
            await self._titles.switch(bool(event.value))
        except HistoryError as error:
            self._on_error(translated(error))
