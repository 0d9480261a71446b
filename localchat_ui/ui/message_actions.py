"""What the buttons of messages do."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

from nicegui import ui
from nicegui.events import GenericEventArguments

from localchat_ui.chat import ChatError, ChatService, ScoredToken
from localchat_ui.conversation import Conversation, Role
from localchat_ui.engine.base import EngineError
from localchat_ui.history.errors import HistoryError
from localchat_ui.i18n import _, translated
from localchat_ui.ui.components.composer import Composer
from localchat_ui.ui.components.message import MessageView
from localchat_ui.ui.components.message_log import MessageLog
from localchat_ui.ui.components.notices import Notices
from localchat_ui.ui.plain_text import plain_text


class MessageActions:
    """Acts on the `conversation` that is open when a button is pressed; what goes wrong is said in the `notices`."""

    def __init__(
        self,
        chat: ChatService,
        *,
        log: MessageLog,
        composer: Composer,
        notices: Notices,
        frame: ui.element,
        conversation: Callable[[], Conversation],
        before: Callable[[], Awaitable[None]],
        on_open: Callable[[str], Awaitable[None]],
    ) -> None:
        """`before` is awaited before anything is done; `on_open` gets the id of a conversation to go to.

        What a button does may remove the button; the `frame` stays.
        """
        self._chat = chat
        self._log = log
        self._composer = composer
        self._notices = notices
        self._frame = frame
        self._conversation = conversation
        self._before = before
        self._on_open = on_open
        log.on("act", self._act).on("save", self._save_edit)

    async def _act(self, event: GenericEventArguments) -> None:
        view = self._log.view(str(event.args["id"]))
        if view is None:
            return
        await self._before()
        with self._complaining():
            await self._do(str(event.args["action"]), view, event.args.get("target"))

    async def _do(self, action: str, view: MessageView, target: str | None) -> None:
        chat, conversation, message = self._chat, self._conversation(), view.message
        if action in ("copy", "copy-text"):
            text = message.text if action == "copy" else plain_text(message.text)
            ui.run_javascript(f"localchat.clipboard.deliver({json.dumps(text)})")
        elif action == "about":
            self._log.toggle_receipt(view)
        elif action in ("tokens", "token", "branch"):
            await self._do_with_tokens(action, view, target or "")
        elif action == "edit":
            self._log.edit(view, message.text)
        elif action == "retry":
            await chat.retry(conversation)
        elif action == "continue":
            await chat.continue_reply(conversation)
        elif action == "regenerate":
            await chat.regenerate(conversation, message.id)
        elif action in ("previous", "next") and target:
            await chat.select_version(conversation, target)
        elif action == "fork":
            await self._on_open((await chat.fork(conversation.id, message.id)).id)
        elif action == "take-back":
            await chat.take_back(conversation, message.id)
            self._composer.restore(message.text, message.attachments)
        elif action == "file" and target:
            self._composer.open_file(message.attachments[int(target)])
        elif action == "delete":
            await chat.delete_message(conversation, message.id)
            undo = partial(self._restore, conversation, message.id)
            self._notices.offer(_("Moved to the Trash."), _("Undo"), undo)

    async def _do_with_tokens(self, action: str, view: MessageView, target: str) -> None:
        """Show them, or the words again; tell what could have stood for one; go on from there."""
        chat, conversation, message_id = self._chat, self._conversation(), view.message.id
        if action == "tokens" and view.tokens:
            self._log.show_tokens(view, [])
        elif action == "tokens":
            self._log.await_tokens(view)
            tokens: list[ScoredToken] = []
            try:
                tokens = await chat.token_scores(conversation, message_id)
            finally:
                self._log.show_tokens(view, tokens)
        elif action == "token":
            self._log.show_alternatives(view, int(target))
        else:
            number, place = map(int, target.split(":"))
            opening = view.tokens[number].alternatives[place].opening or ""
            self._log.show_tokens(view, [])
            await chat.branch_reply(conversation, message_id, opening)

    async def _save_edit(self, event: GenericEventArguments) -> None:
        """Put an edited text in place of the message's; the text is kept whatever goes wrong."""
        message_id, text = str(event.args["id"]), str(event.args["text"])
        view = self._log.view(message_id)
        if view is None:
            self._notices.show(_("The message you edited is no longer here. Your text is in the message box."))
            self._composer.restore(text)
            return
        try:
            if view.message.role is Role.USER:
                await self._chat.edit_question(self._conversation(), message_id, text)
                ui.run_javascript("localchat.scrolling.toEnd()")
            else:
                await self._chat.edit_answer(self._conversation(), message_id, text)
        except (ChatError, HistoryError) as error:
            self._log.edit(view, text)
            self._notices.show(translated(error))
        else:
            self._notices.clear()

    async def _restore(self, conversation: Conversation, message_id: str) -> None:
        with self._complaining():
            await self._chat.restore_message(conversation, message_id)

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        """Tell what went wrong, and forget what went wrong before."""
        self._notices.clear()
        with self._frame:
            try:
                yield
            except (ChatError, HistoryError, EngineError) as error:
                self._notices.show(translated(error))
