"""Conversations in motion: what pages and routes do to them all goes through `ChatService`."""

from localchat_ui.chat.comparisons import ComparisonService
from localchat_ui.chat.defaults import ChatDefaults
from localchat_ui.chat.errors import ChatError, RefusedError
from localchat_ui.chat.prompt import PromptView
from localchat_ui.chat.reply import Reply
from localchat_ui.chat.service import ChatService
from localchat_ui.chat.titles import TitleWriter
from localchat_ui.chat.token_scores import ScoredToken

__all__ = [
    "ChatDefaults",
    "ChatError",
    "ChatService",
    "ComparisonService",
    "PromptView",
    "RefusedError",
    "Reply",
    "ScoredToken",
    "TitleWriter",
]
