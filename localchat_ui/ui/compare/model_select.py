"""The browser's own dropdown of the models that can chat, for one column."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from nicegui import ui
from nicegui.events import GenericEventArguments

from localchat_ui.i18n import _
from localchat_ui.inference import ModelRef, ModelRegistry

CHOSEN = "(event) => emit(event.target.value)"


class ModelSelect:
    """`chosen` is the id of a model, which stays in the list even when it is no longer here."""

    def __init__(self, models: ModelRegistry, name: str, chosen: str, on_choose: Callable[[str], None]) -> None:
        self._models = models
        self._chosen = chosen
        self._on_choose = on_choose
        self._drawn: object = None
        self._select = ui.element("select").classes("plain-select").on("change", self._choose, js_handler=CHOSEN)
        self._select.props["aria-label"] = name
        models.changed.subscribe(self._draw)
        self._draw()

    @property
    def html_id(self) -> str:
        return self._select.html_id

    def _choose(self, event: GenericEventArguments) -> None:
        self._chosen = str(event.args)
        self._draw()
        self._on_choose(self._chosen)

    def _draw(self) -> None:
        if self._select.is_deleted:
            return  # the columns were drawn anew
        models = chat_models(self._models)
        offers = [(model.engine, model.id, model.name, model.refusal is not None) for model in models]
        if all(model.id != self._chosen for model in models):
            offers.append(("", self._chosen, _("Choose a model"), False))
        if (offers, self._chosen) == self._drawn:
            return
        self._drawn = (offers, self._chosen)
        # Of four beside each other the names are cut.
        self._select.props["title"] = next((name for _engine, model, name, _off in offers if model == self._chosen), "")
        self._select.clear()
        with self._select:
            for engine, group in groupby(sorted(offers, key=lambda offer: offer[0]), key=lambda offer: offer[0]):
                with ui.element("optgroup") as place:
                    place.props["label"] = engine or _("On this machine")
                    for _engine, model_id, name, disabled in group:
                        option = ui.element("option")
                        option.props.update({"value": model_id, "label": name, "disabled": disabled})
                        option.props["selected"] = model_id == self._chosen


def chat_models(models: ModelRegistry) -> list[ModelRef]:
    """Those that a column can have, usable ones first."""
    found = [model for model in models.models if model.error or model.kind.can_chat]
    return sorted(found, key=lambda model: model.refusal is not None)
