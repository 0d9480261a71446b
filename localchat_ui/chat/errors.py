"""What people are told when a conversation cannot be changed."""

from __future__ import annotations

from localchat_ui.access import AccessError
from localchat_ui.text import Text

STILL_WRITING = Text("A reply is still being written. Stop it, or wait until it is finished.")


class ChatError(Exception):
    """Something the person at the page should read; nothing was changed."""


class RefusedError(ChatError):
    """Whoever asks has as much under way as one may have, or the engine has; nothing was changed."""

    def __init__(self, refusal: AccessError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
