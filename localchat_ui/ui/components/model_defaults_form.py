"""What is set of a model: its name, what new chats with it start with, and how it is loaded."""

from __future__ import annotations

from functools import partial
from typing import Any

from nicegui import ui

from localchat_ui.chat import ChatDefaults
from localchat_ui.conversation import SYSTEM_PROMPT_LENGTH
from localchat_ui.engine.load_changes import LONGEST_TEMPLATE
from localchat_ui.i18n import _
from localchat_ui.inference import ModelDefaults, ModelRef, ModelRegistry
from localchat_ui.inference.model_defaults import LONGEST_NAME, NOTHING
from localchat_ui.ui.components.dial import MAX_TOKENS, SAMPLING, SEED, DialSetting
from localchat_ui.ui.components.element import hint_of, text_button
from localchat_ui.ui.components.load_form import LoadForm
from localchat_ui.ui.components.setting import Setting
from localchat_ui.ui.page_layout import Outcome

DIALS = (*(dial for dial in SAMPLING if dial is not SEED), MAX_TOKENS)


class ModelDefaultsForm:
    """Filled with what holds now; what differs from what holds without it is marked, and only that is kept."""

    def __init__(self, models: ModelRegistry, defaults: ChatDefaults, model: ModelRef) -> None:
        self._models = models
        self._model = model
        self._base = defaults.of_programs(model.with_defaults(ModelDefaults(name=model.defaults.name)))
        self._dials: dict[str, DialSetting] = {}
        kept = model.defaults
        with _group(_("Name")):
            self._name, _unused = _text(_("Display name"), kept.name, "", maxlength=LONGEST_NAME)
            file = model.file
            self._name.props["placeholder"] = file.name if file else model.remote_id
        with _group(_("New chats and requests of programs")):
            for dial in DIALS:
                value = kept.chat.get(dial.field, getattr(self._base, dial.field))
                self._dials[dial.field] = DialSetting(
                    dial, value, on_change=lambda event: self._mark(), on_reset=partial(self._reset_dial, dial.field)
                )
            prompt = kept.chat.get("system_prompt", self._base.system_prompt)
            hint = _("For new chats; programs send their own")
            self._prompt, self._prompt_setting = _text(
                _("System prompt"), prompt, hint, on_reset=self._reset_prompt, maxlength=SYSTEM_PROMPT_LENGTH, rows=4
            )
            self._prompt.on_value_change(self._mark)
        if model.file is not None:
            with _group(_("Loading")):
                self._load = LoadForm(models, model, kept.load)
                hint = _("Jinja, in place of the model's own; empty uses that")
                self._template, self._template_setting = _text(
                    _("Another chat template"),
                    kept.load.chat_template or "",
                    hint,
                    on_reset=self._reset_template,
                    maxlength=LONGEST_TEMPLATE,
                    rows=3,
                )
                self._template.on_value_change(self._mark)
        self._outcome = Outcome()
        with ui.element("div").classes("dialog-actions"):
            text_button(_("Reset all"), self._reset)
            text_button(_("Save"), self._save, primary=True)
        self._mark()

    @property
    def _chat(self) -> dict[str, Any]:
        shown = {field: dial.value for field, dial in self._dials.items()} | {"system_prompt": self._prompt.value or ""}
        return {
            name: value for name, value in shown.items() if value is not None and value != getattr(self._base, name)
        }

    def _mark(self) -> None:
        differing = self._chat
        for field, dial in self._dials.items():
            dial.setting.mark(field in differing)
        self._prompt_setting.mark("system_prompt" in differing)
        if self._model.file is not None:
            self._template_setting.mark(bool(self._template.value))

    def _reset_dial(self, field: str) -> None:
        self._dials[field].fill(getattr(self._base, field))

    def _reset_prompt(self) -> None:
        self._prompt.set_value(self._base.system_prompt)

    def _reset_template(self) -> None:
        self._template.set_value("")

    async def _reset(self) -> None:
        for field in self._dials:
            self._reset_dial(field)
        self._reset_prompt()
        self._name.set_value("")
        if self._model.file is not None:
            self._load.reset()
            self._reset_template()
        await self._keep(NOTHING, _("All is as it was."))

    async def _save(self) -> None:
        load = self._load.changes if self._model.file is not None else NOTHING.load
        if load is None or not all(dial.is_allowed for dial in self._dials.values()):
            self._outcome.complain(_("A value above is out of range."))
            return
        if self._model.file is not None:
            load = load.model_copy(update={"chat_template": self._template.value.strip() or None})
        name = self._name.value or ""
        reloads = load != self._model.defaults.load and self._model.path in self._models.in_memory
        done = _("Saved. Loading applies when the model is loaded again.") if reloads else _("Saved.")
        await self._keep(ModelDefaults(name=name, load=load, chat=self._chat), done)

    async def _keep(self, defaults: ModelDefaults, done: str) -> None:
        with self._outcome.telling(done):
            await self._models.set_defaults(self._model, defaults)


def _group(title: str) -> ui.element:
    section = ui.element("section").classes("setting-group")
    with section, ui.element("h3") as heading:
        ui.label(title)
    section.props["aria-labelledby"] = heading.html_id
    return section


def _text(
    label: str, value: str, hint: str, *, maxlength: int, rows: int = 0, on_reset: Any = None
) -> tuple[ui.input | ui.textarea, Setting]:
    """A box below its name: a line, or of several rows."""
    setting = Setting(label, on_reset=on_reset)
    with setting.body:
        box = ui.textarea(value=value) if rows else ui.input(value=value)
        box.props(f"outlined dense maxlength={maxlength}").classes("wide-box")
        if rows:
            box.props["rows"] = rows
        box.props["aria-label"] = label
        hint_of(box, hint)
    setting.focus_after_reset(box)
    return box, setting
