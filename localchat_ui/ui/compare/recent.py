"""The comparisons made before."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from nicegui import ui

from localchat_ui.chat import ComparisonService
from localchat_ui.comparison import Comparison
from localchat_ui.history.errors import HistoryError
from localchat_ui.i18n import _, translated
from localchat_ui.ui import icons
from localchat_ui.ui.components.confirm import Confirm
from localchat_ui.ui.components.element import icon_button
from localchat_ui.ui.components.notices import Notices
from localchat_ui.ui.page_layout import path_to


class RecentComparisons:
    LIMIT = 20

    def __init__(self, service: ComparisonService, recent: Sequence[Comparison], notices: Notices) -> None:
        self._service = service
        self._notices = notices
        self._confirm = Confirm()
        self._list = ui.element("section").classes("compare-recent")
        self._show(recent)

    def _show(self, recent: Sequence[Comparison]) -> None:
        self._list.clear()
        self._list.set_visibility(bool(recent))
        with self._list:
            with ui.element("h2") as heading:
                ui.label(_("Earlier comparisons"))
            self._list.props["aria-labelledby"] = heading.html_id
            with ui.element("ul"):
                for comparison in recent:
                    self._row(comparison)

    def _row(self, comparison: Comparison) -> None:
        with ui.element("li"):
            with ui.element("a") as anchor:
                anchor.props["href"] = path_to(f"/compare/{comparison.id}")
                ui.label(comparison.title).props("dir=auto").classes("compare-title")
                ui.label(self._models_of(comparison)).classes("compare-models")
            name = _("Delete “{title}”").format(title=comparison.title)
            icon_button(icons.DELETE, name, partial(self._ask, comparison)).props["aria-haspopup"] = "dialog"

    def _models_of(self, comparison: Comparison) -> str:
        if comparison.is_secret:
            return _("Blind duel, not voted on yet")
        return " · ".join(self._service.name_of(column) for column in comparison.columns)

    def _ask(self, comparison: Comparison) -> None:
        text = _("Its prompts and replies are erased. A vote in it still counts.")
        self._confirm.ask(_("Delete this comparison?"), text, _("Delete"), partial(self._delete, comparison))

    async def _delete(self, comparison: Comparison) -> None:
        try:
            await self._service.delete(comparison)
            self._show(await self._service.comparisons.recent(self.LIMIT))
        except HistoryError as error:
            self._notices.show(translated(error))
