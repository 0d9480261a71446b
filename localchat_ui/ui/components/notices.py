"""What went wrong, said once and plainly, right above the box; and what can be undone."""

from __future__ import annotations

from nicegui import ui

from localchat_ui.model_manager import ModelManager
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import icon_button


class Notices:
    def __init__(self, models: ModelManager) -> None:
        self._models = models
        self._is_about_model = False
        with ui.element("div").classes("notice").props("role=alert") as self._alert:
            self._text = ui.label()
            icon_button(icons.CLOSE, "Dismiss", self.clear)
        self.clear()
        if models.status.error:
            self._show_model_error(models.status.error)
        models.failed.subscribe(self._show_model_error)
        models.changed.subscribe(self._on_model_changed)

    def show(self, text: str) -> None:
        self._is_about_model = False
        self._text.set_text(text)
        self._alert.set_visibility(True)

    def clear(self) -> None:
        self._text.set_text("")
        self._alert.set_visibility(False)

    def _show_model_error(self, error: str) -> None:
        self.show(error)
        self._is_about_model = True

    def _on_model_changed(self) -> None:
        if self._is_about_model and not self._models.status.error:
            self.clear()
