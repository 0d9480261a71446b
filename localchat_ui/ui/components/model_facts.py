"""What the model in use is, at the top of the settings."""

from __future__ import annotations

from nicegui import ui

from localchat_ui.inference import ModelRegistry
from localchat_ui.ui.components.setting import Setting


class ModelFacts:
    """Follows the model in use."""

    def __init__(self, models: ModelRegistry) -> None:
        self._models = models
        self.setting = Setting("In use", words="model context parameters quantisation")
        with self.setting.body:
            self._name = ui.label().classes("model-name")
            self._details = ui.label().classes("hint")
        models.changed.subscribe(self._draw)
        self._draw()

    def _draw(self) -> None:
        model = self._models.current
        self._name.set_text(model.name if model else "No model is loaded")
        self._details.set_text(model.details if model else "Choose one at the top of the page.")
