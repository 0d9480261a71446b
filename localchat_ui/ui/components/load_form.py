"""How a model is loaded, with the memory that it would take then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from nicegui import ui
from nicegui.events import GenericEventArguments
from pydantic import ValidationError

from localchat_ui.engine.load_changes import LoadChanges
from localchat_ui.i18n import _, number
from localchat_ui.inference import LoadForecast, ModelRef, ModelRegistry
from localchat_ui.ui.components.element import hint_of
from localchat_ui.ui.components.setting import Setting
from localchat_ui.ui.words import data_size

CHOSEN = "(event) => emit(event.target.value)"


@dataclass(frozen=True)
class Field:
    """A number of LoadChanges; `allowed` says which ones are."""

    name: str
    label: str
    hint: str
    allowed: str


def fields() -> list[Field]:
    return [
        Field(
            "n_ctx",
            _("Context"),
            _("Tokens of one conversation; 0 is all it was trained for"),
            _("0, or from 256 to 16,777,216"),
        ),
        Field("parallel", _("Parallel"), _("Conversations that are answered at the same time"), _("from 1 to 64")),
        Field("n_threads", _("Threads"), _("Empty is one for each core"), _("from 1 to 1,024")),
        Field("n_gpu_layers", _("GPU layers"), _("0 stays off the graphics card, -1 is all"), _("from -1 to 10,000")),
    ]


class LoadForm:
    """What is empty is as for all models, which stands there in grey. Draws rows of settings and the forecast."""

    def __init__(
        self,
        models: ModelRegistry,
        model: ModelRef,
        changes: LoadChanges,
        *,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._models = models
        self._model = model
        self._template = changes.chat_template
        self._on_change = on_change
        self._boxes: dict[str, ui.number] = {}
        self._settings: dict[str, Setting] = {}
        for field in fields():
            self._number(field, getattr(changes, field.name))
        self._kv_type = changes.kv_type
        self._choice()
        self._forecast = ui.label().classes("forecast").props("role=status")
        self._show()

    @property
    def changes(self) -> LoadChanges | None:
        """None while a value is not allowed."""
        values = {name: box.value for name, box in self._boxes.items()}
        try:
            return LoadChanges.model_validate({**values, "kv_type": self._kv_type, "chat_template": self._template})
        except ValidationError:
            return None

    def reset(self) -> None:
        """Back to what holds for all models."""
        for box in self._boxes.values():
            box.set_value(None)
        self._choose_kv(None)

    def _number(self, field: Field, value: int | None) -> None:
        setting = self._settings[field.name] = Setting(field.label, on_reset=partial(self._clear, field.name))
        otherwise = getattr(self._models.load_defaults, field.name)
        with setting.row:
            box = ui.number(value=value, format="%d", validation=partial(_problem, field), on_change=self._show)
            box.props("outlined dense hide-bottom-space no-error-icon inputmode=numeric").classes("number seed")
            box.props["aria-label"] = field.label
            box.props["placeholder"] = _("Automatic") if otherwise is None else number(otherwise)
        self._boxes[field.name] = box
        with setting.body:
            is_idle = field.name == "n_gpu_layers" and not self._models.placement.has_gpu
            hint_of(box, _("This build of llama.cpp uses no graphics card") if is_idle else field.hint)
            box.set_enabled(not is_idle)
        setting.focus_after_reset(box)

    def _choice(self) -> None:
        setting = self._settings["kv_type"] = Setting(_("KV type"), on_reset=lambda: self._choose_kv(None))
        default = self._models.load_defaults.kv_type or "f16"
        with setting.row, ui.element("select").classes("plain-select short") as self._select:
            self._select.props["aria-label"] = _("KV type")
            for value in ("f16", "q8_0"):
                option = ui.element("option")
                option.props["value"], option.props["label"] = value, value
        self._select.props["value"] = self._kv_type or default
        self._select.on("change", self._on_kv, js_handler=CHOSEN)
        with setting.body:
            hint_of(self._select, _("Numbers of the context's cache; q8_0 takes half the memory"))
        setting.focus_after_reset(self._select)

    def _on_kv(self, event: GenericEventArguments) -> None:
        default = self._models.load_defaults.kv_type or "f16"
        self._choose_kv(None if event.args == default else str(event.args))

    def _choose_kv(self, value: str | None) -> None:
        self._kv_type = "q8_0" if value == "q8_0" else "f16" if value == "f16" else None
        self._select.props["value"] = value or self._models.load_defaults.kv_type or "f16"
        self._select.update()
        self._show()

    def _clear(self, name: str) -> None:
        self._boxes[name].set_value(None)

    def _show(self) -> None:
        """Mark what differs, and tell what memory it would take."""
        changes = self.changes
        for name, setting in self._settings.items():
            value = self._kv_type if name == "kv_type" else self._boxes[name].value
            setting.mark(value is not None and value != getattr(self._models.load_defaults, name))
        forecast = self._models.placement.forecast(self._model, changes) if changes is not None else None
        self._forecast.set_text(words_of(forecast) if forecast else "")
        too_big = forecast is not None and not forecast.fits
        self._forecast.classes(add="trouble" if too_big else "", remove="" if too_big else "trouble")
        self._on_change()


def words_of(forecast: LoadForecast) -> str:
    """Whether it fits, and what takes how much."""
    fits = _("Fits well") if forecast.fits else _("Too big")
    need = forecast.need
    words = _(
        "{verdict}: {total} of memory: {weights} model, {context} context, {compute} to compute. {free} are free."
    )
    return words.format(
        verdict=_("Tight") if forecast.is_tight else fits,
        total=data_size(need.total),
        weights=data_size(need.weights),
        context=data_size(need.context),
        compute=data_size(need.compute),
        free=data_size(forecast.free),
    )


def _problem(field: Field, value: float | None) -> str | None:
    try:
        LoadChanges.model_validate({field.name: value})
    except ValidationError:
        return _("Must be {allowed}.").format(allowed=field.allowed)
    return None
