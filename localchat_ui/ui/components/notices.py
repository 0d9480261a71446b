"""What went wrong, said once and plainly, right above the box; and what can be undone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from localchat_ui.inference import ModelRegistry
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import icon_button, text_button

OFFER_SECONDS = 10


class Notices:
    def __init__(self, models: ModelRegistry) -> None:
        self._models = models
        self._is_about_model = False
        with ui.element("div").classes("notice").props("role=alert") as self._alert:
            self._text = ui.label()
            icon_button(icons.CLOSE, "Dismiss", self.clear)
        with ui.element("div").classes("notice offer").props("role=status") as self._offer:
            self._offer_text = ui.label()
            self._offer_button = text_button("Undo", self._accept)
        self._accepted: Callable[[], Awaitable[None]] | None = None
        self._offer.set_visibility(False)
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

    def offer(self, text: str, label: str, action: Callable[[], Awaitable[None]]) -> None:
        """Offer to do something for a while."""

        def forget() -> None:
            if self._accepted is action:
                self._end_offer()

        self._accepted = action
        self._offer_text.set_text(text)
        self._offer_button.set_text(label)
        self._offer.set_visibility(True)
        with self._offer:
            ui.timer(OFFER_SECONDS, forget, once=True)

    async def _accept(self) -> None:
        action = self._accepted
        self._end_offer()
        if action is not None:
            await action()

    def _end_offer(self) -> None:
        self._accepted = None
        self._offer.set_visibility(False)

    def _show_model_error(self, error: str) -> None:
        self.show(error)
        self._is_about_model = True

    def _on_model_changed(self) -> None:
        if self._is_about_model and not self._models.status.error:
            self.clear()
