"""The JSON of this program: everything that is stored of a conversation, with all its branches.

    {"format": "localchat_ui", "version": 2, "exported_at": "2026-01-31T12:00:00Z", "conversations": [
        {"title": "…", "pinned": false, "created_at": "…", "updated_at": "…", "options": {…}, "head": "id or null",
         "messages": [{"id": "…", "parent": "id or null", "role": "user", "text": "…", …}, …]}, …]}

Ids refer to messages of the same file; an import replaces them. Any change of the format gets a higher version.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from localchat_ui.conversation import (
    Attachment,
    ChatOptions,
    Conversation,
    GenerationStats,
    Message,
    MessageState,
    Role,
    new_id,
    utc_now,
)
from localchat_ui.exchange.trees import (
    AnyText,
    Format,
    ImportRefusedError,
    Moment,
    Reading,
    SkippedError,
    Tree,
    explain,
    name_of,
    parents_first,
    whole,
)
from localchat_ui.text import Text

NAME = "localchat_ui"
VERSION = 2  # 1 has no attachments
TITLE_LIMIT = 1_000

Id = Annotated[AnyText, Field(min_length=1, max_length=200)]


def _not_a_tool(role: Role) -> Role:
    if role is Role.TOOL:
        raise ValueError("tools have no messages of their own in a conversation")
    return role


def _whole_files(files: Any) -> Any:
    """Without unpaired surrogates, which JSON can contain and text cannot."""
    if not isinstance(files, list):
        return files
    return [
        {key: whole(value) if isinstance(value, str) else value for key, value in file.items()}
        if isinstance(file, dict)
        else file
        for file in files
    ]


class ArchivedMessage(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: Id
    parent: Id | None = None
    role: Annotated[Role, AfterValidator(_not_a_tool)]
    text: AnyText
    thinking: AnyText = ""
    state: MessageState = MessageState.COMPLETE
    model: AnyText | None = None
    error: AnyText | None = None
    stats: GenerationStats | None = None
    created_at: Moment
    attachments: Annotated[tuple[Attachment, ...], BeforeValidator(_whole_files)] = ()


class ArchivedConversation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: Annotated[AnyText, Field(max_length=TITLE_LIMIT)] = ""
    pinned: bool = False
    created_at: Moment
    updated_at: Moment
    options: ChatOptions
    head: Id | None = None
    messages: list[ArchivedMessage]


class Archive(BaseModel):
    format: Literal["localchat_ui"] = "localchat_ui"
    version: int = VERSION
    exported_at: datetime = Field(default_factory=utc_now)
    conversations: list[ArchivedConversation]


def write(trees: Sequence[Tree]) -> str:
    return Archive(conversations=[_archived(tree) for tree in trees]).model_dump_json(indent=1)


def read(content: Any) -> Reading | None:
    if not isinstance(content, dict) or content.get("format") != NAME:
        return None
    version, conversations = content.get("version"), content.get("conversations")
    if not isinstance(version, int) or version > VERSION:
        raise ImportRefusedError(
            Text("The file was made by a newer version of localchat_ui. Update it, and try again.")
        )
    if not isinstance(conversations, list):
        return None
    reading = Reading()
    for item in conversations:
        try:
            reading.trees.append(_tree_of(ArchivedConversation.model_validate(item)))
        except ValidationError as error:
            reading.skipped.append(f"{name_of(item)}: {explain(error)}")
        except SkippedError as error:
            reading.skipped.append(f"{name_of(item)}: {error}")
    return reading


def _archived(tree: Tree) -> ArchivedConversation:
    conversation = tree.conversation
    return ArchivedConversation.model_construct(
        title=conversation.title[:TITLE_LIMIT],
        pinned=conversation.pinned,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
        options=conversation.options,
        head=conversation.head_id,
        messages=[
            ArchivedMessage.model_construct(
                id=message.id,
                parent=message.parent_id,
                role=message.role,
                text=message.text,
                thinking=message.thinking,
                state=message.state,
                model=message.model,
                error=message.error,
                stats=message.stats,
                created_at=message.created_at,
                attachments=message.attachments,
            )
            for message in tree.messages
        ],
    )


def _tree_of(archived: ArchivedConversation) -> Tree:
    by_id = {message.id: message for message in archived.messages}
    if len(by_id) < len(archived.messages):
        raise SkippedError(Text("two messages have the same id"))
    if archived.head is not None and archived.head not in by_id:
        raise SkippedError(Text("the message it ends with is not in the file"))
    ids: dict[str | None, str] = {old: new_id() for old in by_id}
    conversation = Conversation(
        archived.title,
        archived.options,
        ids.get(archived.head),
        archived.pinned,
        created_at=archived.created_at,
        updated_at=archived.updated_at,
    )
    ordered = [by_id[old] for old in parents_first({old: message.parent for old, message in by_id.items()})]
    return Tree(
        conversation,
        [
            Message(
                conversation.id,
                message.role,
                message.text,
                ids.get(message.parent),
                # No reply is running for it.
                MessageState.INTERRUPTED if message.state is MessageState.WRITING else message.state,
                message.model,
                message.error,
                message.stats,
                message.thinking,
                ids[message.id],
                message.created_at,
                message.attachments,
            )
            for message in ordered
        ],
    )


FORMAT = Format(
    description="an export of localchat_ui",
    read=read,
    label="JSON",
    extension="json",
    media_type="application/json",
    write=write,
)
