"""ChatGPT's `conversations.json`: a list of conversations, each a mapping of nodes to messages.

Not every node is a turn: there are empty roots, hidden instructions, calls of tools and their results. Those are left
out and counted, and their children become children of the turn above them. Thoughts belong to the answer below them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from pydantic import ValidationError

from localchat_ui.conversation import (
    SYSTEM_PROMPT_LENGTH,
    ChatOptions,
    Conversation,
    Message,
    Role,
    title_of,
    utc_now,
)
from localchat_ui.exchange.formats.chatgpt_schema import Content, Exported, Metadata, NodeMessage
from localchat_ui.exchange.trees import (
    Format,
    Reading,
    SkippedError,
    Tree,
    explain,
    name_of,
    parents_first,
    whole,
)
from localchat_ui.text import Text

# Marks in the private use area around what ChatGPT renders as a chip, and the style before them.
CHIP = re.compile("\ue200([a-z_]*)\ue202?([^\ue200\ue201]*)\ue201")
MARKS = re.compile("[\ue200-\ue206]")
OLD_CITATION = re.compile(r"【\d+(?::\d+)?†[^】\n]*】")


def read(content: Any) -> Reading | None:
    """A list of conversations, an object around it, or a single conversation."""
    if isinstance(content, dict):
        content = [content] if "mapping" in content else content.get("conversations")
    if not isinstance(content, list) or not (content == [] or any(_has_mapping(item) for item in content)):
        return None
    reading = Reading()
    for item in content:
        left_out: Counter[str] = Counter()
        try:
            reading.trees.append(_tree_of(Exported.model_validate(item), left_out))
            reading.left_out += left_out  # without what is zero
        except ValidationError as error:
            reading.skipped.append(f"{name_of(item)}: {explain(error)}")
        except SkippedError as error:
            reading.skipped.append(f"{name_of(item)}: {error}")
    return reading


def _has_mapping(item: Any) -> bool:
    return isinstance(item, dict) and "mapping" in item


class _Turn(NamedTuple):
    """What a node contributes; without a role it is no turn."""

    role: Role | None = None
    text: str = ""
    thinking: str = ""


class _Place(NamedTuple):
    """Where the children of a node go: below this message, and after the thoughts of these nodes."""

    message: Message | None = None
    thoughts: tuple[str, ...] = ()


def _tree_of(exported: Exported, left_out: Counter[str]) -> Tree:
    moments = [node.message.create_time for node in exported.mapping.values() if node.message]
    created = _moment(exported.create_time or min(filter(None, moments), default=exported.update_time))
    updated = _moment(exported.update_time or max(filter(None, moments), default=exported.create_time))
    started = created or utc_now()
    conversation = Conversation(created_at=started, updated_at=updated or started)
    messages: list[Message] = []
    system_prompts: list[str] = []
    thoughts: dict[str, str] = {}
    answered: set[str] = set()
    places: dict[str | None, _Place] = {None: _Place()}
    parents = exported.parents
    for node_id in parents_first(parents):
        node, above = exported.mapping[node_id].message, places[parents[node_id]]
        turn = _turn_of(node, left_out) if node else _Turn()
        if turn.role is Role.SYSTEM and above.message is None:
            system_prompts.append(turn.text)
        elif node and turn.role:
            # Without a time of its own it comes right after its parent, so that branches keep their order.
            after = (above.message.created_at if above.message else started) + timedelta(microseconds=1)
            message = Message(conversation.id, turn.role, turn.text, above.message.id if above.message else None)
            message.created_at = _moment(node.create_time) or after
            if turn.role is Role.ASSISTANT:
                message.model = node.metadata.model_slug or exported.default_model_slug
                message.thinking = "\n\n".join(thoughts[thought] for thought in above.thoughts)
                answered.update(above.thoughts)
            messages.append(message)
            above = _Place(message)
        elif turn.thinking:
            thoughts[node_id] = turn.thinking
            above = _Place(above.message, (*above.thoughts, node_id))
        places[node_id] = above
    if not messages:
        raise SkippedError(Text("there is no text in it"))
    head = places.get(exported.current_node, _Place()).message or _latest(messages)
    first_question = next((message.text for message in messages if message.role is Role.USER), messages[0].text)
    conversation.title = title_of(exported.title or "") or title_of(first_question)
    conversation.head_id = head.id
    system_prompt = "\n\n".join(system_prompts)
    if system_prompt:
        conversation.options = ChatOptions(system_prompt=system_prompt[:SYSTEM_PROMPT_LENGTH])
    left_out["thoughts without an answer"] += len(thoughts.keys() - answered)
    left_out["ends of system prompts"] += len(system_prompt) > SYSTEM_PROMPT_LENGTH
    return Tree(conversation, messages)


def _latest(messages: list[Message]) -> Message:
    """Of the same time, the one furthest from the root."""
    return max(enumerate(messages), key=lambda item: (item[1].created_at, item[0]))[1]


def _turn_of(message: NodeMessage, left_out: Counter[str]) -> _Turn:
    role, content = message.author.role, message.content
    if content and content.content_type == "thoughts":
        found = [thought.get("content") for thought in content.thoughts if isinstance(thought, dict)]
        return _Turn(thinking="\n\n".join(whole(text) for text in found if isinstance(text, str)))
    text = _text_of(content, left_out).strip("\n") if content else ""
    if kind := _kind_left_out(message, has_text=bool(text.strip())):
        left_out[kind] += 1
    elif role and text.strip():
        return _Turn(Role(role), _without_marks(text, message.metadata, left_out) if role == "assistant" else text)
    return _Turn()


def _kind_left_out(message: NodeMessage, *, has_text: bool) -> str:
    """What a message that is no turn is counted as. Empty for turns, and for messages that are known to be empty."""
    role, content = message.author.role, message.content
    content_type = content.content_type if content else ""
    # `"parts": [""]` is an empty message; one without text and parts is of a type that is not known here.
    is_known = bool(content and (content.parts or content.text is not None)) or content_type == "reasoning_recap"
    kinds = {
        "messages of tools": role not in {None, "user", "assistant", "system"},
        "hidden instructions": content_type.endswith("_editable_context")
        or (has_text and bool(message.metadata.is_visually_hidden_from_conversation)),
        "messages that cannot be read": not is_known and role != "system",
        "hidden messages": has_text and message.weight == 0,
        "messages without an author": has_text and role is None,
        "calls of tools": has_text and role == "assistant" and message.recipient not in {None, "all", "python"},
    }
    return next((kind for kind, applies in kinds.items() if applies), "")


def _text_of(content: Content, left_out: Counter[str]) -> str:
    if content.content_type == "code" and content.text:
        language = content.language if content.language and content.language.isalnum() else ""
        return f"```{'' if language == 'unknown' else language}\n{content.text}\n```"
    if content.text:
        # Quoted files have a title.
        return f"{content.title}\n\n{content.text}" if content.title else content.text
    texts = []
    for part in content.parts:
        if isinstance(part, str):
            texts.append(whole(part))
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(whole(part["text"]))
        elif part:
            kind = str(part.get("content_type")) if isinstance(part, dict) else ""
            name = next((name for sign, name in (("image", "picture"), ("audio", "recording")) if sign in kind), "")
            left_out[f"{name or 'attachment'}s"] += 1
            texts.append(f"[{name or 'attachment'}]")
    return "\n\n".join(text for text in texts if text)


def _without_marks(text: str, metadata: Metadata, left_out: Counter[str]) -> str:
    """Citations become the links that the metadata has for them. Others lead nowhere and are left out."""
    for reference in metadata.content_references:
        if isinstance(reference, dict):
            marked, link = reference.get("matched_text"), reference.get("alt")
            if isinstance(marked, str) and isinstance(link, str) and marked.strip() and link:
                text = text.replace(marked, whole(link))

    def plain(chip: re.Match[str]) -> str:
        shown = _entity_name(chip[2]) if chip[1] == "entity" else ""
        left_out["citations"] += not shown
        return shown

    text, n_old = OLD_CITATION.subn("", CHIP.sub(plain, text))
    left_out["citations"] += n_old
    return MARKS.sub("", text)


def _entity_name(payload: str) -> str:
    """Of `["people", "A. Writer", 0]`."""
    try:
        return str(json.loads(payload)[1])
    except (ValueError, LookupError, TypeError):
        return ""


def _moment(seconds: float | None) -> datetime | None:
    return min(datetime.fromtimestamp(seconds, timezone.utc), utc_now()) if seconds else None


FORMAT = Format(description="a conversations.json of ChatGPT", read=read)
