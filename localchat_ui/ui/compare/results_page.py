"""What the votes of blind duels add up to: a table with a bar for each contestant."""

from __future__ import annotations

import csv
import io

from nicegui import ui

from localchat_ui.chat import ComparisonService
from localchat_ui.comparison import Standing, Vote, standings
from localchat_ui.i18n import _, ngettext, number
from localchat_ui.ui import design, words
from localchat_ui.ui.components.confirm import Confirm
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.page_layout import Outcome, page_layout, section


def register(service: ComparisonService) -> None:
    """The route /compare/results, which has to come before /compare/{comparison_id}."""

    @ui.page("/compare/results")
    async def results_page() -> None:
        ui.add_css((design.ROOM / "compare" / "compare.css").read_text(encoding="utf-8"))
        with page_layout(_("Results"), back=("/compare", _("Back to comparing"))):
            Results(service, await service.comparisons.votes())


class Results:
    def __init__(self, service: ComparisonService, votes: list[Vote]) -> None:
        self._service = service
        hint = _(
            "Only your own votes. A tie counts half for both. The line shows where the true rate lies, 95 times of 100."
        )
        with section(_("Blind duels"), hint):
            self._place = ui.element("div")
            self._outcome = Outcome()
            self._confirm = Confirm()
        self._show(votes)

    def _show(self, votes: list[Vote]) -> None:
        self._place.clear()
        found = standings(votes)
        with self._place:
            if not found:
                ui.label(_("No votes yet. Start a blind duel and vote.")).classes("page-text")
                return
            count = ngettext("{n} vote", "{n} votes", len(votes)).format(n=number(len(votes)))
            ui.label(count).classes("page-text")
            with ui.element("table").classes("page-table standings"):
                self._head()
                with ui.element("tbody"):
                    for standing in found:
                        _row(standing)
            with ui.element("div").classes("page-row"):
                text_button(_("Download as CSV"), lambda: ui.download.content(as_csv(votes), "votes.csv", "text/csv"))
                text_button(_("Delete all votes"), self._ask).classes("danger").props["aria-haspopup"] = "dialog"

    def _head(self) -> None:
        names = (_("Model"), _("Win rate"), _("Won, tied, lost"), _("Speed"), _("Memory"))
        with ui.element("thead"), ui.element("tr"):
            for name in names:
                with ui.element("th").props("scope=col"):
                    ui.label(name)

    def _ask(self) -> None:
        text = _("The table starts from nothing. This cannot be undone.")
        self._confirm.ask(_("Delete all votes?"), text, _("Delete"), self._delete)

    async def _delete(self) -> None:
        with self._outcome.telling(_("All votes are deleted.")):
            await self._service.comparisons.delete_votes()
            self._show([])


def _row(standing: Standing) -> None:
    speed, memory = standing.tokens_per_second, standing.memory
    with ui.element("tr"):
        _cell(standing.name, "name")
        with ui.element("td").classes("rate"):
            _bar(standing)
        _cell(f"{standing.wins}, {standing.ties}, {standing.losses}", name=_("Won, tied, lost"))
        _cell(words.speed(speed) if speed else "–", name=_("Speed"))
        _cell(words.data_size(memory) if memory else "–", name=_("Memory"))


def _cell(text: str, kind: str = "", name: str = "") -> None:
    with ui.element("td").classes(kind) as cell:
        if name:
            cell.props["data-name"] = name
        ui.label(text).props("dir=auto")


def _bar(standing: Standing) -> None:
    """The rate as a bar, its interval as a line across the end of it."""
    low, high = standing.interval
    rate = f"{standing.win_rate:.0%}"
    ui.label(rate).classes("rate-number")
    with ui.element("div").classes("rate-track").props("role=img") as track:
        text = _("{rate}, between {low} and {high}").format(rate=rate, low=f"{low:.0%}", high=f"{high:.0%}")
        track.props["aria-label"] = track.props["title"] = text
        ui.element("div").classes("rate-bar").style(f"width: {standing.win_rate:.1%}")
        ui.element("div").classes("rate-interval").style(f"inset-inline: {low:.1%} {1 - high:.1%}")
    ui.label(f"{low:.0%} – {high:.0%}").classes("hint").props("aria-hidden=true")


def as_csv(votes: list[Vote]) -> bytes:
    """One vote a line."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["time", "choice", "a", "b", "a_tokens_per_second", "b_tokens_per_second"])
    for vote in votes:
        speeds = (vote.a.tokens_per_second, vote.b.tokens_per_second)
        writer.writerow([vote.created_at.isoformat(), vote.choice.value, vote.a.name, vote.b.name, *speeds])
    return file.getvalue().encode()
