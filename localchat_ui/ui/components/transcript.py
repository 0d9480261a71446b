"""The conversation: a log of messages, or an invitation to begin one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from nicegui import ui
from nicegui.events import GenericEventArguments

from localchat_ui.conversation import Message, Version
from localchat_ui.model_manager import ModelManager
from localchat_ui.reply import Reply
from localchat_ui.ui.components.download_card import DownloadCard
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.message import MessageView

# A long conversation opens with its end; more is read as the reader goes up.
PAGE_SIZE = 40


class Transcript:
    """Shows the end of one branch. Messages that stay are left alone, so that a long one costs nothing as it grows."""

    def __init__(
        self,
        models: ModelManager,
        *,
        on_action: Callable[[str, str, str | None], Awaitable[None]],
        on_earlier: Callable[[], Awaitable[None]],
    ) -> None:
        """`on_action` gets the name of an action, the id of its message, and of another one it leads to."""
        self._views: list[MessageView] = []
        self._first_seen: str | None = None

        async def act(event: GenericEventArguments) -> None:
            await on_action(event.args["action"], event.args["id"], event.args.get("target"))

        with ui.element("div").classes("transcript"):
            with ui.element("div").classes("welcome") as self.welcome:
                with ui.element("h1"):
                    ui.label("What is on your mind?")
                with ui.element("p"):
                    ui.label("Everything stays on this machine.")
                DownloadCard(models)
            self._earlier = text_button("Show earlier messages", on_earlier).classes("earlier")
            self.log = ui.element("div").classes("log").props("role=log aria-label=Conversation")
            self.log.on("click", act, js_handler="(event) => localchat.act(event, emit)")
            with self.log, ui.element("div").classes("unseen-line").props("role=note") as self._unseen:
                ui.label("The model no longer sees what is above.")

    @property
    def limit(self) -> int:
        """How many messages to ask for, so that what is shown can be brought up to date."""
        return max(PAGE_SIZE, len(self._views) + 4)

    @property
    def first_id(self) -> str | None:
        return self._views[0].message.id if self._views else None

    def view(self, message_id: str) -> MessageView | None:
        return next((view for view in self._views if view.message.id == message_id), None)

    def show(self, messages: Sequence[Message], versions: Mapping[str, Version], reply: Reply | None) -> None:
        """Bring the views in line with the end of the branch; one of them follows the reply being written, if any."""
        messages = self._from_first_shown(messages)
        kept = 0
        for view, message in zip(self._views, messages, strict=False):
            if view.message.id != message.id:
                break
            kept += 1
        for view in self._views[kept:]:
            view.delete()
        del self._views[kept:]
        with self.log:
            self._views += [MessageView(message) for message in messages[kept:]]
        self._bring_up_to_date(messages, versions, reply)
        self.welcome.set_visibility(not messages)
        self._earlier.set_visibility(bool(messages) and messages[0].parent_id is not None)
        last = next((message.stats for message in reversed(messages) if message.stats), None)
        self._first_seen = reply.first_seen_id if reply and reply.submitted else last.first_seen_id if last else None
        self._show_unseen()
        self.log.props["aria-busy"] = "true" if reply else "false"
        self.log.update()

    def show_earlier(self, messages: Sequence[Message], versions: Mapping[str, Version]) -> None:
        """Put messages above those that are shown."""
        with self.log:
            views = [MessageView(message) for message in messages]
        for index, view in enumerate(views):
            view.article.move(self.log, target_index=index)
            view.show(view.message, None, versions.get(view.message.id), is_last=False)
        self._views[:0] = views
        self._show_unseen()
        self._earlier.set_visibility(bool(messages) and messages[0].parent_id is not None)

    def _bring_up_to_date(
        self, messages: Sequence[Message], versions: Mapping[str, Version], reply: Reply | None
    ) -> None:
        for index, (view, message) in enumerate(zip(self._views, messages, strict=True)):
            growing = reply if reply is not None and reply.message.id == message.id else None
            view.show(message, growing, versions.get(message.id), is_last=index == len(messages) - 1)

    def _from_first_shown(self, messages: Sequence[Message]) -> Sequence[Message]:
        """What was read above the first message shown stays away until somebody asks for it."""
        shown = next((index for index, message in enumerate(messages) if message.id == self.first_id), None)
        return messages[-PAGE_SIZE:] if shown is None else messages[shown:]

    def _show_unseen(self) -> None:
        """Draw the line where the engine cut for the last reply."""
        place = next((i for i, view in enumerate(self._views) if view.message.id == self._first_seen), None)
        self._unseen.set_visibility(place is not None)
        if place is not None:
            self._unseen.move(self.log, target_index=place)
