"""A history to import into, and conversations to export."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from localchat_ui.conversation import (
    ChatOptions,
    Conversation,
    GenerationStats,
    Message,
    MessageState,
    Role,
    SamplingOptions,
)
from localchat_ui.exchange import export_file
from localchat_ui.history.database import Database
from localchat_ui.history.store import HistoryStore

START = datetime(2024, 2, 29, 8, 30, 0, 123456, tzinfo=timezone.utc)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[HistoryStore]:
    store = HistoryStore(await Database(f"sqlite:///{tmp_path / 'chat.sqlite3'}").open())
    yield store
    await store.database.close()


def a_tree() -> tuple[Conversation, list[Message]]:
    conversation = Conversation("Größe 🙂", ChatOptions(top_k=3, system_prompt="Sing."), pinned=True, created_at=START)
    question = Message(conversation.id, Role.USER, "How high is Mont Blanc?", created_at=START)
    stats = GenerationStats(
        reply_tokens=4, tokens_per_second=48.2, sampling=SamplingOptions(seed=7), thinking_seconds=0.25
    )
    first = Message(
        conversation.id, Role.ASSISTANT, "4806 m", question.id, stats=stats, thinking="The Alps?", model="m"
    )
    second = Message(conversation.id, Role.ASSISTANT, "High", question.id, MessageState.FAILED, error="It slept.")
    conversation.head_id = first.id
    return conversation, [question, first, second]


async def exported(store: HistoryStore, conversation_id: str | None = None, extension: str = "json") -> str:
    return (await export_file(store, extension, conversation_id))[1]
