"""How the page looks on this device. The browser keeps it and obeys it alone, before anything is drawn."""

from __future__ import annotations

from html import escape

from nicegui import ui

from localchat_ui.i18n import COOKIE, _, chosen_language, languages
from localchat_ui.text import N_
from localchat_ui.ui.components.setting import Setting

THEMES = {"": N_("System"), "light": N_("Light"), "dark": N_("Dark")}
SIZES = {"small": N_("Small"), "": N_("Medium"), "large": N_("Large"), "larger": N_("Larger")}


class LookSettings:
    def __init__(self) -> None:
        self.settings = [
            # NOTE: words that a search of the settings finds
            _choice(_("Theme"), "theme", THEMES, words=_("appearance dark light mode colours colors")),
            _choice(_("Text size"), "size", SIZES, words=_("font letters zoom")),
            _language(),
            _notify(),
        ]
        ui.run_javascript("localchat.look.show()")


def _choice(name: str, key: str, options: dict[str, str], *, words: str) -> Setting:
    """The browser's own radio buttons, which the arrow keys move along."""
    setting = Setting(name, words=words)
    radios = "".join(
        f'<label><input type="radio" name="{key}" value="{value}">{escape(_(label))}</label>'
        for value, label in options.items()
    )
    with setting.body:
        group = ui.html(radios, sanitize=False).classes("look choices")
        group.props["role"], group.props["aria-label"] = "radiogroup", name
    return setting


def _language() -> Setting:
    """A cookie: the server has to know it before it makes the page."""
    setting = Setting(_("Language"), words=f"language {' '.join(languages().values())}")
    chosen = chosen_language(ui.context.client.request.scope)
    options = "".join(
        f'<option value="{code}"{" selected" if code == chosen else ""}>{escape(name)}</option>'
        for code, name in {"": _("As in the browser"), **languages()}.items()
    )
    with setting.body:
        select = ui.html(options, sanitize=False, tag="select").classes("plain-select")
        select.props["name"], select.props["aria-label"] = COOKIE, _("Language")
        select.on("change", js_handler="({ target }) => localchat.look.speak(target)")
    return setting


def _notify() -> Setting:
    setting = Setting(_("Notifications"), words=_("notify background tab reply"))
    words = escape(_("When a long reply ends in the background"))
    box = f'<input type="checkbox" name="notify" value="on"><span>{words}</span>'
    with setting.body:
        ui.html(box, sanitize=False, tag="label").classes("look switch")
    return setting
