"""The system prompt of a conversation, and the saved ones to choose from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from html import escape
from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from localchat_ui.conversation import PRESET_NAME_LENGTH, SYSTEM_PROMPT_LENGTH, ChatOptions, Preset
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.presets import Presets
from localchat_ui.i18n import _, translated
from localchat_ui.ui import icons
from localchat_ui.ui.components.dialog import Dialog
from localchat_ui.ui.components.element import OPTIONS_ALONE, hint_of, text_button
from localchat_ui.ui.components.setting import Setting

UNDO_SECONDS = 10
NOTHING = """<q-item><q-item-section>{nothing}</q-item-section></q-item>"""

# Hands over the name; Enter that ends a composition is not meant.
ENTER = """(event) => {
  if (event.key === "Enter" && !event.isComposing && event.keyCode !== 229) emit(event.target.value);
}"""


class SystemPrompt:
    """A preset fills the box and is shown as chosen for as long as the box says the same."""

    def __init__(
        self,
        presets: Presets,
        text: str,
        *,
        on_change: Callable[[ValueChangeEventArguments[Any]], None],
        on_reset: Callable[[], None],
        on_error: Callable[[str], None],
    ) -> None:
        self._store = presets
        self._on_error = on_error
        self._presets: dict[str, str] = {}
        self._chosen: str | None = None
        self._drawn: object = None
        self._before: Preset | None = None
        self._reading = asyncio.Lock()
        self._undo_timer: ui.timer | None = None
        hint = translated(ChatOptions.model_fields["system_prompt"].description or "")
        self.setting = Setting(_("System prompt"), on_reset=on_reset, words=f"{hint} {_('presets')}")
        with self.setting.body:
            self._select = self._draw_select()
            self.box = ui.textarea(value=text, on_change=on_change)
            self.box.props("outlined dense rows=5 dir=auto").classes("system-prompt")
            self.box.props["aria-label"] = _("System prompt")
            self.box.on_value_change(self._draw)
            hint_of(self.box, hint)
            with ui.element("div").classes("preset-actions"):
                save = text_button(_("Save as preset…"))
                self._delete_button = text_button(_("Delete preset"), self._delete)
            # It stands there from the start, or what appears in it is not read out.
            with ui.element("div").props("role=status"), ui.element("div").classes("undo") as self._outcome:
                self._outcome_text = ui.label()
                self._undo_button = text_button(_("Undo"), self._undo)
            for button in (self._delete_button, self._undo_button):
                # They go away when they are pressed; the focus stays nearby.
                button.on("click", js_handler=f"() => getHtmlElement({save.id}).focus()")
            self._dialog = Dialog(_("Save as preset"), close=_("Close without saving"))
            self._dialog.open_with(save)
            with self._dialog.body:
                self._draw_form()
        self.setting.focus_after_reset(self.box)
        self._outcome.set_visibility(False)
        self._draw()

    @property
    def value(self) -> str:
        return self.box.value or ""

    @property
    def is_allowed(self) -> bool:
        return len(self.value) <= SYSTEM_PROMPT_LENGTH

    def fill(self, text: str) -> None:
        self.box.set_value(text)

    async def refresh(self) -> None:
        """Read the presets anew; another tab may have changed them."""
        async with self._reading:  # what was read last is shown last
            try:
                presets = await self._store.all()
            except HistoryError as error:
                self._on_error(translated(error))
                return
            self._presets = {preset.name: preset.text for preset in presets}
        if not self._select.is_deleted:
            self._draw()

    def _draw_select(self) -> ui.select:
        select = ui.select(options=[], on_change=self._choose).classes("preset")
        select.props('outlined dense options-dense behavior=menu popup-content-class="preset-popup"')
        select.props["dropdown-icon"] = icons.CHEVRON
        select.props["aria-label"] = _("Preset")
        select.add_slot("no-option", NOTHING.format(nothing=escape(_("No presets yet. Save the prompt below as one."))))
        select.on("popup-show", self.refresh)
        select.on("popup-show", js_handler=OPTIONS_ALONE)
        return select

    def _draw_form(self) -> None:
        ui.label(_("Name")).classes("caption")
        self._name = ui.input().props(f"outlined dense autofocus maxlength={PRESET_NAME_LENGTH}")
        self._name.props["aria-label"] = _("Preset name")
        self._name.on("keydown", lambda event: self._save(str(event.args)), js_handler=ENTER)
        self._name.on_value_change(lambda: setattr(self._name, "error", None))
        hint_of(self._name, _("Replaces a preset that has the same name."))
        with ui.element("div").classes("dialog-actions"):
            text_button(_("Save preset"), lambda: self._save(self._name.value or ""), primary=True)

    def _draw(self) -> None:
        """Show the presets, and which of them the box holds."""
        if self._presets.get(self._chosen or "") != self.box.value:
            same = (name for name, text in self._presets.items() if text == self.box.value)
            self._chosen = next(same, None)
        drawn = (list(self._presets), self._chosen)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        if self._chosen is None:
            self._select.props["display-value"] = _("Choose a preset")
        else:
            self._select.props.pop("display-value", None)
            self._name.set_value(self._chosen)  # whoever changes the text can save it under the same name
        self._select.set_options(list(self._presets), value=self._chosen)
        self._delete_button.set_visibility(self._chosen is not None)

    def _choose(self, event: ValueChangeEventArguments[Any]) -> None:
        if event.value in self._presets and event.value != self._chosen:
            self._chosen = event.value
            self.box.set_value(self._presets[event.value])

    async def _save(self, name: str) -> None:
        name = name.strip()
        text = self.box.value or ""
        await self.refresh()  # another tab may have used the name meanwhile
        before = self._presets.get(name)
        try:
            await self._store.save(name, text)
        except HistoryError as error:
            self._name.error = translated(error)
            return
        self._dialog.close()
        self._chosen = name
        await self.refresh()
        if before is None or before == text:
            self._tell(_("“{name}” was saved.").format(name=name))
        else:
            self._tell(_("“{name}” was replaced.").format(name=name), Preset(name=name, text=before))

    async def _delete(self) -> None:
        if self._chosen is None:
            return
        preset = Preset(name=self._chosen, text=self._presets[self._chosen])
        if await self._done(self._store.delete(preset.name)):
            self._tell(_("“{name}” was deleted.").format(name=preset.name), preset)

    async def _undo(self) -> None:
        if self._before is not None and await self._done(self._store.save(self._before.name, self._before.text)):
            self._tell(_("“{name}” was restored.").format(name=self._before.name))

    async def _done(self, change: Awaitable[None]) -> bool:
        try:
            await change
        except HistoryError as error:
            self._on_error(translated(error))
            return False
        await self.refresh()
        return True

    def _tell(self, text: str, before: Preset | None = None) -> None:
        """Say what was done for a while, and offer to bring back what was before."""
        if self._undo_timer is not None:
            self._undo_timer.cancel()
        self._before = before
        self._outcome_text.set_text(text)
        self._undo_button.set_visibility(before is not None)
        self._outcome.set_visibility(True)
        with self.setting.body:
            self._undo_timer = ui.timer(UNDO_SECONDS, lambda: self._outcome.set_visibility(False), once=True)
