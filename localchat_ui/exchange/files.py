"""Imports files into the history, and exports the history to files."""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Any

from localchat_ui.conversation import Conversation
from localchat_ui.exchange.formats import EXPORTS, FORMATS
from localchat_ui.exchange.trees import ImportRefusedError, Reading, Tree
from localchat_ui.history.errors import HistoryError, UnknownConversationError
from localchat_ui.history.store import HistoryStore
from localchat_ui.text import N_, Text, counted

REASONS_TOLD = 5
ALL = 1_000_000


@dataclass(frozen=True)
class ImportReport:
    """The result of an import; `str` of it is for people."""

    imported: list[Conversation]
    skipped: list[str]
    left_out: Counter[str]

    def __str__(self) -> str:
        total = len(self.imported) + len(self.skipped)
        one, many = N_("{n} of {total} conversation imported."), N_("{n} of {total} conversations imported.")
        sentences: list[str] = [Text(one if total == 1 else many, n=len(self.imported), total=total)]
        if self.skipped:
            sentences.append(_skipped_sentence(self.skipped, total))
        if self.left_out:
            kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.left_out.most_common())
            sentences.append(Text("Left out of them: {kinds}.", kinds=kinds))
        return Text.joined(" ", sentences)


async def import_file(store: HistoryStore, data: bytes) -> ImportReport:
    """Add the conversations of a file as new ones, each whole or not at all.

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
    """The conversations of a file, with new ids. Raises ImportRefusedError."""
    if data.startswith(b"PK\x03\x04"):
        raise ImportRefusedError(Text("This is a ZIP file. Unpack it, and import the conversations.json in it."))
    try:
        content = json.loads(data)
    except RecursionError:
        raise ImportRefusedError(Text("The file is nested too deeply to be a list of conversations.")) from None
    except ValueError:
        raise ImportRefusedError(Text("The file is not JSON, or was cut off.")) from None
    reading = _read_content(content)
    if not reading.trees and not reading.skipped:
        raise ImportRefusedError(Text("There is no conversation in this file."))
    return reading


async def export_file(store: HistoryStore, extension: str, conversation_id: str | None = None) -> tuple[str, str]:
    """Name and text of a file with one conversation, or all. Raises UnknownConversationError and HistoryError."""
    write = EXPORTS[extension].write
    assert write
    chosen = await store.conversation(conversation_id) if conversation_id else None
    if conversation_id and chosen is None:
        raise UnknownConversationError(conversation_id)
    # All at once: their order may change between two pages of the list. Columns of comparisons go with them.
    conversations = [chosen] if chosen else await store.conversations(ALL, with_columns=True)
    trees = [Tree(conversation, await store.messages(conversation.id)) for conversation in conversations]
    return _file_name(chosen, extension), await asyncio.to_thread(write, trees)


def _file_name(conversation: Conversation | None, extension: str) -> str:
    """A name that every file system accepts."""
    if conversation is None:
        return f"conversations.{extension}"
    plain = unicodedata.normalize("NFC", conversation.title)
    name = re.sub(r"[^\w ()+,-]+", " ", plain)
    return f"{' '.join(name.split())[:60].strip(' -,') or 'conversation'}.{extension}"


def _read_content(content: Any) -> Reading:
    for each in FORMATS:
        reading = each.read(content) if each.read else None
        if reading is not None:
            return reading
    raise ImportRefusedError(
        Text(
            "This is neither {formats}.",
            formats=" nor ".join(each.description for each in FORMATS if each.read),
        )
    )


def _skipped_sentence(skipped: list[str], total: int) -> str:
    reasons = "; ".join(skipped[:REASONS_TOLD]) + ("; and so on" if len(skipped) > REASONS_TOLD else "")
    if total == 1:
        return Text("1 of 1 conversation was skipped: {reasons}.", reasons=reasons.rstrip("."))
    return counted(
        "{n} of {total} conversations was skipped: {reasons}.",
        "{n} of {total} conversations were skipped: {reasons}.",
        len(skipped),
        total=total,
        reasons=reasons.rstrip("."),
    )
