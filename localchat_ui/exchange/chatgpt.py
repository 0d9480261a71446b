"""ChatGPT's `conversations.json`: a list of conversations, each a mapping of nodes that name their parent.

Not every node is a turn: there are empty roots, hidden instructions, calls of tools and what the tools gave back. Those
are left out and counted, and what hangs on them hangs on the turn above. Thoughts belong to the answer below them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from localchat_ui.conversation import (
    SYSTEM_PROMPT_LENGTH,
    ChatOptions,
    Conversation,
    Message,
    Role,
    new_id,
    title_of,
    utc_now,
)
from localchat_ui.exchange.trees import AnyText, Reading, SkippedError, Tree, explain, name_of, parents_first, whole

LATEST = datetime(9998, 1, 1, tzinfo=timezone.utc).timestamp()
Seconds = Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)]


def _nothing_for_null(value: Any) -> Any:
    return {} if value is None else value


class Author(BaseModel):
    role: str = ""


class Content(BaseModel):
    model_config = ConfigDict(extra="ignore")

    content_type: str = "text"
    parts: list[Any] = Field(default_factory=list)
    text: AnyText | None = None
    language: AnyText | None = None
    thoughts: list[Any] = Field(default_factory=list)


class Metadata(BaseModel):
    # "model_" is a prefix that pydantic keeps for itself unless told otherwise.
    model_config = ConfigDict(protected_namespaces=())

    is_visually_hidden_from_conversation: bool | None = None
    model_slug: AnyText | None = None


class NodeMessage(BaseModel):
    author: Author
    create_time: Seconds | None = None
    content: Annotated[Content, BeforeValidator(_nothing_for_null)] = Content()
    metadata: Annotated[Metadata, BeforeValidator(_nothing_for_null)] = Metadata()


class Node(BaseModel):
    message: NodeMessage | None = None
    parent: AnyText | None = None


class Exported(BaseModel):
    title: AnyText | None = None
    create_time: Seconds | None = None
    update_time: Seconds | None = None
    mapping: dict[AnyText, Node]
    current_node: AnyText | None = None


def read(conversations: Sequence[Any]) -> Reading:
    """What the items of the list hold."""
    reading = Reading()
    for item in conversations:
        left_out: Counter[str] = Counter()
        try:
            reading.trees.append(_tree_of(Exported.model_validate(item), left_out))
            reading.left_out += left_out
        except ValidationError as error:
            reading.skipped.append(f"{name_of(item)}: {explain(error)}")
        except SkippedError as error:
            reading.skipped.append(f"{name_of(item)}: {error}")
    return reading


def _tree_of(exported: Exported, left_out: Counter[str]) -> Tree:
    started = _moment(exported.create_time) or _moment(exported.update_time) or utc_now()
    system_prompt = ""
    conversation = Conversation(created_at=started, updated_at=_moment(exported.update_time) or started)
    messages: list[Message] = []
    # For every node, the turn it is or hangs on, and the thoughts since then that wait for their answer.
    turns: dict[str | None, Message | None] = {None: None}
    thoughts: dict[str | None, str] = {None: ""}
    for node_id in parents_first({node_id: node.parent for node_id, node in exported.mapping.items()}):
        node = exported.mapping[node_id]
        above, pending = turns[node.parent], thoughts[node.parent]
        turns[node_id], thoughts[node_id] = above, pending
        if node.message is None:
            continue
        role, text, thinking = _read_message(node.message, left_out)
        if thinking:
            thoughts[node_id] = f"{pending}\n\n{thinking}".strip()
        elif role is Role.SYSTEM:
            system_prompt = system_prompt or text[:SYSTEM_PROMPT_LENGTH]
        elif role and text:
            # Without a time of its own it comes right after the turn above, so that branches keep their order.
            after = (above.created_at if above else started) + timedelta(microseconds=1)
            message = Message(conversation.id, role, text, above.id if above else None, id=new_id())
            message.created_at = _moment(node.message.create_time) or after
            if role is Role.ASSISTANT:
                message.model, message.thinking = node.message.metadata.model_slug, pending
            messages.append(message)
            turns[node_id], thoughts[node_id] = message, ""
    if not messages:
        raise SkippedError("there is no text in it")
    head = turns.get(exported.current_node) or max(messages, key=lambda message: message.created_at)
    first_question = next((message.text for message in messages if message.role is Role.USER), messages[0].text)
    conversation.title = title_of(exported.title or "") or title_of(first_question)
    conversation.head_id = head.id
    if system_prompt:
        conversation.options = ChatOptions(system_prompt=system_prompt)
    return Tree(conversation, messages)


def _read_message(message: NodeMessage, left_out: Counter[str]) -> tuple[Role | None, str, str]:
    """Role, text and thinking; no role for what is not part of the talk."""
    content = message.content
    if content.content_type == "thoughts":
        found = [thought.get("content") for thought in content.thoughts if isinstance(thought, dict)]
        return None, "", "\n\n".join(whole(text) for text in found if isinstance(text, str))
    text = _text_of(content, left_out).strip("\n")
    role = message.author.role
    if not text.strip() or content.content_type == "reasoning_recap":
        return None, "", ""
    if message.metadata.is_visually_hidden_from_conversation or content.content_type.endswith("_editable_context"):
        left_out["hidden instructions"] += 1
        return None, "", ""
    if role not in {"user", "assistant", "system"}:
        left_out["messages of tools"] += 1
        return None, "", ""
    return Role(role), text, ""


def _text_of(content: Content, left_out: Counter[str]) -> str:
    if content.content_type == "code" and content.text:
        language = content.language if content.language and content.language.isalnum() else ""
        return f"```{'' if language == 'unknown' else language}\n{content.text}\n```"
    if content.text:
        return content.text
    texts = []
    for part in content.parts:
        if isinstance(part, str):
            texts.append(whole(part))
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(whole(part["text"]))
        elif part:
            is_image = isinstance(part, dict) and "image" in str(part.get("content_type"))
            left_out["pictures" if is_image else "attachments"] += 1
            texts.append("[picture]" if is_image else "[attachment]")
    return "\n\n".join(text for text in texts if text)


def _moment(seconds: float | None) -> datetime | None:
    return min(datetime.fromtimestamp(seconds, timezone.utc), utc_now()) if seconds else None
