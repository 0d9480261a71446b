"""What the model in use is, at the top of the settings."""

from __future__ import annotations

from nicegui import ui

from localchat_ui.i18n import _, translated
from localchat_ui.inference import ModelRegistry
from localchat_ui.ui.components.setting import Setting


class ModelFacts:
    """Follows the model in use."""

    def __init__(self, models: ModelRegistry) -> None:
        self._models = models
        # NOTE: the heading is: which model is in use; the words are for a search of the settings
        self.setting = Setting(_("In use"), words=_("model context parameters quantisation"))
        with self.setting.body:
            self._name = ui.label().classes("model-name")
            self._details = ui.label().classes("hint")
        models.changed.subscribe(self._draw)
        self._draw()

    def _draw(self) -> None:
        model = self._models.current
        self._name.set_text(model.name if model else _("No model is loaded"))
        self._details.set_text(translated(model.details) if model else _("Choose one at the top of the page."))
