"""What the doctor says of this machine, for whoever manages the models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui
from starlette.requests import Request
from starlette.responses import Response

from localchat_ui.access import AccessError
from localchat_ui.i18n import _, translated
from localchat_ui.inference import ModelLibrary
from localchat_ui.library.doctor import Report
from localchat_ui.ui.page_layout import copy_button, page_layout, section


def register(examine: Callable[[], Awaitable[Report]], library: ModelLibrary) -> None:
    """The route /system."""

    @ui.page("/system")
    async def system_page(request: Request) -> Response | None:
        if not library.may_manage:
            return AccessError(403, "not_admin", _("This page is for administrators.")).response(request.scope)
        library.measure_soon()
        report = await examine()
        with page_layout(_("System check"), back=("/models", _("Models"))):
            _problems(report)
            for part in report.sections:
                with section(translated(part.title)), ui.element("dl").classes("model-sheet"):
                    for name, value in part.rows or ((_("There are none yet."), ""),):
                        _row(translated(name), translated(value))
        return None


def _problems(report: Report) -> None:
    hint = _(
        "What to do about each. Neither paths nor names of people are in this report, so it can be shown to others."
    )
    with section(_("Problems"), hint if report.problems else _("Nothing is wrong.")):
        if report.problems:
            with ui.element("ul").classes("problems"):
                for problem in report.problems:
                    with ui.element("li"):
                        ui.label(translated(problem)).props("dir=auto")
        text = ui.element("pre").props("hidden")
        with text:
            ui.label("\n".join(report.lines))
        copy_button(text).props["aria-label"] = _("Copy the report")


def _row(name: str, value: str) -> None:
    with ui.element("div"):
        with ui.element("dt"):
            ui.label(name).props("dir=auto")
        with ui.element("dd"):
            for line in value.splitlines():
                ui.label(line.strip()).props("dir=auto")
