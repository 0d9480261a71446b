"""The chat page, as a list of named sections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from nicegui import ui

from localchat_ui.access import AccessControl
from localchat_ui.chat import ChatError, ChatService, PromptView
from localchat_ui.conversation import Attachment, Conversation, Message
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.highlight import terms_of
from localchat_ui.history.presets import Presets
from localchat_ui.i18n import _, translated
from localchat_ui.inference import ModelRef, ModelRegistry
from localchat_ui.ui import design, icons
from localchat_ui.ui.branch import Branch, read_branch
from localchat_ui.ui.components.account_button import AccountButton
from localchat_ui.ui.components.composer import Composer
from localchat_ui.ui.components.context_dialog import ContextDialog
from localchat_ui.ui.components.conversation_list import PAGE_SIZE as LIST_PAGE_SIZE
from localchat_ui.ui.components.conversation_list import ConversationList
from localchat_ui.ui.components.element import icon_button, root_path
from localchat_ui.ui.components.help_dialog import HelpDialog
from localchat_ui.ui.components.load_dialog import LoadDialog
from localchat_ui.ui.components.message import prepare
from localchat_ui.ui.components.model_picker import ModelPicker, ModelProgress
from localchat_ui.ui.components.notices import Kind, Notices
from localchat_ui.ui.components.previews import answer_previews
from localchat_ui.ui.components.settings_panel import SettingsPanel
from localchat_ui.ui.components.starters import Starters
from localchat_ui.ui.components.status_line import StatusLine
from localchat_ui.ui.components.transcript import PAGE_SIZE, Transcript
from localchat_ui.ui.message_actions import MessageActions

TITLE = "LocalChat"
# After NiceGUI's 3 seconds a machine that is busy would answer with an error.
PATIENCE_SECONDS = 60


class ChatPage:
    """What one tab looks at. It subscribes, takes snapshots, and may vanish at any moment."""

    def __init__(
        self,
        chat: ChatService,
        models: ModelRegistry,
        presets: Presets,
        access: AccessControl,
        *,
        conversation: Conversation | None,
    ) -> None:
        """Nothing is drawn yet; that is what `build` is for."""
        self.is_stored = conversation is not None
        self.chat = chat
        self.models = models
        self.presets = presets
        self.access = access
        self.conversation = conversation or chat.new_conversation()
        self._syncing = asyncio.Lock()
        self._title = ""
        self._wanted: str | None = None
        self._root = root_path()
        self._is_gone = False
        self._defaults = chat.defaults.current
        self._n_reads = 0

    async def build(self, recent: Sequence[Conversation]) -> None:
        """Draw the page without its messages. Between its parts others have their turn."""
        chat, models = self.chat, self.models
        design.tell_browser(self.access.settings.max_body_mb)
        design.apply()
        with ui.element("div").classes("page") as frame:
            skip = ui.element("a").props("href=#message").classes("skip")
            skip.on("click", js_handler="(event) => { event.preventDefault(); localchat.page.box().focus(); }")
            with skip:
                ui.label(_("Skip to the message box"))
            self.notices = Notices(models)
            self.conversation_list = ConversationList(
                chat,
                recent,
                self.notices,
                on_open=self.open,
                on_reach=self.reach,
                on_delete=self._left,
            )
            await asyncio.sleep(0)
            with ui.element("div").classes("main"):
                self._header()
                with ui.element("main").classes("scroller").props("tabindex=-1"):
                    self.transcript = Transcript(models, on_earlier=self._show_earlier)
                with self.transcript.welcome:
                    Starters()
                await asyncio.sleep(0)
                with ui.element("section").classes("dock") as dock:
                    dock.props["aria-label"] = _("Message box")
                    latest = icon_button(icons.DOWN, _("Jump to latest")).classes("latest")
                    latest.on("click", js_handler="() => localchat.scrolling.toEnd()")
                    self.composer = Composer(
                        on_send=self._send,
                        on_stop=lambda: chat.stop(self.conversation.id),
                    )
                    self.status = StatusLine(models, on_context=self._context)
            self.context = ContextDialog(self._look_at_context)
            await asyncio.sleep(0)
            self.panel = SettingsPanel(chat, models, self.presets, self.conversation, notices=self.notices)
        MessageActions(
            chat,
            log=self.transcript.log,
            composer=self.composer,
            notices=self.notices,
            frame=frame,
            conversation=lambda: self.conversation,
            before=self.panel.save,
            on_open=self.open,
        )
        chat.conversation_changed.subscribe(self._on_conversation_changed)
        models.changed.subscribe(self._on_model_changed)
        answer_previews()
        ui.on("navigate", lambda event: self._navigate(event.args))
        ui.run_javascript("localchat.start.connected()")

    async def open(self, conversation_id: str | None, *, remember: bool = True, arrive: bool = True) -> None:
        """Show another conversation, or an empty one, without loading the page anew; the person goes there with it."""
        with self._complaining():
            await self._open(conversation_id, remember, arrive)

    async def _open(self, conversation_id: str | None, remember: bool, arrive: bool) -> None:
        self._wanted = conversation_id
        conversation = await self.chat.open(conversation_id) if conversation_id else None
        if self._wanted != conversation_id:
            return
        self.conversation = conversation or self.chat.new_conversation()
        self.is_stored = conversation is not None
        # At once, so that what is set from now on is for this conversation and not overwritten when it is drawn.
        self.panel.show(self.conversation)
        if remember:
            ui.navigate.history.push(self._root + (f"/c/{conversation.id}" if conversation else "/"))
        if conversation_id and conversation is None:
            self.say_that_it_is_gone()
        else:
            self.notices.clear()
        await self.sync()
        if arrive:
            ui.run_javascript("localchat.start.arrive()")

    async def reach(self, message_id: str, query: str = "") -> None:
        """Go to a message of the open conversation, however far up it stands, and mark what was searched for."""
        conversation_id = self.conversation.id
        with self._complaining():
            while self.transcript.log.view(message_id) is None and self.transcript.has_earlier:
                await self._read_earlier()
                if conversation_id != self.conversation.id:
                    return  # somebody opened another one meanwhile
        words = [term.text for term in terms_of(query)]
        ui.run_javascript(f"localchat.scrolling.reach({json.dumps(message_id)}, {json.dumps(words)})")

    async def sync(self) -> None:
        """Show what the conversation is now; cheap when little has changed."""
        async with self._syncing:
            conversation = self.conversation
            branch = await read_branch(self.chat, conversation.id, self.transcript.limit)
            if conversation is self.conversation:
                self.show(branch)

    def show(self, branch: Branch) -> None:
        """Draw what was just read, and follow the reply from there."""
        messages, versions, reply = branch
        self.transcript.show(messages, versions, reply)
        self.composer.show_writing(reply is not None)
        self.status.watch(messages, reply)
        self.panel.show(self.conversation)
        self.conversation_list.select(self.conversation.id)
        title = self.conversation.title
        self.transcript.name(title)
        shown = f"{title} · {TITLE}" if title else TITLE
        # Once: the browser marks it while a reply waits to be read.
        if shown != self._title:
            self._title = shown
            ui.page_title(shown)

    def say_that_it_is_gone(self) -> None:
        self.notices.show(_("This conversation was not found. It may have been deleted."))
        ui.navigate.history.replace(f"{self._root}/")

    def _header(self) -> None:
        with ui.element("header").classes("header"):
            icon_button(icons.MENU, _("Conversation list"), controls="conversations")
            ModelPicker(
                self.models,
                on_choose=self._on_choose_model,
                on_failed=self.notices.show_model_error,
                on_error=self._complain,
            )
            LoadDialog(self.models, on_failed=self.notices.show_model_error)
            ui.element("div").classes("grow")
            # Only there while the list, which has one too, is not.
            icon_button(icons.NEW, _("New chat"), partial(self.open, None)).classes("begin")
            HelpDialog()
            AccountButton(self.access)
            icon_button(icons.SETTINGS, _("Settings"), controls="settings")
            ModelProgress(self.models)

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        """Tell that something could not be read; what stands here stays."""
        try:
            yield
        except HistoryError as error:
            self.notices.show(translated(error))

    def _complain(self, error: str) -> None:
        self.notices.show(error)

    def _on_choose_model(self, model: ModelRef) -> None:
        writes = self.models.current
        if writes is not None and self.chat.is_writing(self.conversation.id):
            text = _("This reply finishes with {writing}. {chosen} answers from the next message on.")
            self.notices.show(text.format(writing=writes.name, chosen=model.name), Kind.INFO)

    async def _send(self, text: str, files: Sequence[Attachment]) -> None:
        await self.panel.save()
        try:
            await self.chat.send(self.conversation, text, attachments=files, queue=True)
        except (ChatError, HistoryError) as error:
            self.composer.restore(text, files)
            self.notices.clear()
            self.notices.show(translated(error))
            return
        self.notices.clear()
        ui.run_javascript("localchat.scrolling.toEnd()")

    async def _show_earlier(self) -> None:
        with self._complaining():
            await self._read_earlier()

    async def _read_earlier(self) -> None:
        first = self.transcript.first_id
        async with self._syncing:
            if first is None or first != self.transcript.first_id:
                return
            messages = await self.chat.earlier(self.conversation.id, first, PAGE_SIZE)
            versions = await self.chat.versions(messages)
            await prepare(messages)
            if first == self.transcript.first_id:
                self.transcript.show_earlier(messages, versions)

    async def _context(self) -> None:
        await self.panel.save()
        await self.context.open()

    async def _look_at_context(self) -> tuple[Sequence[Message], PromptView]:
        messages, _reply = await self.chat.messages(self.conversation.id)
        return messages, await self.chat.preview(self.conversation)

    async def _on_conversation_changed(self, conversation_id: str) -> None:
        if conversation_id == self.conversation.id:
            with self._complaining():
                await self._follow(conversation_id)

    def _on_model_changed(self) -> None:
        """Another model may want other defaults: what nobody has touched begins with these."""
        defaults = self.chat.defaults.current
        if defaults == self._defaults:
            return
        self._defaults = defaults
        if not self.is_stored:
            self.conversation = replace(self.conversation, options=defaults)
        self.panel.show(self.conversation)

    async def _follow(self, conversation_id: str) -> None:
        self._n_reads += 1
        ticket = self._n_reads
        conversation = await self.chat.open(conversation_id)
        if conversation_id != self.conversation.id or ticket != self._n_reads:
            return  # somebody opened another one meanwhile, or it is read anew
        if conversation is not None:
            self.conversation = conversation
            if not self.is_stored:
                ui.navigate.history.replace(f"{self._root}/c/{conversation_id}")
                ui.run_javascript(f"localchat.drafts.settle({json.dumps(self._root + '/')})")
            self.is_stored = True
            if self._is_gone:
                self.notices.clear()
            self._is_gone = False
        elif self.is_stored:
            self._is_gone = True
            self.notices.show(_("This conversation was deleted elsewhere. You can still read and copy what is here."))
            return
        await self.sync()

    async def _left(self, conversation_id: str) -> None:
        if conversation_id == self.conversation.id:
            await self.open(None, arrive=False)  # the person stays at the list, where Undo is

    async def _navigate(self, path: str) -> None:
        page = path.removeprefix(self._root)
        await self.open(page.removeprefix("/c/") if page.startswith("/c/") else None, remember=False)


def register(chat: ChatService, models: ModelRegistry, presets: Presets, access: AccessControl) -> None:
    """The routes `/` and `/c/{conversation_id}`."""

    one_at_a_time = asyncio.Lock()

    async def open_page(conversation_id: str | None) -> ChatPage:
        # Everything is read before the page is sent, so that it arrives with its messages in it.
        await chat.defaults.read()
        # Many pages at once, each part by part, would leave nobody else a turn.
        async with one_at_a_time:
            recent = await chat.conversations(LIST_PAGE_SIZE + 1)
            conversation = await chat.open(conversation_id) if conversation_id else None
            page = ChatPage(chat, models, presets, access, conversation=conversation)
            await page.build(recent)
            if conversation:
                await page.sync()
            else:
                page.show(Branch([], {}, None))
        return page

    @ui.page("/", response_timeout=PATIENCE_SECONDS)
    async def start_page() -> None:
        await open_page(None)

    @ui.page("/c/{conversation_id}", response_timeout=PATIENCE_SECONDS)
    async def conversation_page(conversation_id: str) -> None:
        page = await open_page(conversation_id)
        if not page.is_stored:
            page.say_that_it_is_gone()
