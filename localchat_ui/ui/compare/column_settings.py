"""The settings of one column: its sampling and its system prompt, in a dialog."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from nicegui import ui

from localchat_ui.conversation import ChatOptions
from localchat_ui.history.presets import Presets
from localchat_ui.i18n import _
from localchat_ui.ui.components.dial import MAX_TOKENS, SAMPLING, DialSetting
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.setting import Group
from localchat_ui.ui.components.system_prompt import SystemPrompt

MAY_BE_EMPTY = ("seed",)


class ColumnSettings:
    """Drawn when it is opened, where it is made; what was set is told when it is closed."""

    def __init__(self, presets: Presets, *, on_error: Callable[[str], None]) -> None:
        self._presets = presets
        self._on_error = on_error
        self._place = ui.element("div")
        self._settings: dict[str, DialSetting | SystemPrompt] = {}

    async def open(
        self,
        title: str,
        options: ChatOptions,
        defaults: ChatOptions,
        on_close: Callable[[ChatOptions], Awaitable[None]],
    ) -> None:
        self._place.clear()
        with self._place:
            dialog = Dialog(title, close=_("Close"))
            dialog.on_close(lambda: on_close(self._options(options)))
            with dialog.body:
                self._draw(options, defaults)
                with ui.element("div").classes("dialog-actions"):
                    text_button(_("Done"), dialog.close, primary=True)
        dialog.open()
        await self._prompt.refresh()

    def _draw(self, options: ChatOptions, defaults: ChatOptions) -> None:
        def mark() -> None:
            for field, shown in self._settings.items():
                shown.setting.mark(shown.value != getattr(defaults, field))

        def reset(field: str) -> None:
            self._settings[field].fill(getattr(defaults, field))

        self._settings = {}
        with Group(_("Sampling")):
            for dial in (*SAMPLING, MAX_TOKENS):
                value, on_reset = getattr(options, dial.field), partial(reset, dial.field)
                self._settings[dial.field] = DialSetting(dial, value, on_change=lambda _: mark(), on_reset=on_reset)
        with Group(_("Prompt")):
            self._prompt = SystemPrompt(
                self._presets,
                options.system_prompt,
                on_change=lambda _: mark(),
                on_reset=partial(reset, "system_prompt"),
                on_error=self._on_error,
            )
            self._settings["system_prompt"] = self._prompt
        mark()

    def _options(self, before: ChatOptions) -> ChatOptions:
        """A value that is not allowed, and a box that was emptied, leave what was set before."""
        values = before.model_dump()
        for field, shown in self._settings.items():
            if shown.is_allowed and (shown.value is not None or field in MAY_BE_EMPTY):
                values[field] = shown.value
        return ChatOptions.model_validate(values)
