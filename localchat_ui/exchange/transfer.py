"""Import and export between files and the history."""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from localchat_ui.conversation import Conversation
from localchat_ui.exchange import archive, chatgpt, markdown
from localchat_ui.exchange.trees import ImportRefusedError, Reading, Tree
from localchat_ui.history.errors import HistoryError, UnknownConversationError
from localchat_ui.history.store import HistoryStore

MAX_BYTES = 64 * 1024 * 1024
_REASONS_TOLD = 5


@dataclass(frozen=True)
class ImportReport:
    """What came of an import; `str` of it is for people."""

    imported: list[Conversation]
    skipped: list[str]
    left_out: Counter[str]

    def __str__(self) -> str:
        total = len(self.imported) + len(self.skipped)
        sentences = [f"{len(self.imported)} of {_count(total, 'conversation')} imported."]
        if self.skipped:
            sentences.append(_skipped_sentence(self.skipped, total))
        if self.left_out:
            kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.left_out.most_common())
            sentences.append(f"Left out of them: {kinds}.")
        return " ".join(sentences)


async def import_file(store: HistoryStore, data: bytes) -> ImportReport:
    """Add the conversations of our JSON or of ChatGPT's conversations.json as new ones, each whole or not at all.

    Raises ImportRefusedError when nothing could be imported.
    """
    reading = await asyncio.to_thread(read_file, data)
    report = ImportReport([], reading.skipped, reading.left_out)
    for tree in reading.trees:
        try:
            await store.add_tree(tree.conversation, tree.messages)
        except HistoryError as error:
            # A full disk will not be less full for the next one.
            left = len(reading.trees) - len(report.imported)
            report.skipped.extend([str(error)] * left)
            break
        report.imported.append(tree.conversation)
    if not report.imported:
        raise ImportRefusedError(_skipped_sentence(report.skipped, len(report.skipped)))
    return report


def read_file(data: bytes) -> Reading:
    """The conversations of a file, with new ids; raises ImportRefusedError."""
    if len(data) > MAX_BYTES:
        raise ImportRefusedError(f"The file is larger than {MAX_BYTES // 2**20} MB. Split it, and import the parts.")
    if data.startswith(b"PK\x03\x04"):
        raise ImportRefusedError("This is a ZIP file. Unpack it, and import the conversations.json in it.")
    try:
        content = json.loads(data)
    except RecursionError:
        raise ImportRefusedError("The file is nested too deeply to be a list of conversations.") from None
    except ValueError:
        raise ImportRefusedError("The file is not JSON, or was cut off.") from None
    reading = _read_content(content)
    if not reading.trees and not reading.skipped:
        raise ImportRefusedError("There is no conversation in this file.")
    return reading


async def export_json(store: HistoryStore, conversation_id: str | None = None) -> str:
    """One conversation or all, with all branches, as our JSON. Raises UnknownConversationError or HistoryError."""
    trees = [
        Tree(conversation, await store.messages(conversation.id))
        async for conversation in _chosen(store, conversation_id)
    ]
    return await asyncio.to_thread(archive.write, trees)


async def export_markdown(
    store: HistoryStore, conversation_id: str | None = None, *, with_thinking: bool = True
) -> str:
    """The branch shown of one conversation, or of all, one after the other. Raises like `export_json`."""
    texts = [
        markdown.write(conversation, await store.branch(conversation.id), with_thinking=with_thinking)
        async for conversation in _chosen(store, conversation_id)
    ]
    return "\n---\n\n".join(texts)


def file_name(conversation: Conversation | None, extension: str) -> str:
    """A name for the exported file that every file system takes; without a conversation, one for all of them."""
    if conversation is None:
        return f"conversations.{extension}"
    plain = unicodedata.normalize("NFC", conversation.title)
    name = re.sub(r"[^\w ()+,-]+", " ", plain)
    return f"{' '.join(name.split())[:60].strip(' -,') or 'conversation'}.{extension}"


async def _chosen(store: HistoryStore, conversation_id: str | None) -> AsyncIterator[Conversation]:
    if conversation_id is not None:
        conversation = await store.conversation(conversation_id)
        if conversation is None:
            raise UnknownConversationError(conversation_id)
        yield conversation
        return
    # Read at once: the order may change between two pages of the list.
    for conversation in await store.conversations(limit=1_000_000):
        yield conversation


def _read_content(content: Any) -> Reading:
    if isinstance(content, dict) and content.get("format") == archive.FORMAT:
        version, conversations = content.get("version"), content.get("conversations")
        if not isinstance(version, int) or version > archive.VERSION:
            raise ImportRefusedError("The file was made by a newer version of localchat_ui. Update it, and try again.")
        if isinstance(conversations, list):
            return archive.read(conversations)
    if isinstance(content, dict) and "mapping" in content:
        return chatgpt.read([content])
    if isinstance(content, list) and (
        not content or any(isinstance(item, dict) and "mapping" in item for item in content)
    ):
        return chatgpt.read(content)
    raise ImportRefusedError("This is neither an export of localchat_ui nor a conversations.json of ChatGPT.")


def _skipped_sentence(skipped: list[str], total: int) -> str:
    verb = "was" if len(skipped) == 1 else "were"
    reasons = "; ".join(skipped[:_REASONS_TOLD]) + ("; and so on" if len(skipped) > _REASONS_TOLD else "")
    return f"{len(skipped)} of {_count(total, 'conversation')} {verb} skipped: {reasons.rstrip('.')}."


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
