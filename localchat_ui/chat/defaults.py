"""What new conversations start with: what the settings say, or what a person chose."""

from __future__ import annotations

from localchat_ui.access import current_owner
from localchat_ui.conversation import ChatOptions
from localchat_ui.history.preferences import Preferences

KEY = "chat.defaults"


class ChatDefaults:
    """`configured` is what the settings say. Whoever asks has own ones once they were set, here or before a restart."""

    def __init__(self, configured: ChatOptions, preferences: Preferences) -> None:
        self.configured = configured
        self._preferences = preferences
        self._known: dict[str | None, ChatOptions] = {}  # by owner

    @property
    def current(self) -> ChatOptions:
        """Those of whoever asks; until `read` has been called for them, the configured ones."""
        return self._known.get(current_owner(), self.configured)

    async def read(self) -> None:
        """Read what whoever asks has set before. Raises HistoryError."""
        if current_owner() not in self._known:
            own = await self._preferences.get(_key(), {})
            self._known[current_owner()] = self.configured.model_copy(update=own)

    async def set(self, options: ChatOptions | None) -> None:
        """Keep them for whoever asks; None goes back to the configured ones. Raises HistoryError."""
        await self._preferences.set(_key(), options.model_dump(mode="json") if options else None)
        self._known[current_owner()] = options or self.configured


def _key() -> str:
    owner = current_owner()
    return f"{KEY}.{owner}" if owner else KEY
