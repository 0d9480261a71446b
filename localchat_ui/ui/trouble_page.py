"""What stands in place of a page that cannot be shown because the database cannot be read."""

from __future__ import annotations

from fastapi import FastAPI
from nicegui import Client, ui
from starlette.requests import Request
from starlette.responses import Response

from localchat_ui.history.errors import HistoryError
from localchat_ui.i18n import _, translated
from localchat_ui.text import N_
from localchat_ui.ui.page_layout import page_layout

TITLE = N_("This page cannot be shown")


def register(app: FastAPI) -> None:
    """For whatever page; the API answers errors in its own way."""
    app.exception_handlers[HistoryError] = _answer


async def _answer(request: Request, error: Exception) -> Response:
    with Client(ui.page(""), request=request) as client, page_layout(_(TITLE), back=("/", _("Try again"))):
        # The error says what to do.
        ui.label(translated(error)).classes("page-text trouble").props("role=alert")
    return client.build_response(request, 503)
