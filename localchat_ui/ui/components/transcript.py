"""The conversation: a log of messages, or an invitation to begin one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from nicegui import ui

from localchat_ui.chat import Reply
from localchat_ui.conversation import Message, Version
from localchat_ui.i18n import _
from localchat_ui.inference import ModelRegistry
from localchat_ui.text import N_
from localchat_ui.ui.components.download_card import DownloadCard
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.message_log import MessageLog

# A long conversation opens with its end; more is read as the reader goes up.
PAGE_SIZE = 40
STAYS = N_("Everything stays on this machine.")


class Transcript:
    """Shows the end of one branch, and more of it on demand."""

    def __init__(
        self,
        models: ModelRegistry,
        *,
        on_earlier: Callable[[], Awaitable[None]],
    ) -> None:
        with ui.element("div").classes("transcript"):
            # Read out, and printed; on the screen the list shows it.
            with ui.element("h1").classes("conversation-title") as self._heading:
                self._title = ui.label()
            with ui.element("div").classes("welcome") as self.welcome:
                with ui.element("h1"):
                    ui.label(_("What is on your mind?"))
                with ui.element("p"):
                    self._promise = ui.label()
                DownloadCard(models)
            self._earlier = text_button(_("Show earlier messages"), on_earlier).classes("earlier")
            self.log = MessageLog()
        self._models = models
        models.changed.subscribe(self._draw_promise)
        self._draw_promise()

    def _draw_promise(self) -> None:
        status = self._models.status
        # While another is loaded, the one before answers.
        leaves_to = next(
            (model.engine for model in (status.model, status.target) if model and model.leaves_machine), ""
        )
        self._promise.set_text(
            _("What you write is sent to {engine}.").format(engine=leaves_to) if leaves_to else _(STAYS)
        )

    def name(self, title: str) -> None:
        """Head the conversation with its title."""
        self._title.set_text(title)
        self._heading.set_visibility(bool(title))

    @property
    def limit(self) -> int:
        """How many messages to ask for, so that what is shown can be brought up to date."""
        return max(PAGE_SIZE, len(self.log.views) + 4)

    @property
    def first_id(self) -> str | None:
        return self.log.views[0].message.id if self.log.views else None

    @property
    def has_earlier(self) -> bool:
        """Whether there are messages above the first one shown."""
        return bool(self.log.views) and self.log.views[0].message.parent_id is not None

    def show(self, messages: Sequence[Message], versions: Mapping[str, Version], reply: Reply | None) -> None:
        """Bring what is shown in line with the end of the branch."""
        messages = self._from_first_shown(messages)
        self.log.show(messages, versions, reply)
        self.welcome.set_visibility(not messages)
        self._earlier.set_visibility(self.has_earlier)

    def show_earlier(self, messages: Sequence[Message], versions: Mapping[str, Version]) -> None:
        """Put messages above those that are shown."""
        self.log.show_above(messages, versions)
        self._earlier.set_visibility(self.has_earlier)

    def _from_first_shown(self, messages: Sequence[Message]) -> Sequence[Message]:
        """What was read above the first message shown stays away until somebody asks for it."""
        shown = next((index for index, message in enumerate(messages) if message.id == self.first_id), None)
        return messages[-PAGE_SIZE:] if shown is None else messages[shown:]
