"""Where the page sends files: one to be attached, or conversations to be imported. Not for programs."""

from __future__ import annotations

from urllib.parse import unquote

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localchat_ui.chat import ChatError, ChatService
from localchat_ui.engine.base import EngineError
from localchat_ui.exchange import ImportRefusedError
from localchat_ui.history.errors import HistoryError
from localchat_ui.i18n import language_of_scope, speaking, translated
from localchat_ui.ui.words import note_of


def register(app: FastAPI, chat: ChatService) -> None:
    """`/upload/file` answers with the file as text, `/upload/conversations` with what came of the import in words.

    How large a body may be is checked before any of this.
    """

    @app.post("/upload/file", include_in_schema=False)
    async def file(request: Request) -> Response:
        name = unquote(request.headers.get("X-File-Name", ""))
        try:
            attachment = await chat.read_file(name, await request.body())
        except (ChatError, EngineError) as error:
            return _refused(request, error)
        with speaking(language_of_scope(request.scope)):
            return JSONResponse(attachment.model_dump(mode="json") | {"note": note_of(attachment)})

    @app.post("/upload/conversations", include_in_schema=False)
    async def conversations(request: Request) -> Response:
        try:
            report = await chat.import_file(await request.body())
        except (ImportRefusedError, HistoryError) as error:
            return _refused(request, error)
        with speaking(language_of_scope(request.scope)):
            return JSONResponse({"text": translated(report), "complete": not report.skipped})


def _refused(request: Request, error: Exception) -> Response:
    """An answer like any other: the request was fine, and browsers would write everything else into their console."""
    with speaking(language_of_scope(request.scope)):
        return JSONResponse({"refusal": translated(error)})
