"""The conversation: a log of messages, or an invitation to begin one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from nicegui import ui
from nicegui.events import GenericEventArguments

from localchat_ui.conversation import Message, Role, Version
from localchat_ui.model_manager import ModelManager
from localchat_ui.reply import Reply
from localchat_ui.ui.components.download_card import DownloadCard
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.message import MessageView
from localchat_ui.ui.components.message_log import MessageLog, Operation

# A long conversation opens with its end; more is read as the reader goes up.
PAGE_SIZE = 40


class Transcript:
    """Shows the end of one branch. Messages that stay are left alone, so that a long one costs nothing as it grows."""

    def __init__(
        self,
        models: ModelManager,
        *,
        on_action: Callable[[str, str, str | None], Awaitable[None]],
        on_save: Callable[[str, str], Awaitable[None]],
        on_earlier: Callable[[], Awaitable[None]],
    ) -> None:
        """`on_action` gets the name of an action, the id of its message, and of another one it leads to; `on_save` the
        id and the new text of a message that was edited."""
        self.views: list[MessageView] = []
        self.is_busy = False
        self._first_seen: str | None = None

        async def act(event: GenericEventArguments) -> None:
            await on_action(str(event.args["action"]), str(event.args["id"]), event.args.get("target"))

        async def save(event: GenericEventArguments) -> None:
            await on_save(str(event.args["id"]), str(event.args["text"]))

        with ui.element("div").classes("transcript"):
            with ui.element("div").classes("welcome") as self.welcome:
                with ui.element("h1"):
                    ui.label("What is on your mind?")
                with ui.element("p"):
                    ui.label("Everything stays on this machine.")
                DownloadCard(models)
            self._earlier = text_button("Show earlier messages", on_earlier).classes("earlier")
            self.log = MessageLog()
            self.log.on("act", act).on("save", save)

    @property
    def limit(self) -> int:
        """How many messages to ask for, so that what is shown can be brought up to date."""
        return max(PAGE_SIZE, len(self.views) + 4)

    @property
    def first_id(self) -> str | None:
        return self.views[0].message.id if self.views else None

    def view(self, message_id: str) -> MessageView | None:
        return next((view for view in self.views if view.message.id == message_id), None)

    def show(self, messages: Sequence[Message], versions: Mapping[str, Version], reply: Reply | None) -> None:
        """Bring the views in line with the end of the branch; one of them follows the reply being written, if any."""
        messages = self._from_first_shown(messages)
        last = next((message.stats for message in reversed(messages) if message.stats), None)
        self._first_seen = reply.first_seen_id if reply and reply.submitted else last.first_seen_id if last else None
        self.is_busy = reply is not None
        self.log.change([*self._show(messages, versions, reply), ("busy", self.is_busy), self._unseen()])
        self.welcome.set_visibility(not messages)
        self._earlier.set_visibility(bool(messages) and messages[0].parent_id is not None)

    def show_earlier(self, messages: Sequence[Message], versions: Mapping[str, Version]) -> None:
        """Put messages above those that are shown."""
        views = [MessageView(message, self.log.change) for message in messages]
        self.views[:0] = views
        puts = [
            self._put(place, versions.get(view.message.id), None, is_last=False) for place, view in enumerate(views)
        ]
        self.log.change([*puts, self._unseen()])
        self._earlier.set_visibility(bool(messages) and messages[0].parent_id is not None)

    def toggle_receipt(self, view: MessageView) -> None:
        self.log.change(list(view.toggle_receipt()))

    def edit(self, view: MessageView, text: str) -> None:
        """Let the person change the words of a message."""
        self.log.edit(view.message.id, text, "Send" if view.message.role is Role.USER else "Save")

    def _show(
        self, messages: Sequence[Message], versions: Mapping[str, Version], reply: Reply | None
    ) -> Iterator[Operation]:
        shown = zip(self.views, messages, strict=False)
        kept = next((i for i, (view, message) in enumerate(shown) if view.message.id != message.id), None)
        if kept is None:
            kept = min(len(self.views), len(messages))
        for view in self.views[kept:]:
            view.leave()
            yield ("drop", view.message.id)
        self.views[kept:] = [MessageView(message, self.log.change) for message in messages[kept:]]
        for place, message in enumerate(messages):
            version, is_last = versions.get(message.id), place == len(messages) - 1
            growing = reply if reply is not None and reply.message.id == message.id else None
            if place < kept:
                yield from self.views[place].show(message, growing, version, is_last=is_last)
            else:
                yield self._put(place, version, growing, is_last=is_last)

    def _put(self, place: int, version: Version | None, reply: Reply | None, *, is_last: bool) -> Operation:
        view = self.views[place]
        list(view.show(view.message, reply, version, is_last=is_last))
        return view.put(place)

    def _unseen(self) -> Operation:
        """The line where the engine cut for the last reply, if that message is shown."""
        return ("unseen", self._first_seen if self.view(self._first_seen or "") else None)

    def _from_first_shown(self, messages: Sequence[Message]) -> Sequence[Message]:
        """What was read above the first message shown stays away until somebody asks for it."""
        shown = next((index for index, message in enumerate(messages) if message.id == self.first_id), None)
        return messages[-PAGE_SIZE:] if shown is None else messages[shown:]
