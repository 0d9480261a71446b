"""What went wrong, in the shape that clients of OpenAI's protocol read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from localchat_ui.access import ERROR_TYPES, AccessError
from localchat_ui.chat import ChatError, RefusedError
from localchat_ui.engine.base import (
    EngineError,
    GenerationFailed,
    ModelLoadError,
    NoModelError,
    PromptTooLongError,
)
from localchat_ui.history.errors import HistoryError
from localchat_ui.inference import QueueFullError, UnknownModelError
from localchat_ui.library.model_file import displayable

INVALID = "invalid_request_error"
SERVER = "server_error"
MESSAGE_LENGTH = 2000
RETRY_SECONDS = 5
# A reply that ended with an error: status and code by its kind.
FAILURES = {
    "failed": (HTTPStatus.INTERNAL_SERVER_ERROR, "generation_failed"),
    "unavailable": (HTTPStatus.BAD_GATEWAY, "engine_unavailable"),
    "overloaded": (HTTPStatus.TOO_MANY_REQUESTS, "engine_overloaded"),
    "timeout": (HTTPStatus.GATEWAY_TIMEOUT, "engine_timeout"),
}
# Parts of a location that name a choice among types and no field of the request.
TYPE_NAME = re.compile(r"^(str|int|float|bool|dict|list|tuple|none|function-.*|constrained-.*|.*\[.*)$")


class ErrorDetail(BaseModel):
    """`param` is the field of the request that is wrong, `code` for programs to compare."""

    message: str = Field(examples=["No installed model is called gpt-4."])
    type: str = Field(examples=[INVALID])
    param: str | None = Field(examples=["model"])
    code: str | None = Field(examples=["model_not_found"])


class ErrorBody(BaseModel):
    error: ErrorDetail


class ApiError(Exception):
    """Ends a request with this status. `message` is for people."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = ErrorBody(
            error=ErrorDetail(
                message=displayable(message)[:MESSAGE_LENGTH],
                type=kind,
                param=displayable(param) if param else None,
                code=code,
            )
        )
        self.headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body.model_dump(), self.status, self.headers)


def api_error(error: Exception) -> ApiError:  # noqa: PLR0911 - a table
    """The answer to whatever the rooms below refuse. Anything unknown is raised again."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, (RefusedError, AccessError)):
        return refused(error.refusal if isinstance(error, RefusedError) else error)
    if isinstance(error, QueueFullError):
        return ApiError(429, str(error), kind=SERVER, code="queue_full", retry_after=RETRY_SECONDS)
    if isinstance(error, PromptTooLongError):
        return ApiError(400, str(error), code="context_length_exceeded")
    if isinstance(error, UnknownModelError):
        return ApiError(404, str(error), param="model", code="model_not_found")
    if isinstance(error, ModelLoadError):
        # Not 5xx: clients would try again at once, and each time the file would be loaded in vain.
        return ApiError(400, str(error), param="model", code="model_not_loadable")
    if isinstance(error, NoModelError):
        return no_model(str(error))
    if isinstance(error, (EngineError, ChatError)):
        return ApiError(400, str(error))
    if isinstance(error, HistoryError):
        return ApiError(503, str(error), kind=SERVER, code="history_unavailable", retry_after=RETRY_SECONDS)
    raise error


def failed(event: GenerationFailed) -> ApiError:
    """The answer to a reply that ended with an error."""
    if event.kind == "refused":
        return ApiError(400, event.message)
    status, code = FAILURES[event.kind]
    retry_after = RETRY_SECONDS if status != HTTPStatus.INTERNAL_SERVER_ERROR else None
    return ApiError(status, event.message, kind=SERVER, code=code, retry_after=retry_after)


def refused(refusal: AccessError) -> ApiError:
    """The answer to somebody who has used up what one may have."""
    seconds = refusal.headers.get("Retry-After")
    return ApiError(
        refusal.status,
        refusal.message,
        kind=ERROR_TYPES.get(refusal.status, INVALID),
        code=refusal.code,
        retry_after=int(seconds) if seconds else None,
    )


def no_model(message: str) -> ApiError:
    return ApiError(503, message, kind=SERVER, code="no_model", retry_after=RETRY_SECONDS)


def shutting_down() -> ApiError:
    return ApiError(503, "The program is shutting down.", kind=SERVER, code="shutting_down", retry_after=RETRY_SECONDS)


def access_ended() -> ApiError:
    message = "You are no longer let in: the key was revoked, the login has ended, or the account has changed."
    return ApiError(401, message, kind=ERROR_TYPES[401], code="access_ended")


def invalid(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """The first thing that pydantic finds wrong with a request."""
    error = _first_of(errors)
    param = _path(error["loc"])
    if error["type"] == "extra_forbidden":
        return ApiError(400, f"Unknown parameter: {param}.", param=param, code="unknown_parameter")
    if error["type"] == "json_invalid":
        return ApiError(400, "The body is not valid JSON.", code="invalid_json")
    said = str(error["msg"]).removeprefix("Value error, ")
    message = f"{param}: {said}" if param else f"The request body is not what is expected here: {said}"
    return ApiError(400, message, param=param or None, code="invalid_value")


def _first_of(errors: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of a field that may be of several types, the error that came furthest: that type was meant."""
    place = errors[0]["loc"]
    if TYPE_NAME.match(str(place[-1])):
        place = place[:-1]
    return max((each for each in errors if each["loc"][: len(place)] == place), key=lambda each: len(each["loc"]))


def _path(location: Sequence[str | int]) -> str:
    """`messages[0].content` for ("body", "messages", 0, "content", "str")."""
    path = ""
    for part in location[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not TYPE_NAME.match(part):
            path += f".{part}" if path else part
    return path[:200]
