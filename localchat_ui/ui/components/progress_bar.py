"""How far a download is, as a bar and in words."""

from __future__ import annotations

from nicegui import ui

from localchat_ui.library.download import Progress


class ProgressBar:
    def __init__(self, name: str) -> None:
        with ui.element("div").classes("bar").props("role=progressbar") as self._bar:
            self._fill = ui.element("div")
        self._bar.props["aria-label"] = name

    def set_visibility(self, visible: bool) -> None:
        self._bar.set_visibility(visible)

    def show(self, progress: Progress) -> None:
        share = progress.done / progress.total if progress.total else 0.0
        self._fill.style(f"width: {share:.1%}")
        if self._bar.props.get("aria-valuenow") != round(100 * share):
            self._bar.props["aria-valuenow"] = round(100 * share)
            self._bar.update()
