"""What no route answers: addresses of the API that there are not, and methods that an address does not know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from localchat_ui.access.hardening import path_of
from localchat_ui.api.documentation import openapi
from localchat_ui.api.errors import ApiError

Handler = Callable[[Request, Any], Awaitable[Response]]


def register(app: FastAPI) -> None:
    """404 below the addresses of the API, and 405 anywhere, of all routes that were registered before.

    Anywhere else a 404 stays what it was: a page.
    """

    @cache
    def first_parts() -> set[str]:
        """Described is exactly what belongs to the API; that takes a moment, and is not needed at the start."""
        return {_first_part(path) for path in openapi(app.routes)["paths"]}

    # Registered once for each program that one process makes, as tests do.
    page: Any = app.exception_handlers[404]
    page = getattr(page, "page", page)

    async def no_such_address(request: Request, error: HTTPException) -> Response:
        path = path_of(request.scope)
        if _first_part(path) not in first_parts():
            answer: Response = await page(request, error)
            return answer
        return ApiError(404, f"There is no {path}.", code="unknown_url").response()

    async def no_such_method(request: Request, error: HTTPException) -> Response:
        message = f"{path_of(request.scope)} does not know the method {request.method}."
        answer = ApiError(405, message, code="method_not_allowed").response()
        answer.headers.update(error.headers or {})
        return answer

    no_such_address.page = page  # type: ignore[attr-defined]
    app.exception_handlers |= {404: no_such_address, 405: no_such_method}


def _first_part(path: str) -> str:
    """`v1` of `/v1/models`."""
    return path.lstrip("/").partition("/")[0]
