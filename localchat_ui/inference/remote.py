"""A server elsewhere that speaks OpenAI's protocol: what models it has, and replies that it writes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import openai

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import (
    Embeddings,
    Emit,
    EngineError,
    GenerationFailed,
    GenerationRequest,
    PromptBuilt,
)
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.inference.openai_protocol import ReplyReader, extra_parameters, parameters_of
from localchat_ui.inference.prompt_estimate import fit, size_of
from localchat_ui.library.model_file import displayable, readable_context
from localchat_ui.settings import EngineSettings, is_loopback

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
# A server that reads a long prompt says nothing meanwhile.
SILENT_SECONDS = 300.0
LIST_SECONDS = 10.0
# So often a page that looks may ask again, and so often the program does by itself while a server does not answer.
REFRESH_SECONDS = 5.0
RETRIES = 2
# Under these names servers tell how many tokens a model can read.
CONTEXT_NAMES = ("max_model_len", "context_length", "max_context_length", "context_window", "n_ctx")


class RemoteServer:
    """One of the servers that the settings name. Belongs to one event loop.

    `models` is what it said last that it has; while it does not answer they have an `error`, and nothing waits for it.
    `on_change` is called when they have changed.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.name = settings.name
        self.models: list[ModelRef] = []
        self.on_change: Callable[[], None] = lambda: None
        self._settings = settings
        url = urlsplit(settings.url)
        self._leaves_machine = not is_loopback(url.hostname or "")
        # Some put a password into it.
        self._shown_url = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
        self._client = openai.AsyncOpenAI(
            base_url=settings.url,
            api_key=settings.key or "none",
            max_retries=RETRIES,
            timeout=openai.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS),
        )
        # For what is answered at once, or not at all.
        self._quick = self._client.with_options(
            max_retries=0, timeout=openai.Timeout(LIST_SECONDS, connect=CONNECT_SECONDS)
        )
        self._counts_tokens = True
        self._takes_extras = True
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")

    # What it has

    def refresh_soon(self) -> None:
        """Ask for its models in the background, unless that was done just now."""
        now = asyncio.get_running_loop().time()
        if (self._refreshing is None or self._refreshing.done()) and now - self._asked_at >= REFRESH_SECONDS:
            self._refreshing = asyncio.create_task(self.refresh())

    async def refresh(self) -> None:
        """Ask for its models; takes at most ten seconds."""
        self._asked_at = asyncio.get_running_loop().time()
        try:
            cards = (await asyncio.wait_for(self._quick.models.list(), LIST_SECONDS)).data
            wanted = [card for card in cards if any(fnmatchcase(card.id, glob) for glob in self._settings.models)]
            context = await self._context_of_server() if any(not _context_of(card) for card in wanted) else 0
            models = [self._ref(card.id, _context_of(card) or context) for card in wanted]
        except Exception as error:
            models = self._unavailable(self._reason(error))
        if models != self.models:
            self.models = models
            self.on_change()

    def _ref(self, remote_id: str, context_length: int = 0, error: str | None = None) -> ModelRef:
        context_length = context_length or self._settings.context_length
        place = "leaves this machine" if self._leaves_machine else "on this machine"
        details = [f"on {self.name}", place, f"{readable_context(context_length)} context" if context_length else ""]
        return ModelRef(
            id=f"{self.name}/{displayable(remote_id)}",
            name=displayable(remote_id),
            engine=self.name,
            remote_id=remote_id,
            leaves_machine=self._leaves_machine,
            details=error or " · ".join(filter(None, details)),
            error=error,
            context_length=context_length,
        )

    def _unavailable(self, reason: str) -> list[ModelRef]:
        """What it had, which cannot answer now; of a server that never answered, one entry that says so."""
        known = [model.remote_id for model in self.models if model.remote_id != self.name]
        return [self._ref(remote_id, error=reason) for remote_id in known or [self.name]]

    async def _context_of_server(self) -> int:
        """llama.cpp's server tells in its own way how many tokens a conversation may have; 0 if there is no telling."""
        with suppress(Exception):
            properties = await self._call("GET", "props")
            return int(properties["default_generation_settings"]["n_ctx"])
        return 0

    # Replies

    async def submit(self, model: ModelRef, request: GenerationRequest, emit: Emit) -> None:
        self._tasks[request.id] = asyncio.create_task(self._write(model, request, emit))
        # A task that is cancelled before it began would never say that it ended.
        await asyncio.sleep(0)

    async def _write(self, model: ModelRef, request: GenerationRequest, emit: Emit) -> None:
        reader = ReplyReader(request)
        try:
            request, built = await self._fitted(model, request)
            emit(built)
            async for chunk in await self._begin(model, request):
                for event in reader.read(chunk):
                    emit(event)
            for event in reader.finish():
                emit(event)
        except asyncio.CancelledError:
            for event in reader.finish("cancelled"):
                emit(event)
        except EngineError as error:
            emit(GenerationFailed(str(error), refused=True))
        except Exception as error:
            logger.info("a reply of %s ended: %s", self.name, type(error).__name__)
            emit(GenerationFailed(self._reason(error), refused=isinstance(error, openai.BadRequestError)))
            if isinstance(error, openai.APIConnectionError):
                self.refresh_soon()
        finally:
            self._tasks.pop(request.id, None)

    async def _begin(self, model: ModelRef, request: GenerationRequest) -> openai.AsyncStream[Any]:
        given = parameters_of(model.remote_id, request)
        extras = extra_parameters(request)
        api: Any = self._client.completions if request.prompt is not None else self._client.chat.completions
        try:
            stream: openai.AsyncStream[Any] = await api.create(
                **given, extra_body=extras if self._takes_extras else None
            )
        except openai.BadRequestError as error:
            # The protocol knows less than llama.cpp does, and strict servers insist on that.
            if not (extras and self._takes_extras and _is_about(error, extras)):
                raise
            self._takes_extras = False
            stream = await api.create(**given)
        return stream

    def change(self, request_id: str, sampling: RequestOptions) -> None:
        """The protocol has no words for that."""

    def cancel(self, request_id: str) -> None:
        if task := self._tasks.get(request_id):
            task.cancel()

    async def preview(self, model: ModelRef, request: GenerationRequest) -> PromptBuilt:
        return (await self._fitted(model, request, exactly=True))[1]

    async def embed(self, model: ModelRef, texts: Sequence[str | Sequence[int]], *, request_id: str = "") -> Embeddings:
        try:
            given: Any = list(texts)
            answer = await self._client.embeddings.create(model=model.remote_id, input=given, encoding_format="float")
            vectors = [np.asarray(each.embedding, dtype=np.float64) for each in answer.data]
            unit = [(vector / (np.linalg.norm(vector) or 1)).tolist() for vector in vectors]
        except Exception as error:
            raise EngineError(self._reason(error)) from None
        return Embeddings(unit, answer.usage.prompt_tokens)

    async def close(self) -> None:
        """End all that is under way."""
        tasks = [*self._tasks.values(), *([self._refreshing] if self._refreshing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    # Tokens

    async def _fitted(
        self, model: ModelRef, request: GenerationRequest, *, exactly: bool = False
    ) -> tuple[GenerationRequest, PromptBuilt]:
        """The request as far as it fits, and what is read of it: counted by the server if it can, else estimated.

        Raises PromptTooLongError.
        """
        sizes = [size_of(turn) for turn in request.turns]
        if exactly and self._counts_tokens and request.prompt is None:
            counted = await asyncio.gather(*(self._count(turn.text) for turn in request.turns))
            sizes = [count if count is not None else size for count, size in zip(counted, sizes, strict=True)]
        return fit(request, sizes, model.context_length, is_exact=exactly and self._counts_tokens)

    async def _count(self, text: str) -> int | None:
        """Tokens of a text where the server has an endpoint for that, as llama.cpp's and ours have; else None."""
        if not self._counts_tokens:
            return None
        try:
            return len((await self._call("POST", "tokenize", {"content": text}))["tokens"])
        except Exception:
            self._counts_tokens = False
            return None

    async def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """An endpoint beside /v1. Raises whatever went wrong."""
        parts = urlsplit(self._settings.url)
        root = parts.path.rstrip("/").removesuffix("/v1")
        url = urlunsplit((parts.scheme, parts.netloc, f"{root}/{path}", "", ""))
        if method == "GET":
            return dict(await self._quick.get(url, cast_to=dict[str, Any]))
        return dict(await self._quick.post(url, cast_to=dict[str, Any], body=body))

    def _reason(self, error: Exception) -> str:  # noqa: PLR0911 - a table
        """What went wrong, for people; never with the key in it."""
        name, url = self.name, self._shown_url
        if isinstance(error, (openai.APITimeoutError, TimeoutError, asyncio.TimeoutError)):
            return f"{name} does not answer in time. Try again, or choose another model."
        if isinstance(error, openai.APIConnectionError):
            return f"{name} cannot be reached at {url}. Start it, or choose another model."
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return f"{name} refuses the key. Set the right one in ENGINES."
        if isinstance(error, openai.RateLimitError):
            return f"{name} takes no more requests for now. Try again later, or choose another model."
        if isinstance(error, openai.NotFoundError):
            return f"{name} does not know this model or this kind of request."
        if isinstance(error, openai.APIStatusError):
            return f"{name} refused: {self._without_key(_message_of(error))}"
        if type(error).__module__.startswith("httpx"):  # raised as it is, in mid-reply
            return f"The connection to {name} broke off. Try again."
        if isinstance(error, openai.APIError):
            return f"{name} failed: {self._without_key(str(error.message))[:300]}"
        return f"{name} answered with something that is no reply. Is {url} the address of an OpenAI-compatible server?"

    def _without_key(self, text: str) -> str:
        return text.replace(self._settings.key, "…") if self._settings.key else text


def _context_of(card: openai.types.Model) -> int:
    """What a list of models says of a context, in tokens; 0 if nothing."""
    said = card.model_extra or {}
    meta = said.get("meta")
    for place in (said, meta if isinstance(meta, dict) else {}):
        for name in CONTEXT_NAMES:
            # What llama.cpp's server was trained for is not what it runs with.
            if name != "n_ctx_train" and isinstance(place.get(name), int):
                return int(place[name])
    return 0


def _is_about(error: openai.BadRequestError, extras: Mapping[str, object]) -> bool:
    text = _message_of(error).lower()
    return any(name in text for name in extras) or "extra" in text or "unrecognized" in text or "unknown" in text


def _message_of(error: openai.APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict):
        return str(body.get("message") or body.get("error") or json.dumps(body))[:300]
    return str(error.message)[:300]
