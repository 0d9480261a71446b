"""The vote in a blind duel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from nicegui import ui

from localchat_ui.comparison import Choice
from localchat_ui.i18n import _
from localchat_ui.ui.components.element import text_button


class VoteBar:
    def __init__(self, on_vote: Callable[[Choice], Awaitable[None]]) -> None:
        choices = {
            Choice.A: _("A is better"),
            Choice.TIE: _("Tie"),
            Choice.BAD: _("Both are bad"),
            Choice.B: _("B is better"),
        }
        with ui.element("div").classes("vote-bar").props("role=group") as self._bar:
            self._bar.props["aria-label"] = _("Vote")
            for choice, label in choices.items():
                text_button(label, partial(on_vote, choice))
        self.show(False)

    def show(self, shown: bool) -> None:
        self._bar.set_visibility(shown)
