"""The rows of the settings panel and the groups they stand in."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui
from typing_extensions import Self

from localchat_ui.i18n import _, ngettext, number
from localchat_ui.ui import icons
from localchat_ui.ui.components.element import icon_button


class Setting:
    """One row: a name, room for what it is set with, and a way back to the default while it differs from it.

    What it is set with is drawn `with setting.body`, what stands beside the name `with setting.row`.
    """

    def __init__(self, name: str, *, on_reset: Callable[[], None] | None = None, words: str = "") -> None:
        """`words` are found by a search, as the name is."""
        self._words = f"{name} {words}".casefold()
        self._reset: ui.button | None = None
        self._is_offered = True
        with ui.element("div").classes("setting") as self.body, ui.element("div").classes("setting-row") as self.row:
            ui.label(name).classes("caption")
            if on_reset:
                self._reset = icon_button(icons.UNDO, _("Reset {name}").format(name=name), on_reset).classes("reset")
                self._reset.set_visibility(False)

    @property
    def differs(self) -> bool:
        """Whether it is marked as set to something else than the default."""
        return self._reset is not None and self._reset.visible

    def mark(self, differs: bool) -> None:
        """Show whether it differs from the default."""
        if self._reset is not None and differs != self._reset.visible:
            self._reset.set_visibility(differs)
            self.body.classes(add="changed" if differs else "", remove="" if differs else "changed")

    def focus_after_reset(self, element: ui.element) -> None:
        """The button vanishes when it is pressed; the keyboard goes on from this element."""
        if self._reset is not None:
            self._reset.on("click", js_handler=f"() => getHtmlElement({element.id}).focus()")

    def offer(self, is_offered: bool) -> None:
        """Show it, or hide it from searches too: not every model has everything."""
        self._is_offered = is_offered
        self.body.set_visibility(is_offered)

    def find(self, query: str) -> bool:
        """Show it if all words of the query occur in it; whether it is shown."""
        found = self._is_offered and all(word in self._words for word in query.casefold().split())
        self.body.set_visibility(found)
        return found


class Group:
    """Settings below a heading, which tells how many of them differ from their default."""

    def __init__(self, title: str) -> None:
        self._title = title.casefold()
        self._settings: list[Setting] = []
        with ui.element("section").classes("setting-group") as self._section:
            with ui.element("h3") as heading:
                ui.label(title)
                self._note = ui.label().classes("changed-note")
            self._section.props["aria-labelledby"] = heading.html_id

    def __enter__(self) -> Self:
        self._section.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._section.__exit__(*error)

    def add(self, setting: Setting) -> None:
        self._settings.append(setting)

    def count(self) -> None:
        """Tell anew how many settings differ."""
        differing = sum(setting.differs for setting in self._settings)
        self._note.set_text(
            # NOTE: so many settings differ from their defaults
            ngettext("{n} changed", "{n} changed", differing).format(n=number(differing)) if differing else ""
        )

    def find(self, query: str) -> bool:
        """Show what a search finds, all of it if the group itself is called that; whether there is anything."""
        query = "" if query.strip().casefold() == self._title else query
        found = [setting.find(query) for setting in self._settings]
        self._section.set_visibility(any(found))
        return any(found)
