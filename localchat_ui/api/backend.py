"""What the routes that generate have in common: which model is meant, and whether there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from localchat_ui.api.closing import Closing
from localchat_ui.api.errors import RETRY_SECONDS, SERVER, ApiError, access_ended, api_error, no_model, shutting_down
from localchat_ui.api.routes import cancel
from localchat_ui.chat import MAX_WAITING, ChatService
from localchat_ui.engine.base import Engine, EngineError
from localchat_ui.library.model_file import displayable
from localchat_ui.model_manager import HOW_TO_ADD, ModelManager, UnknownModelError


@dataclass(frozen=True)
class Backend:
    """The rooms below, for the routes. More than `max_waiting` requests in the engine's queue are too many.

    `until_access_ends` returns when whoever asks would no longer be let in.
    """

    engine: Engine
    models: ModelManager
    chat: ChatService
    until_access_ends: Callable[[], Awaitable[None]]
    closing: Closing = field(default_factory=Closing)
    max_waiting: int = MAX_WAITING

    async def file_of(self, name: str | None) -> Path:
        """The file that a request means: the model in use, or an installed one that is loaded beside it.

        The model in use stays in use. Raises ApiError.
        """
        current = self.engine.model
        if current is not None and name in (None, "", current.path.name, name_of(current.path)):
            return current.path
        if not name:
            raise self.no_model()
        try:
            return (await self.models.prepare(name)).path
        except UnknownModelError as error:
            if self.models.settling:
                # The folder may not have been looked through yet.
                raise no_model("A model is being loaded.") from error
            raise api_error(error) from error
        except EngineError as error:
            raise api_error(error) from error

    def no_model(self) -> ApiError:
        """The answer while no model can answer."""
        reason = self.models.status.error or HOW_TO_ADD
        return no_model("A model is being loaded." if self.models.settling else f"No model is loaded. {reason}")

    async def interruption(self) -> ApiError:
        """Return when an answer that is under way has to end, with what it ends with."""
        ending = asyncio.ensure_future(self.closing.wait())
        leaving = asyncio.ensure_future(self.until_access_ends())
        try:
            await asyncio.wait([ending, leaving], return_when=asyncio.FIRST_COMPLETED)
            return shutting_down() if ending.done() else access_ended()
        finally:
            await cancel(ending, leaving)

    def admit(self) -> None:
        """Raises ApiError when too many requests wait already."""
        if self.engine.figures.waiting >= self.max_waiting:
            raise ApiError(
                429, "Too many requests are waiting.", kind=SERVER, code="queue_full", retry_after=RETRY_SECONDS
            )


def name_of(path: Path) -> str:
    """What the API calls a model: its file's name without `.gguf`."""
    return displayable(path.stem)
