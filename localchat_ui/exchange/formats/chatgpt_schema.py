"""The parts of ChatGPT's `conversations.json` that are read.

The format is not documented and has changed often, so a field that cannot be read counts as missing: it keeps neither
its message nor the conversation from being imported.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WrapValidator

from localchat_ui.exchange.trees import AnyText

LATEST = datetime(9998, 1, 1, tzinfo=timezone.utc).timestamp()
MILLISECONDS = 1e11  # as seconds, this is the year 5138


def _or(default: Any) -> WrapValidator:
    """A field that is `default` when its value cannot be read."""

    def validate(value: Any, handler: Any) -> Any:
        try:
            return handler(value)
        except (ValidationError, OverflowError):
            return default() if callable(default) else default

    return WrapValidator(validate)


def _as_seconds(value: Any) -> Any:
    """Some exports have ISO 8601 texts or milliseconds."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
            return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()
    return value / 1000 if isinstance(value, (int, float)) and value > MILLISECONDS else value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_content(value: Any) -> Any:
    return {"parts": [value]} if isinstance(value, str) else value


def _as_mapping(value: Any) -> Any:
    """Some exports have a list of nodes."""
    return {str(node.get("id")): node for node in value if isinstance(node, dict)} if isinstance(value, list) else value


Text = Annotated[AnyText | None, _or(None)]
Seconds = Annotated[
    Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False), BeforeValidator(_as_seconds)] | None, _or(None)
]
Items = Annotated[list[Any], BeforeValidator(_as_list), _or(list)]


class Author(BaseModel):
    role: Text = None


class Content(BaseModel):
    content_type: Annotated[str, _or("text")] = "text"
    parts: Items = Field(default_factory=list)
    text: Text = None
    title: Text = None
    language: Text = None
    thoughts: Items = Field(default_factory=list)


class Metadata(BaseModel):
    # "model_" is a prefix that pydantic reserves otherwise.
    model_config = ConfigDict(protected_namespaces=())

    is_visually_hidden_from_conversation: Annotated[bool | None, _or(None)] = None
    model_slug: Text = None
    content_references: Items = Field(default_factory=list)


class NodeMessage(BaseModel):
    author: Annotated[Author, _or(Author)] = Author()
    create_time: Seconds = None
    content: Annotated[Content | None, BeforeValidator(_as_content), _or(None)] = None
    metadata: Annotated[Metadata, _or(Metadata)] = Metadata()
    weight: Annotated[float, _or(1.0)] = 1.0
    recipient: Text = None


class Node(BaseModel):
    message: Annotated[NodeMessage | None, _or(NodeMessage)] = None
    parent: Text = None
    children: Items = Field(default_factory=list)


class Exported(BaseModel):
    title: Text = None
    create_time: Seconds = None
    update_time: Seconds = None
    mapping: Annotated[dict[AnyText, Annotated[Node, _or(Node)]], BeforeValidator(_as_mapping)]
    current_node: Text = None
    default_model_slug: Text = None

    @property
    def parents(self) -> dict[str, str | None]:
        """By node. A node without a parent in the file is a root."""
        listed = {child: node for node, it in self.mapping.items() for child in it.children if isinstance(child, str)}
        return {node: it.parent if it.parent in self.mapping else listed.get(node) for node, it in self.mapping.items()}
