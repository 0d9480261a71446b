"""What new conversations start with: what the settings say, a model wants, or a person chose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localchat_ui.access import current_owner
from localchat_ui.conversation import ChatOptions
from localchat_ui.history.preferences import Preferences
from localchat_ui.inference import ModelRef

KEY = "chat.defaults"


class ChatDefaults:
    """`configured` is what the settings say. Whoever asks has own ones once they were set, here or before a restart.

    What is set of a model goes before both. What its maker recommends only goes before what nobody has set.
    """

    def __init__(
        self,
        configured: ChatOptions,
        preferences: Preferences,
        model_in_use: Callable[[], ModelRef | None] = lambda: None,
    ) -> None:
        self.configured = configured
        self._preferences = preferences
        self._model_in_use = model_in_use
        self._known: dict[str | None, ChatOptions] = {}  # by owner

    @property
    def current(self) -> ChatOptions:
        """Those of whoever asks, with the model in use; their own ones count once `read` has been called for them."""
        return self.of(self._model_in_use())

    @property
    def are_own(self) -> bool:
        """Whether whoever asks has set own ones."""
        return bool(self._own)

    def of(self, model: ModelRef | None) -> ChatOptions:
        """Those of whoever asks, with this model."""
        return self._with_model(model, self._own)

    def of_programs(self, model: ModelRef) -> ChatOptions:
        """What a request leaves out: nobody's own ones."""
        return self._with_model(model, {})

    async def read(self) -> None:
        """Read what whoever asks has set before. Raises HistoryError."""
        if current_owner() not in self._known:
            own = await self._preferences.get(_key(), {})
            self._known[current_owner()] = self.configured.model_copy(update=own)

    async def set(self, options: ChatOptions | None) -> None:
        """Keep them for whoever asks; None goes back to the configured ones. Raises HistoryError."""
        await self._preferences.set(_key(), options.model_dump(mode="json") if options else None)
        self._known[current_owner()] = options or self.configured

    @property
    def _own(self) -> dict[str, Any]:
        own = self._known.get(current_owner(), self.configured)
        return {name: value for name, value in own if value != getattr(self.configured, name)}

    def _with_model(self, model: ModelRef | None, own: dict[str, Any]) -> ChatOptions:
        if model is None:
            return self.configured.model_copy(update=own)
        set_by_settings = self.configured.model_fields_set
        wanted = {name: value for name, value in model.recommended.items() if name not in set_by_settings}
        return self.configured.model_copy(update=wanted | own | model.defaults.chat)


def _key() -> str:
    owner = current_owner()
    return f"{KEY}.{owner}" if owner else KEY
