"""The error of this room: a page for a browser, OpenAI's or Anthropic's error object for a program."""

from __future__ import annotations

from html import escape
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 503: "server_error"}
ANTHROPIC_PATH = "/v1/messages"
PAGE = """<!doctype html><html lang="{language}" dir="{direction}"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<main style="font: 1rem/1.6 system-ui, sans-serif; max-width: 34rem; margin: 20vh auto; padding: 0 1.5rem">
<h1 style="font-size: 1.5rem">{title}</h1><p role="alert">{message}</p></main></html>"""


class AccessError(Exception):
    """Why a request is not let through: an exception, and the ASGI app that answers with it."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = {"Cache-Control": "no-store", **(headers or {})}

    def as_json(self) -> dict[str, Any]:
        kind = ERROR_TYPES.get(self.status, "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": None, "code": self.code}}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self.response(scope)
        if scope["type"] == "websocket":
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008, "reason": self.message[:100]})
                return
            start, body = "websocket.http.response.start", "websocket.http.response.body"
            await send({"type": start, "status": self.status, "headers": response.raw_headers})
            await send({"type": body, "body": bytes(response.body)})
        else:
            await response(scope, receive, send)

    def response(self, scope: Scope) -> Response:
        """HTML for a browser that opens a page, JSON for everything else."""
        if scope["type"] == "http" and "text/html" in Headers(scope=scope).get("accept", ""):
            return HTMLResponse(self._page(scope), self.status, self.headers)
        # Anthropic's clients know an error by its type.
        outer = {"type": "error"} if ANTHROPIC_PATH in scope.get("path", "") else {}
        return JSONResponse(outer | self.as_json(), self.status, self.headers)

    def _page(self, scope: Scope) -> str:
        # Commands raise this error, too, and need nothing of the page.
        from localchat_ui.i18n import _, direction_of, language_of_scope, speaking, translated  # noqa: PLC0415

        language = language_of_scope(scope)
        with speaking(language):
            title, message = _("Not possible ({status})").format(status=self.status), translated(self.message)
        direction = direction_of(language)
        return PAGE.format(language=language, direction=direction, title=escape(title), message=escape(message))
