"""Ways to begin, for whoever looks at an empty page."""

from __future__ import annotations

import json
from dataclasses import dataclass

from nicegui import ui

from localchat_ui.i18n import _
from localchat_ui.text import N_


@dataclass(frozen=True)
class Starter:
    """`text` goes into the box: it is sent at once if it is `whole`, and else waits there to be completed."""

    title: str
    hint: str
    text: str
    whole: bool = True


# Within reach of a small model: it explains, writes, rewords and sketches code; it does not know the news.
STARTERS = (
    Starter(N_("Explain something"), N_("why the sky is blue"), N_("Explain in a few sentences why the sky is blue.")),
    Starter(
        N_("Write a note"),
        N_("to thank a neighbour"),
        N_("Write a short, warm note that thanks a neighbour for watering my plants."),
    ),
    Starter(
        N_("Write some code"),
        N_("count words in Python"),
        N_("Write a Python function that counts the words of a text, with an example."),
    ),
    Starter(N_("Improve a text"), N_("paste your own"), N_("Make this clearer and friendlier:\n\n"), whole=False),
)


class Starters:
    """Buttons that are gone while a draft is written; all happens in the browser."""

    def __init__(self) -> None:
        with ui.element("div").classes("starters").props("role=group") as group:
            group.props["aria-label"] = _("Suggestions")
            for starter in STARTERS:
                # JSON is a JavaScript literal.
                call = f"() => localchat.composer.suggest({json.dumps(_(starter.text))}, {json.dumps(starter.whole)})"
                button = ui.button(color=None).props("unelevated no-caps align=left").classes("starter")
                with button.on("click", js_handler=call):
                    ui.label(_(starter.title)).classes("starter-title")
                    ui.label(_(starter.hint)).classes("starter-hint")
