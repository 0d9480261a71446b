"""The page of one comparison: set up, asked, and voted on if it is blind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nicegui import ui

from localchat_ui.access import AccessControl
from localchat_ui.chat import ChatError, ComparisonService
from localchat_ui.chat.comparisons import other_settings
from localchat_ui.comparison import MAX_COLUMNS, MIN_COLUMNS, Choice, Column, Comparison
from localchat_ui.conversation import Attachment, ChatOptions, Conversation
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.presets import Presets
from localchat_ui.i18n import _, translated
from localchat_ui.inference import ModelRegistry
from localchat_ui.ui import design, icons
from localchat_ui.ui.compare.column_actions import ColumnActions
from localchat_ui.ui.compare.column_settings import ColumnSettings
from localchat_ui.ui.compare.column_view import ColumnHandlers, ColumnView, place_of
from localchat_ui.ui.compare.model_select import chat_models
from localchat_ui.ui.compare.recent import RecentComparisons
from localchat_ui.ui.compare.vote_bar import VoteBar
from localchat_ui.ui.components.composer import Composer
from localchat_ui.ui.components.element import icon_button, one_press, root_path, text_button
from localchat_ui.ui.components.help_dialog import HelpDialog
from localchat_ui.ui.components.notices import Kind, Notices
from localchat_ui.ui.components.previews import answer_previews
from localchat_ui.ui.page_layout import link

STYLE = design.ROOM / "compare" / "compare.css"


class ComparePage:
    """What one tab looks at. It subscribes, takes snapshots, and may vanish at any moment."""

    def __init__(
        self,
        service: ComparisonService,
        models: ModelRegistry,
        presets: Presets,
        access: AccessControl,
        comparison: Comparison,
    ) -> None:
        """Nothing is drawn yet; that is what `build` is for."""
        self.service = service
        self.models = models
        self.presets = presets
        self.access = access
        self.comparison = comparison
        self.views: list[ColumnView] = []
        self._syncing = asyncio.Lock()
        self._drawn: object = None
        self._root = root_path()

    def build(self, recent: Sequence[Comparison]) -> None:
        design.tell_browser(self.access.settings.max_body_mb)
        design.apply()
        ui.add_css(STYLE.read_text(encoding="utf-8"))
        with ui.element("div").classes("page compare") as self.frame:
            self.notices = Notices(self.models)
            with ui.element("div").classes("main"):
                self._header()
                with ui.element("main").classes("scroller").props("tabindex=-1"), ui.element("div"):
                    self.grid = ui.element("div").classes("compare-grid")
                    with ui.element("div").classes("compare-start") as self.start:
                        self._tools()
                        RecentComparisons(self.service, recent, self.notices)
                with ui.element("section").classes("dock") as dock:
                    dock.props["aria-label"] = _("Message box")
                    latest = icon_button(icons.DOWN, _("Jump to latest")).classes("latest")
                    latest.on("click", js_handler="() => localchat.scrolling.toEnd()")
                    self.vote_bar = VoteBar(one_press(self._vote))
                    self.composer = Composer(on_send=self._send, on_stop=self._stop)
                    self.promise = ui.label().classes("compare-promise")
            self.settings = ColumnSettings(self.presets, on_error=self.notices.show)
        self.service.changed.subscribe(self._on_changed)
        self.service.chat.conversation_changed.subscribe(self._on_conversation_changed)
        answer_previews()
        ui.run_javascript("localchat.start.connected()")
        self._draw()

    def _header(self) -> None:
        with ui.element("header").classes("header"):
            link(icons.BACK, _("Chat"), "/").classes("back").props["aria-label"] = _("Back to the chat")
            with ui.element("h1"):
                ui.label(_("Compare"))
            ui.element("div").classes("grow")
            self.keep = ui.button(
                _("Keep as conversation"), icon=icons.FORK, on_click=one_press(self._keep), color=None
            )
            self.keep.props("flat no-caps").classes("page-link")
            self.again = link(icons.NEW, _("New comparison"), "/compare")
            results = link(icons.CHART, _("Results"), "/compare/results")
            for button in (self.keep, self.again, results):
                # On a phone only their icons have room.
                button.props["aria-label"] = button.props["title"] = button.text
            HelpDialog()

    def _tools(self) -> None:
        """What a comparison is set up with."""
        with ui.element("div").classes("compare-tools"):
            self.same = text_button(_("Same model, other settings"), self._same_model)
            self.add = text_button(_("Add column"), self._add)
            self.blind = ui.checkbox(_("Blind duel"), value=self.comparison.blind, on_change=self._set_blind)
        ui.label(
            _(
                "Write one prompt below. All columns answer it, side by side."
                " In a blind duel the names of two models are hidden and shuffled until you have voted."
            )
        ).classes("page-hint")

    # Drawing

    def _draw(self) -> None:
        """Draw the columns anew when there are others, or others may be told their names."""
        comparison = self.comparison
        drawn = ([id(column) for column in comparison.columns], bool(comparison.title), comparison.is_secret)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        for view in self.views:
            view.leave()
        self.grid.clear()
        self.grid.style(f"--columns: {len(comparison.columns)}")
        handlers = ColumnHandlers(self._choose, self._open_settings, self._remove)
        with self.grid:
            self.views = [
                ColumnView(self.service, self.models, comparison, column, handlers) for column in comparison.columns
            ]
        for view in self.views:
            ColumnActions(
                self.service,
                comparison,
                view.column,
                log=view.log,
                composer=self.composer,
                notices=self.notices,
                frame=self.frame,
                on_open=self._open_conversation,
            )
        begun = bool(comparison.title)
        self.start.set_visibility(not begun)
        self.again.set_visibility(begun)
        self.same.set_visibility(len(comparison.columns) == MIN_COLUMNS)
        self.add.set_visibility(len(comparison.columns) < MAX_COLUMNS and not comparison.blind)
        self.keep.set_visibility(False)
        self._draw_promise()
        ui.page_title(f"{comparison.title or _('Compare')} · LocalChat")

    def _draw_promise(self) -> None:
        places = sorted({place for column in self.comparison.columns if (place := self._place(column))})
        hidden = _("What you write leaves this machine.")
        text = _("What you write is sent to: {places}").format(places=", ".join(places))
        self.promise.set_text((hidden if self.comparison.is_secret else text) if places else "")

    def _place(self, column: Column) -> str:
        model = self.service.model_of(column)
        return model.engine if model and model.leaves_machine and place_of(model) else ""

    async def sync(self) -> None:
        """Show what all columns say now."""
        async with self._syncing:
            self._draw()
            for view in self.views:
                await view.sync()
            running = self.service.runs.is_running(self.comparison)
            self.composer.show_writing(running)
            self.keep.set_visibility(bool(self.comparison.title) and not self.comparison.is_secret and not running)
            self.vote_bar.show(await self.service.may_vote(self.comparison))

    async def _on_changed(self, comparison_id: str) -> None:
        if comparison_id != self.comparison.id:
            return
        with self._complaining():
            if self.comparison.is_secret:
                # Somebody may have voted in another tab.
                stored = await self.service.comparisons.get(comparison_id)
                self.comparison.vote = stored.vote if stored else None
            await self.sync()

    async def _on_conversation_changed(self, conversation_id: str) -> None:
        view = next((view for view in self.views if view.column.conversation.id == conversation_id), None)
        if view is not None:
            with self._complaining():
                await view.sync()

    # Setting up

    def _choose(self, column: Column, model: str) -> None:
        column.model = model
        self._show_set_up()

    async def _open_settings(self, column: Column) -> None:
        view = next(view for view in self.views if view.column is column)
        title = _("Settings of {letter}").format(letter=view.letter)

        async def close(options: ChatOptions) -> None:
            if options != column.options:
                with self._complaining():
                    await self.service.set_options(self.comparison, column, options)
                    self._show_set_up()

        with self.frame:
            await self.settings.open(title, column.options, self.service.chat.defaults.current, close)

    def _same_model(self) -> None:
        """The second column becomes the first one's model with another temperature."""
        columns = self.comparison.columns
        columns[1] = other_settings(columns[0])
        self._rebuild(1)

    def _add(self) -> None:
        columns = self.comparison.columns
        taken = {column.model for column in columns}
        usable = [model for model in chat_models(self.models) if model.refusal is None]
        model = next((model.id for model in usable if model.id not in taken), None)
        options = columns[0].options
        columns.append(Column(model, Conversation(options=options)) if model else other_settings(columns[-1]))
        self._rebuild(len(columns) - 1)

    def _remove(self, column: Column) -> None:
        self.comparison.columns.remove(column)
        self._rebuild(len(self.comparison.columns) - 1)

    def _set_blind(self, event: Any) -> None:
        self.comparison.blind = bool(event.value)
        if self.comparison.blind:
            del self.comparison.columns[MIN_COLUMNS:]
        self._drawn = None
        self._draw()
        self._show_set_up()

    def _rebuild(self, focus: int) -> None:
        self._draw()
        self.views[focus].focus()
        self._show_set_up()

    def _show_set_up(self) -> None:
        for view in self.views:
            view.show_note()
        self._draw_promise()
        self._later(self._remember)

    async def _remember(self) -> None:
        if not self.comparison.title:
            await self.service.remember(self.comparison.columns)

    def _later(self, work: Callable[[], Any]) -> None:
        async def run() -> None:
            with self._complaining():
                await work()

        with self.frame:
            ui.timer(0, run, once=True)

    # Asking, and what comes of it

    async def _send(self, text: str, files: Sequence[Attachment]) -> None:
        first = not self.comparison.title
        self.notices.clear()
        try:
            await self.service.ask(self.comparison, text, files)
        except (ChatError, HistoryError) as error:
            self.composer.restore(text, files)
            self.notices.show(translated(error))
            return
        if first:
            ui.navigate.history.replace(f"{self._root}/compare/{self.comparison.id}")
            ui.run_javascript(f"localchat.drafts.settle({json.dumps(self._root + '/compare')})")
        ui.run_javascript("localchat.scrolling.toEnd()")

    def _stop(self) -> None:
        self.service.runs.stop(self.comparison)

    async def _vote(self, choice: Choice) -> None:
        with self._complaining():
            await self.service.vote(self.comparison, choice)
            self.notices.show(_("Your vote is saved."), Kind.SUCCESS, label=_("Results"), action=self._open_results)
            ui.run_javascript("localchat.page.box().focus()")

    async def _keep(self) -> None:
        with self._complaining():
            kept = await self.service.keep(self.comparison)
            await self._open_conversation(kept.id)

    async def _open_results(self) -> None:
        ui.navigate.to("/compare/results")

    async def _open_conversation(self, conversation_id: str) -> None:
        ui.navigate.to(f"/c/{conversation_id}")

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        """Tell what went wrong."""
        with self.frame:
            try:
                yield
            except (ChatError, HistoryError) as error:
                self.notices.show(translated(error))


def register(service: ComparisonService, models: ModelRegistry, presets: Presets, access: AccessControl) -> None:
    """The routes /compare and /compare/{comparison_id}."""

    @ui.page("/compare", response_timeout=60)
    async def new_page() -> None:
        await service.chat.defaults.read()
        page = ComparePage(service, models, presets, access, await service.new())
        page.build(await service.comparisons.recent(RecentComparisons.LIMIT))

    @ui.page("/compare/{comparison_id}", response_timeout=60)
    async def comparison_page(comparison_id: str) -> None:
        await service.chat.defaults.read()
        found = await service.comparisons.get(comparison_id)
        page = ComparePage(service, models, presets, access, found or await service.new())
        page.build([] if found else await service.comparisons.recent(RecentComparisons.LIMIT))
        if found:
            await page.sync()
        else:
            page.notices.show(_("This comparison was not found. It may have been deleted."))
            ui.navigate.history.replace(f"{root_path()}/compare")
