"""The first run without a model: a download under way, or how to get a model."""

from __future__ import annotations

from nicegui import ui

from localchat_ui.inference import HOW_TO_ADD, ModelRegistry, Phase
from localchat_ui.library.download import Progress
from localchat_ui.library.model_file import readable_size
from localchat_ui.ui.components.element import text_button


class DownloadCard:
    def __init__(self, models: ModelRegistry) -> None:
        self._models = models
        with ui.element("section").classes("card").props('aria-label="Model download"') as self._card:
            self._title = ui.label().classes("card-title")
            with ui.element("div").classes("bar").props('role=progressbar aria-label="Download"') as self._bar:
                self._fill = ui.element("div")
            self._text = ui.label().classes("card-text")
            with ui.element("div").classes("card-actions"):
                self._cancel = text_button("Cancel", models.cancel_download)
                self._download = text_button("Download", models.download, primary=True)
        models.changed.subscribe(self._draw)
        self._draw()

    def _draw(self) -> None:
        status = self._models.status
        downloading = status.phase is Phase.DOWNLOADING
        self._card.set_visibility(
            downloading or (status.phase in (Phase.NONE, Phase.FAILED) and not self._has_usable())
        )
        self._bar.set_visibility(downloading)
        self._cancel.set_visibility(downloading and self._models.may_choose)
        self._download.set_visibility(not downloading and self._models.may_choose)
        self._title.set_text(f"Downloading {self._models.download_name}" if downloading else "No model yet")
        if downloading and status.download is not None:
            share = _share(status.download)
            self._fill.style(f"width: {share:.1%}")
            self._bar.props["aria-valuenow"] = round(100 * share)
            self._bar.update()
            self._text.set_text(progress_text(status.download))
        else:
            self._text.set_text(f"{HOW_TO_ADD} The suggestion is {self._models.download_name}.")
            self._download.set_text("Retry" if status.error else "Download")

    def _has_usable(self) -> bool:
        return any(model.refusal is None for model in self._models.models)


def progress_text(progress: Progress) -> str:
    """`120 MB of 397 MB · 8.1 MB/s · 34 s left`, as far as it is known."""
    if progress.total is None:
        return "Connecting to the hub…"
    if progress.stage == "verifying":
        return "Verifying the download…"
    if progress.stage == "waiting":
        return f"{readable_size(progress.done)} of {readable_size(progress.total)} · connection lost, trying again…"
    parts = [f"{readable_size(progress.done)} of {readable_size(progress.total)}"]
    if progress.speed:
        parts.append(f"{readable_size(progress.speed)}/s")
    if progress.seconds_left is not None:
        parts.append(f"{_duration(progress.seconds_left)} left")
    return " · ".join(parts)


def _share(progress: Progress) -> float:
    return progress.done / progress.total if progress.total else 0.0


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
