"""A server elsewhere that speaks OpenAI's protocol: what models it has, and replies that it writes."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import numpy as np
import openai

from localchat_ui.conversation import RequestOptions, Role
from localchat_ui.engine.base import (
    Embeddings,
    Emit,
    EngineError,
    Event,
    GenerationFailed,
    GenerationRequest,
    PromptBuilt,
    Turn,
)
from localchat_ui.engine.thinking_support import NO_SUPPORT, ThinkingSupport
from localchat_ui.inference.backend import MAX_WAITING, QueueFullError
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.inference.openai_protocol import ReplyReader, count_in, extra_parameters, parameters_of
from localchat_ui.inference.prompt_estimate import TOKENS_PER_TURN, fit, size_of
from localchat_ui.inference.remote_errors import REFUSALS, kind_of, message_of, reason_of, refuses_unknown
from localchat_ui.inference.remote_thinking import configured, told_by_card, told_by_template
from localchat_ui.library.model_file import displayable, readable_context
from localchat_ui.settings import EngineSettings, is_loopback
from localchat_ui.text import Text

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
# A server that reads a long prompt says nothing meanwhile.
SILENT_SECONDS = 300.0
LIST_SECONDS = 10.0
# For so long the figures are waited for that follow the end of a reply.
USAGE_SECONDS = 3.0
# So often a page that looks may ask again, and so often the program does by itself while a server does not answer.
REFRESH_SECONDS = 5.0
RETRY_SECONDS = 15.0
# Where an estimate times this is more than the context holds, the tokens are counted.
NEAR_FULL = 1.5
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
        self._thinking = configured(settings)
        url = urlsplit(settings.url)
        self._leaves_machine = not is_loopback(url.hostname or "")
        # Some put a password into it.
        self._shown_url = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
        self._client = openai.AsyncOpenAI(
            base_url=self._shown_url,
            api_key=settings.key or "none",
            # Nothing for this server comes from variables that are meant for another.
            organization="",
            project="",
            default_headers={"Authorization": _authorization(settings)},
            max_retries=RETRIES,
            timeout=openai.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS),
        )
        # For what is answered at once, or not at all.
        self._quick = self._client.with_options(
            max_retries=0, timeout=openai.Timeout(LIST_SECONDS, connect=CONNECT_SECONDS)
        )
        self._counts_tokens = True
        # Of each model: whether it takes more than the protocol knows, and what it calls the longest reply.
        self._takes_extras: dict[str, bool] = {}
        self._limit_name: dict[str, str] = {}
        self._again: asyncio.TimerHandle | None = None
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
        loop = asyncio.get_running_loop()
        self._asked_at = loop.time()
        try:
            models = await asyncio.wait_for(self._list(), LIST_SECONDS)
            self._counts_tokens = True
        except Exception as error:
            models = self._unavailable(self._reason(error))
            # It may be back before anybody looks.
            if self._again is not None:
                self._again.cancel()
            self._again = loop.call_later(RETRY_SECONDS, self.refresh_soon)
        if models != self.models:
            self.models = models
            self.on_change()

    async def _list(self) -> list[ModelRef]:
        cards = {str(card.id): card for card in (await self._quick.models.list()).data if getattr(card, "id", None)}
        wanted = {name: card for name, card in cards.items() if self._is_wanted(name)}
        asked = len(wanted) == 1 or any(not _context_of(card) for card in wanted.values())
        properties = await self._properties() if asked else {}
        context = _context_in(properties)
        # A server of one model tells what its template is; one of several tells it of any of them.
        told = await asyncio.to_thread(told_by_template, properties) if len(wanted) == 1 else NO_SUPPORT
        thinking = [self._thinking, told]
        return [
            self._ref(
                name, _context_of(card) or context, thinking=_first([*thinking, told_by_card(card.model_extra or {})])
            )
            for name, card in wanted.items()
        ]

    def _is_wanted(self, remote_id: str) -> bool:
        return any(fnmatchcase(remote_id, pattern) for pattern in self._settings.models)

    def _ref(
        self,
        remote_id: str,
        context_length: int = 0,
        error: str | None = None,
        thinking: ThinkingSupport = NO_SUPPORT,
    ) -> ModelRef:
        context_length = context_length or self._settings.context_length
        place = "leaves this machine" if self._leaves_machine else "on this machine"
        details = [
            Text("on {engine}", engine=self.name),
            place,
            Text("{n} context", n=readable_context(context_length)) if context_length else "",
        ]
        return ModelRef(
            id=f"{self.name}/{displayable(remote_id)}",
            name=displayable(remote_id),
            engine=self.name,
            remote_id=remote_id,
            leaves_machine=self._leaves_machine,
            details=error or Text.joined(" · ", details),
            error=error,
            context_length=context_length,
            thinking=thinking,
        )

    def _unavailable(self, reason: str) -> list[ModelRef]:
        """What it had, which cannot answer now; of a server that never answered, one entry that says so."""
        known = [model.remote_id for model in self.models if model.remote_id]
        if known:
            return [self._ref(remote_id, error=reason) for remote_id in known]
        return [replace(self._ref(self.name, error=reason), remote_id="")]

    async def _properties(self) -> dict[str, Any]:
        """What llama.cpp's server tells of itself in its own way; empty elsewhere."""
        with suppress(Exception):
            return await self._call("GET", "props")
        return {}

    # Replies

    async def submit(self, model: ModelRef, request: GenerationRequest, emit: Emit) -> None:
        if len(self._tasks) >= MAX_WAITING:
            raise QueueFullError
        self._tasks[request.id] = asyncio.create_task(self._write(model, request, emit))
        # A task that is cancelled before it began would never say that it ended.
        await asyncio.sleep(0)

    async def _write(self, model: ModelRef, request: GenerationRequest, emit: Emit) -> None:
        reader = ReplyReader(request)
        last: Event
        try:
            arguments = model.thinking.arguments(request.template_arguments)
            request, built = await self._fitted(model, replace(request, template_arguments=arguments))
            reader = ReplyReader(request, built.n_tokens)
            emit(built)
            async for chunk in self._chunks(await self._begin(model, request, built.n_tokens), reader):
                for event in reader.read(chunk):
                    emit(event)
            *rest, last = reader.finish()
            for event in rest:
                emit(event)
        except asyncio.CancelledError:
            *_, last = reader.finish("cancelled")
        except EngineError as error:
            last = GenerationFailed(str(error), "refused")
        except Exception as error:
            logger.info("a reply of %s ended: %s", self.name, type(error).__name__)
            last = GenerationFailed(self._reason(error), kind_of(error), reader.n_computed)
            if isinstance(error, openai.APIConnectionError):
                self.refresh_soon()
        finally:
            self._tasks.pop(request.id, None)
        emit(last)

    async def _chunks(self, stream: openai.AsyncStream[Any], reader: ReplyReader) -> AsyncIterator[Any]:
        """The chunks of a reply. Behind its end only the usage is waited for, and not for long."""
        chunks = aiter(stream)
        try:
            while True:
                seconds = USAGE_SECONDS if reader.has_ended else SILENT_SECONDS
                yield await asyncio.wait_for(anext(chunks), seconds)
        except StopAsyncIteration:
            return
        except (TimeoutError, asyncio.TimeoutError):
            if not reader.has_ended:
                raise
        finally:
            await stream.close()

    async def _begin(self, model: ModelRef, request: GenerationRequest, n_prompt: int) -> openai.AsyncStream[Any]:
        """Begin a reply with what the server takes: the protocol knows less than llama.cpp does, and some insist."""
        # Nobody counted what the template writes around the turns.
        n_taken = n_prompt + TOKENS_PER_TURN * len(request.turns)
        room = max(1, model.context_length - n_taken) if model.context_length else 0
        given = parameters_of(model.remote_id, request, room)
        if (limit := self._limit_name.get(model.remote_id, "max_tokens")) != "max_tokens":
            given[limit] = given.pop("max_tokens")
        extras = extra_parameters(request) if self._takes_extras.get(model.remote_id, True) else {}
        if "grammar" not in extras and request.sampling.grammar:
            raise EngineError(Text("{name} follows no grammars.", name=self.name))
        api: Any = self._client.completions if request.prompt is not None else self._client.chat.completions
        try:
            stream: openai.AsyncStream[Any] = await api.create(**given, extra_body=extras or None)
        except REFUSALS as error:
            said = message_of(error).lower()
            if "max_completion_tokens" in said and limit == "max_tokens":
                self._limit_name[model.remote_id] = "max_completion_tokens"
            elif refuses_unknown(said, extras) and "grammar" not in extras:
                self._takes_extras[model.remote_id] = False
            else:
                raise
            return await self._begin(model, request, n_prompt)
        return stream

    takes_changes = False  # the protocol has no words for that

    def change(self, request_id: str, sampling: RequestOptions) -> None: ...

    def cancel(self, request_id: str) -> None:
        if task := self._tasks.get(request_id):
            task.cancel()

    async def preview(self, model: ModelRef, request: GenerationRequest) -> PromptBuilt:
        return (await self._fitted(model, request, exactly=True))[1]

    async def embed(self, model: ModelRef, texts: Sequence[str | Sequence[int]], *, request_id: str = "") -> Embeddings:
        try:
            given: Any = list(texts)
            answer = await self._client.embeddings.create(model=model.remote_id, input=given, encoding_format="float")
            by_index = sorted(answer.data, key=lambda each: each.index)
            vectors = [np.asarray(each.embedding, dtype=np.float64) for each in by_index]
            unit = [(vector / (np.linalg.norm(vector) or 1)).tolist() for vector in vectors]
        except Exception as error:
            raise EngineError(self._reason(error)) from None
        if len(unit) != len(texts):
            raise EngineError(
                Text("{name} gave {n} vectors for {n_texts} texts.", name=self.name, n=len(unit), n_texts=len(texts))
            )
        n_tokens = sum(size_of(Turn(Role.USER, text)) if isinstance(text, str) else len(text) for text in texts)
        return Embeddings(unit, count_in(answer.usage, "prompt_tokens", n_tokens))

    async def close(self) -> None:
        """End all that is under way."""
        if self._again is not None:
            self._again.cancel()
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
        # An estimate is good enough where there is room.
        near_full = 0 < model.context_length < NEAR_FULL * sum(sizes)
        # What is only looked at stays here.
        exactly = near_full if not exactly else not self._leaves_machine
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
            # Asked again when its models are.
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

    def _reason(self, error: Exception) -> str:
        return reason_of(error, self.name, self._shown_url, self._settings.key)


def _authorization(settings: EngineSettings) -> str:
    """The key, else the name and password that stand in the address."""
    url = urlsplit(settings.url)
    if settings.key or not url.username:
        return f"Bearer {settings.key or 'none'}"
    return "Basic " + b64encode(f"{unquote(url.username)}:{unquote(url.password or '')}".encode()).decode()


def _first(known: Sequence[ThinkingSupport]) -> ThinkingSupport:
    return next((support for support in known if support.thinks), NO_SUPPORT)


def _context_in(properties: Mapping[str, Any]) -> int:
    """How many tokens a conversation may have; 0 if there is no telling."""
    with suppress(KeyError, TypeError, ValueError):
        return int(properties["default_generation_settings"]["n_ctx"])
    return 0


def _context_of(card: openai.types.Model) -> int:
    """What a list of models says of a context, in tokens; 0 if nothing."""
    said = card.model_extra or {}
    meta = said.get("meta")
    for place in (said, meta if isinstance(meta, dict) else {}):
        for name in CONTEXT_NAMES:
            value = place.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return 0
