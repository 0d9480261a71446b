"""The settings: of the conversation that is open, which apply from the next token on, and of this device."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nicegui import background_tasks, ui
from nicegui.events import ValueChangeEventArguments

from localchat_ui.chat import ChatService
from localchat_ui.conversation import ChatOptions, Conversation
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.presets import Presets
from localchat_ui.i18n import _, translated
from localchat_ui.inference import ModelRegistry
from localchat_ui.ui import icons
from localchat_ui.ui.components.defaults import Defaults
from localchat_ui.ui.components.dial import MAX_TOKENS, SAMPLING, THINKING_BUDGET, Dial, DialSetting
from localchat_ui.ui.components.element import icon_button
from localchat_ui.ui.components.look_settings import LookSettings
from localchat_ui.ui.components.model_facts import ModelFacts
from localchat_ui.ui.components.notices import Notices
from localchat_ui.ui.components.setting import Group
from localchat_ui.ui.components.system_prompt import SystemPrompt
from localchat_ui.ui.components.thinking_settings import ThinkingSettings
from localchat_ui.ui.components.title_setting import TitleSetting

SAVE_SECONDS = 0.3
# Boxes that may be empty; others keep what they had.
MAY_BE_EMPTY = ("seed", "thinking_budget")


class SettingsPanel:
    """Filled when it is opened for the first time: most pages are closed without that."""

    def __init__(
        self,
        chat: ChatService,
        models: ModelRegistry,
        presets: Presets,
        conversation: Conversation,
        *,
        notices: Notices,
    ) -> None:
        self._chat = chat
        self._models = models
        self._presets = presets
        self._notices = notices
        self._conversation = conversation
        self._settings: dict[str, DialSetting | SystemPrompt] = {}
        self._groups: list[Group] = []
        self._titles: TitleSetting | None = None
        self._filling = False
        self._saving: asyncio.TimerHandle | None = None
        self._n_storing = 0
        with ui.element("aside").classes("panel").props("id=settings") as panel:
            panel.props["aria-label"] = _("Settings")
            with ui.element("div").classes("panel-title"):
                with ui.element("h2"):
                    ui.label(_("Settings"))
                icon_button(icons.CLOSE, _("Close settings"), controls="settings")
            self._body = ui.element("div")
        panel.on("open", self._open, args=[])

    def show(self, conversation: Conversation) -> None:
        """Show the settings of this conversation, unless somebody is just changing them."""
        if conversation.id == self._conversation.id and (self._saving is not None or self._n_storing):
            return
        changed = self._take_change()
        if changed is not None:
            background_tasks.create(self._store(*changed), name="save settings")
        before, self._conversation = self._conversation, conversation
        if self._settings:
            self._fill(conversation.options, before.options if before.id == conversation.id else None)
            self._defaults.show()

    async def save(self) -> None:
        """Save what was changed a moment ago, if anything was."""
        changed = self._take_change()
        if changed is not None:
            await self._store(*changed)

    async def _open(self) -> None:
        if not self._settings:
            with self._body:
                self._draw()
            self._mark()
            await self._prompt.refresh()
            if self._titles is not None:
                await self._titles.refresh()

    def _draw(self) -> None:
        search = ui.input(placeholder=_("Search settings"), on_change=lambda event: self._find(event.value or ""))
        search.props("outlined dense type=search clearable debounce=100").classes("settings-search")
        search.props["aria-label"] = _("Search settings")
        with self._group(_("Model")) as group:
            group.add(ModelFacts(self._models).setting)
            self._dial(group, MAX_TOKENS)
            self._draw_thinking(group)
            if self._chat.titles is not None:
                self._titles = TitleSetting(self._chat.titles, on_error=self._notices.show)
                group.add(self._titles.setting)
        with self._group(_("Sampling")) as group:
            for dial in SAMPLING:
                self._dial(group, dial)
        # NOTE: a group of settings, about the system prompt
        with self._group(_("Prompt")) as group:
            self._prompt = SystemPrompt(
                self._presets,
                self._conversation.options.system_prompt,
                on_change=self._on_change,
                on_reset=self._resetting("system_prompt"),
                on_error=self._notices.show,
            )
            self._settings["system_prompt"] = self._prompt
            group.add(self._prompt.setting)
        # NOTE: a group of settings, about how the page looks
        with self._group(_("Look")) as group:
            for setting in LookSettings().settings:
                group.add(setting)
        self._nothing = ui.label(_("No setting matches.")).classes("hint").props("role=status")
        self._nothing.set_visibility(False)
        self._defaults = Defaults(
            self._chat.defaults,
            options=lambda: self._options() if self._is_allowed else None,
            on_reset=self._reset,
            on_change=self._mark,
            on_error=self._notices.show,
        )

    def _group(self, title: str) -> Group:
        self._groups.append(Group(title))
        return self._groups[-1]

    def _dial(self, group: Group, dial: Dial) -> None:
        value = getattr(self._conversation.options, dial.field)
        shown = DialSetting(dial, value, on_change=self._on_change, on_reset=self._resetting(dial.field))
        self._settings[dial.field] = shown
        group.add(shown.setting)

    def _draw_thinking(self, group: Group) -> None:
        with ui.element("div") as before_the_budget:
            pass
        self._dial(group, THINKING_BUDGET)
        with before_the_budget:
            self._thinking = ThinkingSettings(
                self._models,
                self._conversation.options,
                budget=self._settings[THINKING_BUDGET.field].setting,
                defaults=lambda: self._chat.defaults.current,
                on_change=self._on_change,
            )
        for setting in self._thinking.settings:
            group.add(setting)

    def _find(self, query: str) -> None:
        found = [group.find(query) for group in self._groups]
        self._nothing.set_visibility(not any(found))
        self._defaults.section.set_visibility(not query.strip())

    def _fill(self, options: ChatOptions, before: ChatOptions | None = None) -> None:
        """Show these; what is as it was `before` stays untouched, a value that is not allowed with it."""
        self._filling = True
        for field, shown in self._settings.items():
            value = getattr(options, field)
            if before is None or value != getattr(before, field):
                shown.fill(value)
        self._thinking.fill(options)
        self._filling = False
        self._mark()

    def _mark(self) -> None:
        """Show what differs from what a new chat starts with."""
        defaults = self._chat.defaults.current
        for field, shown in self._settings.items():
            value = getattr(defaults, field)
            shown.setting.mark(shown.value != value and (shown.value is not None or field in MAY_BE_EMPTY))
        self._thinking.mark()
        for group in self._groups:
            group.count()

    def _resetting(self, field: str) -> Callable[[], None]:
        return lambda: self._settings[field].fill(getattr(self._chat.defaults.current, field))

    def _reset(self) -> None:
        self._fill(self._chat.defaults.current)
        self._on_change()

    def _on_change(self, _event: ValueChangeEventArguments[Any] | None = None) -> None:
        if self._filling:
            return
        self._mark()
        if self._saving is not None:
            self._saving.cancel()
        self._saving = asyncio.get_running_loop().call_later(
            SAVE_SECONDS, lambda: background_tasks.create(self.save(), name="save settings")
        )

    def _take_change(self) -> tuple[Conversation, ChatOptions] | None:
        """What waits to be saved, and for which conversation; it waits no longer then."""
        if self._saving is None:
            return None
        self._saving.cancel()
        self._saving = None
        options = self._options()
        if options == self._conversation.options:
            return None
        self._conversation.options = options
        return self._conversation, options

    @property
    def _is_allowed(self) -> bool:
        return all(shown.is_allowed for shown in self._settings.values())

    def _options(self) -> ChatOptions:
        """What is set. A value that is not allowed, and a box that was emptied, leave what was set before."""
        values = self._conversation.options.model_dump()
        for field, shown in self._settings.items():
            if shown.is_allowed and (shown.value is not None or field in MAY_BE_EMPTY):
                values[field] = shown.value
        return ChatOptions.model_validate(values | self._thinking.values)

    async def _store(self, conversation: Conversation, options: ChatOptions) -> None:
        self._n_storing += 1
        try:
            await self._chat.set_options(conversation, options)
        except HistoryError as error:
            with self._body:
                text = _("The settings could not be saved: {error}").format(error=translated(error))
            self._notices.show(text)
        finally:
            self._n_storing -= 1
