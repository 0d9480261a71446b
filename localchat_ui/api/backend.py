"""What the routes that generate have in common: which model is meant, and whether there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from localchat_ui.api.closing import Closing
from localchat_ui.api.errors import ApiError, access_ended, api_error, no_model, shutting_down
from localchat_ui.api.routes import cancel
from localchat_ui.chat import ChatService
from localchat_ui.engine.base import EngineError
from localchat_ui.inference import HOW_TO_ADD, Inference, ModelRef, ModelRegistry, UnknownModelError


@dataclass(frozen=True)
class Backend:
    """The rooms below, for the routes. `until_access_ends` returns when whoever asks would no longer be let in."""

    inference: Inference
    models: ModelRegistry
    chat: ChatService
    until_access_ends: Callable[[], Awaitable[None]]
    closing: Closing = field(default_factory=Closing)

    async def model_of(self, name: str | None) -> ModelRef:
        """The model that a request means: the one in use, or another, which is loaded beside it if it is a file.

        The model in use stays in use. Raises ApiError.
        """
        current = self.models.current
        if current is not None and name in (None, "", current.id, current.path and current.path.name):
            return current
        if not name:
            raise self.no_model()
        try:
            return await self.models.prepare(name)
        except UnknownModelError as error:
            if self.models.settling:
                # The folder may not have been looked through yet.
                raise no_model("A model is being loaded.") from error
            raise api_error(error) from error
        except EngineError as error:
            raise api_error(error) from error

    async def writer_of(self, name: str | None) -> ModelRef:
        """The model that a request for a reply means; one that only embeds is none. Raises ApiError."""
        model = await self.model_of(name)
        if model.refusal and not model.is_local:
            raise no_model(model.refusal)
        if model.refusal:
            raise ApiError(400, model.refusal, param="model", code="model_not_loadable")
        return model

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
