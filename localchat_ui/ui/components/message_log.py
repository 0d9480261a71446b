"""The messages of a conversation, as one element of the page: the server says what changed, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from localchat_ui.chat import Reply, ScoredToken
from localchat_ui.conversation import Message, Role, Version
from localchat_ui.i18n import _
from localchat_ui.text import N_
from localchat_ui.ui.components import message_footer
from localchat_ui.ui.components.element import SelfDrawn
from localchat_ui.ui.components.message import MessageView, Operation


class MessageLog(SelfDrawn, component="message_log.js"):
    """Messages of one branch, of which those that stay are left alone, so that a long one costs nothing as it grows.

    Emits `act` with the name of an action, the id of its message and sometimes a `target`; and `save` with the id and
    the new text of a message that was edited.
    """

    def __init__(
        self, label: str = N_("Conversation"), footer_options: message_footer.FooterOptions = message_footer.CHAT
    ) -> None:
        super().__init__()
        self._footer_options = footer_options
        self.views: list[MessageView] = []
        self.is_busy = False
        self._first_seen: str | None = None
        menu = [(action, _(name)) for action, name in message_footer.MENU.items()]
        self.keep(first=[], menu=menu, label=_(label), menuId=footer_options.menu_id)
        self._is_first = True

    def view(self, message_id: str) -> MessageView | None:
        return next((view for view in self.views if view.message.id == message_id), None)

    def show(self, messages: Sequence[Message], versions: Mapping[str, Version], reply: Reply | None) -> None:
        """Show these messages and no others; one of them follows the reply being written, if any."""
        last = next((message.stats for message in reversed(messages) if message.stats), None)
        self._first_seen = reply.first_seen_id if reply and reply.stream else last.first_seen_id if last else None
        self.is_busy = reply is not None
        self._change([*self._show(messages, versions, reply), ("busy", self.is_busy), self._unseen()])

    def show_above(self, messages: Sequence[Message], versions: Mapping[str, Version]) -> None:
        """Put messages above those that are shown."""
        self.views[:0] = [self._view_of(message) for message in messages]
        puts = [
            self._put(place, versions.get(message.id), None, is_last=False) for place, message in enumerate(messages)
        ]
        self._change([*puts, self._unseen()])

    def toggle_receipt(self, view: MessageView) -> None:
        self._change(list(view.toggle_receipt()))

    def show_tokens(self, view: MessageView, tokens: list[ScoredToken]) -> None:
        self._change(list(view.show_tokens(tokens)))

    def await_tokens(self, view: MessageView) -> None:
        self._change(list(view.await_tokens()))

    def show_alternatives(self, view: MessageView, number: int) -> None:
        self._change(list(view.show_alternatives(number)))

    def edit(self, view: MessageView, text: str) -> None:
        """Put a box with this text in place of a message's words."""
        self.run_method("edit", view.message.id, text, view.message.role is Role.USER)

    def _change(self, operations: Sequence[Operation]) -> None:
        """Draw what changed. What comes first is part of the page itself, and the browser's copy goes on from there."""
        if self._is_first:
            self._is_first = False
            self.keep(first=list(operations))
        elif operations:
            self.run_method("change", operations)

    def _show(
        self, messages: Sequence[Message], versions: Mapping[str, Version], reply: Reply | None
    ) -> Iterator[Operation]:
        kept = 0
        for view, message in zip(self.views, messages, strict=False):
            if view.message.id != message.id:
                break
            kept += 1
        for view in self.views[kept:]:
            view.leave()
            yield ("drop", view.message.id)
        self.views[kept:] = [self._view_of(message) for message in messages[kept:]]
        for place, message in enumerate(messages):
            version, is_last = versions.get(message.id), place == len(messages) - 1
            growing = reply if reply is not None and reply.message.id == message.id else None
            if place < kept:
                yield from self.views[place].show(message, growing, version, is_last=is_last)
            else:
                yield self._put(place, version, growing, is_last=is_last)

    def _view_of(self, message: Message) -> MessageView:
        return MessageView(message, self._change, self._footer_options)

    def _put(self, place: int, version: Version | None, reply: Reply | None, *, is_last: bool) -> Operation:
        view = self.views[place]
        list(view.show(view.message, reply, version, is_last=is_last))
        return view.put(place)

    def _unseen(self) -> Operation:
        """The line where the engine cut for the last reply, if that message is shown."""
        return ("unseen", self._first_seen if self.view(self._first_seen or "") else None)
