"""A chat service on a real database and an engine that says what it is told to say, and what one does with it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from localchat_ui.access import current_owner
from localchat_ui.access.quotas import Quotas
from localchat_ui.chat import ChatDefaults, ChatService, Reply
from localchat_ui.conversation import ChatOptions, Conversation, Message, MessageState, Role
from localchat_ui.engine.base import Emit, Event, GenerationRequest, LoadedModel
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.history.database import Database
from localchat_ui.history.preferences import Preferences
from localchat_ui.history.store import HistoryStore
from localchat_ui.inference import Inference, ModelRef, ModelRegistry
from localchat_ui.inference.first_download import FirstDownload
from localchat_ui.inference.local import LocalBackend
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.model_file import ModelFile
from localchat_ui.library.queue import DownloadQueue, Job, JobFile

MODEL = ModelRef.of_file(ModelFile(Path("tiny.gguf"), "tiny", None, "", 1, 0, None, is_starter=True))
OPTIONS = ChatOptions(system_prompt="Be brief.", temperature=0.3)
STORY = [f"word{n} " for n in range(300)]


class SlowLoader(ScriptedEngine):
    """Loads a model when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_load = threading.Event()

    def load(self, path: Path, on_progress: Callable[[float], None]) -> LoadedModel:
        assert self.may_load.wait(10)
        return super().load(path, on_progress)

    def close(self) -> None:
        self.may_load.set()
        super().close()


class SlowTaker(ScriptedEngine):
    """Takes its time with a request, as with a long prompt; and ignores what it does not know, as an engine does."""

    def __init__(self) -> None:
        super().__init__(seconds_per_token=0.005)
        self.taking = threading.Event()
        self.may_take = threading.Event()
        self.written = 0

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        def count(event: Event) -> None:
            self.written += 1
            emit(event)

        self.taking.set()
        assert self.may_take.wait(10)
        super().submit(request, count)

    def cancel(self, request_id: str) -> None:
        if any(request.id == request_id for request in self.requests):
            super().cancel(request_id)


class House:
    """A chat service with everything it needs, on one database file. Enter another on the same file for a restart."""

    def __init__(self, folder: Path, engine: ScriptedEngine, quotas: Quotas | None = None) -> None:
        self.engine = engine
        url = f"sqlite+aiosqlite:///{folder / 'chat.sqlite3'}"
        self.store = HistoryStore(Database(url, current_owner=current_owner))
        preferences = Preferences(self.store.database)
        catalog = Catalog(folder / "models", folder / "models.json", probe=["/no/such/program"])
        self.local = LocalBackend(engine, catalog)
        self.inference = Inference(self.local)
        self.models = ModelRegistry(self.local, catalog, preferences, first_download=first_download(folder))
        self.chat = ChatService(self.inference, self.store, self.models, ChatDefaults(OPTIONS, preferences), quotas)

    async def __aenter__(self) -> House:
        await self.store.database.open()
        await self.chat.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.chat.close()
        await self.local.close()
        await self.models.close()
        await self.store.database.close()


async def said(chat: ChatService, *questions: str) -> Conversation:
    """A conversation in which these were asked and answered."""
    conversation = chat.new_conversation()
    for question in questions:
        await finished(await chat.send(conversation, question))
    return conversation


async def shown(chat: ChatService, conversation: Conversation) -> list[Message]:
    return (await chat.messages(conversation.id))[0]


class Watcher:
    """A page, as far as text goes: takes what is there, then follows the events."""

    def __init__(self, message: Message, reply: Reply | None) -> None:
        self.text = message.text
        self.joined_while_writing = reply is not None
        self._message = message
        if reply is not None:
            reply.changed.subscribe(self._grow)

    @classmethod
    async def join(cls, chat: ChatService, conversation_id: str) -> Watcher:
        messages, reply = await chat.messages(conversation_id)
        return cls(messages[-1], reply)

    def _grow(self) -> None:
        assert self._message.text.startswith(self.text)
        self.text = self._message.text


async def begin_story(chat: ChatService, engine: ScriptedEngine) -> tuple[Conversation, Reply]:
    """A long reply of which some words are there already."""
    engine.seconds_per_token = 0.002
    engine.enqueue(*STORY)
    conversation = chat.new_conversation()
    reply = await chat.send(conversation, "Tell me a story")
    await until(lambda: reply.n_tokens > 0)
    return conversation, reply


async def finished(reply: Reply | None) -> None:
    assert reply is not None
    assert reply.task is not None
    await asyncio.wait_for(asyncio.shield(reply.task), 10)
    assert reply.finished


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def texts(chat: ChatService, conversation: Conversation) -> list[tuple[Role, str, MessageState]]:
    messages, _ = await chat.messages(conversation.id)
    return [(message.role, message.text, message.state) for message in messages]


def turns(engine: ScriptedEngine) -> list[tuple[str, str]]:
    """What the model read last."""
    return [(turn.role.value, turn.text) for turn in engine.requests[-1].turns]


def failing(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


def failing_async(error: Exception) -> Callable[..., Awaitable[NoReturn]]:
    async def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail


def counting(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[None]:
    """Counts the calls of an asynchronous method."""
    calls: list[None] = []
    method = getattr(owner, name)

    async def call(*arguments: Any, **options: Any) -> Any:
        calls.append(None)
        return await method(*arguments, **options)

    monkeypatch.setattr(owner, name, call)
    return calls


def slow_journal(monkeypatch: pytest.MonkeyPatch, store: HistoryStore) -> asyncio.Event:
    """Lets saving a reply take a moment; the event says that it has begun."""
    saving = asyncio.Event()
    write = store.journal._write

    async def write_slowly(messages: Sequence[Message]) -> None:
        saving.set()
        await asyncio.sleep(0.05)
        await write(messages)

    monkeypatch.setattr(store.journal, "_write", write_slowly)
    return saving


def first_download(folder: Path) -> FirstDownload:
    def no_download(*_: object) -> NoReturn:
        raise AssertionError("nothing is downloaded here")

    queue = DownloadQueue(folder / "models", folder / "downloads.json", no_download)
    return FirstDownload(queue, lambda: Job("a/b", "", (JobFile("nothing.gguf"),)))
