"""The first run without a model: a download under way, or how to get a model."""

from __future__ import annotations

from nicegui import ui

from localchat_ui.i18n import _, translated
from localchat_ui.inference import HOW_TO_ADD, ModelRegistry, Phase
from localchat_ui.library.download import progress_text
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.progress_bar import ProgressBar


class DownloadCard:
    def __init__(self, models: ModelRegistry) -> None:
        self._models = models
        with ui.element("section").classes("card") as self._card:
            self._card.props["aria-label"] = _("Model download")
            self._title = ui.label().classes("card-title")
            self._bar = ProgressBar(_("Download"))
            self._text = ui.label().classes("card-text")
            with ui.element("div").classes("card-actions"):
                self._pause = text_button(_("Pause"), models.pause_download)
                self._download = text_button(_("Download"), models.download, primary=True)
        models.changed.subscribe(self._draw)
        self._draw()

    def _draw(self) -> None:
        status = self._models.status
        downloading = status.phase is Phase.DOWNLOADING
        self._card.set_visibility(
            downloading or (status.phase in (Phase.NONE, Phase.FAILED) and not self._has_usable())
        )
        self._bar.set_visibility(downloading)
        self._pause.set_visibility(downloading and self._models.may_choose)
        self._download.set_visibility(not downloading and self._models.may_choose)
        name = self._models.first_download.name
        title = _("Downloading {name}") if downloading else _("No model yet")
        self._title.set_text(title.format(name=name))
        if downloading and status.download is not None:
            self._bar.show(status.download)
            self._text.set_text(translated(progress_text(status.download)))
        else:
            self._text.set_text(f"{_(HOW_TO_ADD)} {_('The suggestion is {name}.').format(name=name)}")
            resume = _("Resume") if self._models.first_download.is_paused else _("Download")
            self._download.set_text(_("Retry") if status.error else resume)

    def _has_usable(self) -> bool:
        return any(model.refusal is None for model in self._models.models)
