"""How the page looks on this device. The browser keeps it and obeys it alone, before anything is drawn."""

from __future__ import annotations

from nicegui import ui

from localchat_ui.ui.components.setting import Setting

THEMES = {"": "System", "light": "Light", "dark": "Dark"}
SIZES = {"small": "Small", "": "Medium", "large": "Large", "larger": "Larger"}


class LookSettings:
    def __init__(self) -> None:
        self.settings = [
            _choice("Theme", "theme", THEMES, words="appearance dark light mode colours colors"),
            _choice("Text size", "size", SIZES, words="font letters zoom"),
            _notify(),
        ]
        ui.run_javascript("localchat.look.show()")


def _choice(name: str, key: str, options: dict[str, str], *, words: str) -> Setting:
    """The browser's own radio buttons, which the arrow keys move along."""
    setting = Setting(name, words=words)
    radios = "".join(
        f'<label><input type="radio" name="{key}" value="{value}">{label}</label>' for value, label in options.items()
    )
    with setting.body:
        group = ui.html(radios, sanitize=False).classes("look choices")
        group.props["role"], group.props["aria-label"] = "radiogroup", name
    return setting


def _notify() -> Setting:
    setting = Setting("Notifications", words="notify background tab reply")
    box = '<input type="checkbox" name="notify" value="on"><span>When a long reply ends in the background</span>'
    with setting.body:
        ui.html(box, sanitize=False, tag="label").classes("look switch")
    return setting
