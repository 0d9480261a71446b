"""Finds models on the hub, and downloads one with a click."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from nicegui import ui

from localchat_ui.i18n import _, translated
from localchat_ui.inference import ModelLibrary
from localchat_ui.library.curated import Suggestion, suggestions
from localchat_ui.library.estimate import Shape
from localchat_ui.library.hub import Repository
from localchat_ui.library.offers import Offer
from localchat_ui.library.source import Source
from localchat_ui.text import N_
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.page_layout import Outcome, field, section
from localchat_ui.ui.words import data_size

HINT = N_(
    "Search Hugging Face by name, or paste the name of a repository, a link to it, or the address of a GGUF file."
)


class HubSearch:
    def __init__(self, library: ModelLibrary) -> None:
        self._library = library
        self._ticket = 0
        with section(_("Get a model"), _(HINT)):
            with ui.element("form").classes("fields inline search-form").props("role=search") as form:
                self._words = field(_("Find a model"), autocomplete="off")
                self._words.props["type"], self._words.props["placeholder"] = "search", "qwen3 4b"
                text_button(_("Search"), primary=True).props("type=submit")
            form.on("submit", self._search, js_handler="(event) => { event.preventDefault(); emit(); }")
            self._outcome = Outcome()
            self._results = ui.element("div")
        with self._results:
            self._suggest()

    def _suggest(self) -> None:
        _heading(_("Good to begin with"))
        with ui.element("ul").classes("offers"):
            for each in suggestions():
                forecast = self._library.forecast(each.size, Shape(read_share=each.read_share))
                details = f"{_(each.use)} · {data_size(each.size)}"
                _row(each.name, [details, translated(forecast.text)], _("Download"), partial(self._take, each))

    async def _search(self) -> None:
        words = (self._words.value or "").strip()
        self._ticket += 1
        ticket = self._ticket
        self._outcome.say(_("Looking at the hub…"))
        with self._outcome.telling():
            source = self._library.source(words)
            if source is None:
                found = await self._library.search(words)
                if ticket == self._ticket:
                    self._show(found)
            elif source.url or source.filename or source.quantisation:
                await self._library.pull(source)
            else:
                await self._open(source.repo, ticket)

    def _show(self, found: Sequence[Repository]) -> None:
        self._results.clear()
        with self._results:
            _heading(_("On the hub") if found else _("Nothing was found. Try fewer words."))
            with ui.element("ul").classes("offers"):
                for each in found:
                    _row(each.id, [translated(each.details)], _("Choose a file"), partial(self._choose, each.id))

    async def _choose(self, repo_id: str) -> None:
        self._ticket += 1
        self._outcome.say(_("Looking at the hub…"))
        with self._outcome.telling():
            await self._open(repo_id, self._ticket)

    async def _open(self, repo_id: str, ticket: int) -> None:
        repository = await self._library.repository(repo_id)
        forecasts = await self._library.forecasts(repository)
        if ticket != self._ticket:
            return
        self._results.clear()
        with self._results:
            _heading(repository.id)
            ui.label(translated(repository.details)).classes("page-text")
            with ui.element("ul").classes("offers"):
                for offer, forecast in zip(repository.offers, forecasts, strict=True):
                    name = offer.quantisation or offer.name
                    download = partial(self._download, repository.id, offer)
                    details = [translated(offer.details), translated(forecast.text)]
                    _row(name, details, _("Download"), download, primary=offer.is_recommended)

    async def _download(self, repo_id: str, offer: Offer) -> None:
        with self._outcome.telling(_("{name} is on its way.").format(name=offer.name)):
            await self._library.download(repo_id, offer)

    async def _take(self, suggestion: Suggestion) -> None:
        with self._outcome.telling(_("{name} is on its way.").format(name=suggestion.name)):
            await self._library.pull(Source(suggestion.repo))


def _heading(text: str) -> None:
    with ui.element("h3").classes("page-heading"):
        ui.label(text).props("dir=auto")


def _row(
    name: str, details: list[str], verb: str, act: Callable[[], Awaitable[None]], *, primary: bool = False
) -> None:
    with ui.element("li").classes("offer-row"):
        with ui.element("div").classes("download-words"):
            ui.label(name).classes("strong").props("dir=auto")
            for line in filter(None, details):
                ui.label(line).classes("hint")
        button = text_button(verb, act, primary=primary)
        button.props["aria-label"] = _("{verb}: {name}").format(verb=verb, name=name)
