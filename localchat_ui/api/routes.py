"""The route class of the API: every answer is counted, every error has the same shape."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from localchat_ui.api.closing import Closing
from localchat_ui.api.errors import SERVER, ApiError, ErrorBody, api_error, invalid, shutting_down
from localchat_ui.inference import Metrics

logger = logging.getLogger(__name__)

T = TypeVar("T")
# nginx's number for a client that did not wait for its answer; nobody reads it, but it is counted.
CLIENT_GONE = 499
# What the document says of errors, for the routes that generate.
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "Something in the request is wrong; `param` names it"},
    404: {"model": ErrorBody, "description": "No installed model is called so"},
    429: {"model": ErrorBody, "description": "The queue is full; `Retry-After` says when to try again"},
    503: {"model": ErrorBody, "description": "No model is loaded (yet), or the program is shutting down"},
}


def router(
    metrics: Metrics,
    tag: str,
    before: Callable[[], Coroutine[Any, Any, None]] | None = None,
    error_response: Callable[[ApiError], Response] = ApiError.response,
) -> APIRouter:
    """A router whose routes are counted by path and status, and answer errors in one shape: OpenAI's, or another.

    Each request waits for `before`, if there is one.
    """

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()
            path = self.path

            async def answer(request: Request) -> Response:
                response = await _answer(handle, request, error_response)
                metrics.requests.labels(path, str(response.status_code)).inc()
                return response

            return answer

    return APIRouter(route_class=Route, tags=[tag], dependencies=[Depends(before)] if before else [])


async def _answer(
    handle: Callable[[Request], Coroutine[Any, Any, Response]],
    request: Request,
    error_response: Callable[[ApiError], Response],
) -> Response:
    try:
        return await handle(request)
    except RequestValidationError as error:
        return error_response(invalid(error.errors()))
    except HTTPException as error:
        return error_response(ApiError(error.status_code, str(error.detail)))
    except ClientGoneError:
        return Response(status_code=CLIENT_GONE)
    except Exception as error:
        try:
            return error_response(api_error(error))
        except Exception:
            logger.exception("a request failed")
            message = "Something went wrong inside the program. The log says what."
            return error_response(ApiError(500, message, kind=SERVER))


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


async def while_connected(request: Request, closing: Closing, work: Coroutine[Any, Any, T]) -> T:
    """Do the work, unless the client leaves or the program ends meanwhile: then it is cancelled at once.

    Raises ClientGoneError, or the ApiError of a shutdown.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(disconnected(request.receive))
    ending = asyncio.ensure_future(closing.wait())
    try:
        await asyncio.wait([working, leaving, ending], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGoneError if leaving.done() else shutting_down()
    finally:
        await cancel(working, leaving, ending)


async def disconnected(receive: Callable[[], Coroutine[Any, Any, Any]] | Any) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what is not done yet, and wait for its end; how it ends is of no interest any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
