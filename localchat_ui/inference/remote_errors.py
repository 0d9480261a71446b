"""What servers elsewhere say when something is wrong, in words for people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

import openai

from localchat_ui.engine.base import FailureKind
from localchat_ui.text import Text

MESSAGE_LENGTH = 300
REFUSALS = (openai.BadRequestError, openai.UnprocessableEntityError)
# What servers say of a parameter that they do not know.
UNKNOWN = ("unrecognized", "unknown", "unsupported", "unexpected", "extra", "not permitted", "not allowed")


def reason_of(error: Exception, name: str, url: str, key: str) -> str:  # noqa: PLR0911 - a table
    """Why a request to the server of this name failed; never with the key in it."""
    if isinstance(error, (openai.APITimeoutError, TimeoutError, asyncio.TimeoutError)):
        return Text("{name} does not answer in time. Try again, or choose another model.", name=name)
    if isinstance(error, openai.APIConnectionError):
        return Text("{name} cannot be reached at {url}. Start it, or choose another model.", name=name, url=url)
    if isinstance(error, (openai.AuthenticationError, openai.PermissionDeniedError)):
        return Text("{name} refuses the key. Set the right one in ENGINES.", name=name)
    if isinstance(error, openai.RateLimitError):
        return Text("{name} takes no more requests for now. Try again later, or choose another model.", name=name)
    if isinstance(error, openai.NotFoundError):
        return Text("{name} does not know this model or this kind of request.", name=name)
    if isinstance(error, openai.APIStatusError):
        return Text("{name} refused: {reason}", name=name, reason=_without(key, message_of(error)))
    if type(error).__module__.startswith("httpx"):  # raised as it is, in mid-reply
        return Text("The connection to {name} broke off. Try again.", name=name)
    if isinstance(error, openai.APIError):
        return Text("{name} failed: {reason}", name=name, reason=_without(key, str(error.message)))
    return Text(
        "{name} answered with something that is no reply. Is {url} the address of an OpenAI-compatible server?",
        name=name,
        url=url,
    )


def kind_of(error: Exception) -> FailureKind:
    """What that means for whoever asked."""
    if isinstance(error, REFUSALS):
        return "refused"
    if isinstance(error, (openai.APITimeoutError, TimeoutError, asyncio.TimeoutError)):
        return "timeout"
    if isinstance(error, openai.RateLimitError):
        return "overloaded"
    return "unavailable"


def message_of(error: openai.APIStatusError) -> str:
    """The words of the server itself."""
    body = error.body
    if isinstance(body, dict):
        return str(body.get("message") or body.get("error") or body.get("detail") or json.dumps(body))
    return str(error.message)


def refuses_unknown(said: str, parameters: Iterable[str]) -> bool:
    """Whether a server says, in small letters, that it does not know one of these parameters."""
    return any(word in said for word in UNKNOWN) and any(name in said for name in (*parameters, "extra", "body"))


def _without(key: str, text: str) -> str:
    return (text.replace(key, "…") if key else text)[:MESSAGE_LENGTH]
