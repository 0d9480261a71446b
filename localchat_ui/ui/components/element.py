"""Small elements that several components are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec

from nicegui import ui

P = ParamSpec("P")
DOUBLE_CLICK_SECONDS = 0.5

# Quasar wraps the options into an element that can take the focus, which no list of options may hold. It is told of a
# moment before they are drawn.
OPTIONS_ALONE = """() => [20, 100, 300].forEach((soon) => setTimeout(() => {
  for (const wrapper of document.querySelectorAll(".q-menu .q-virtual-scroll__content"))
    wrapper.removeAttribute("tabindex");
}, soon))"""


class SelfDrawn(ui.element):
    """An element that a Vue file of its own draws and that is told by methods what changed.

    NiceGUI's page draws all its elements again in the browser whenever one of them is sent, some 10 ms at every piece
    of a reply. So what changes often is sent once, with the page, and never as a whole again.
    """

    def keep(self, **props: Any) -> None:
        """Change what the page is drawn with at first, without sending it."""
        with self._props.suspend_updates():
            self._props.update(props)


def root_path() -> str:
    """What stands before every path of the page that is being made: a proxy takes it away."""
    root: str = ui.context.client.request.scope.get("root_path", "")
    return root


def icon_button(
    icon: str, name: str, on_click: Callable[..., Any] | None = None, *, controls: str | None = None
) -> ui.button:
    """A round button whose name is spoken and shown on hover. `controls` names a side panel that it opens and closes,
    which happens in the browser alone."""
    button = ui.button(icon=icon, on_click=on_click, color=None).props("flat round no-caps").classes("icon-button")
    # Names are set as values, never parsed from a string: some of them carry what people wrote.
    button.props["aria-label"] = button.props["title"] = name
    if controls:
        button.props["aria-controls"] = controls
        button.on("click", js_handler=f"() => localchat.panels.toggle('{controls}')")
    return button


def text_button(label: str, on_click: Callable[..., Any] | None = None, *, primary: bool = False) -> ui.button:
    button = ui.button(label, on_click=on_click, color=None).props("unelevated no-caps dense").classes("text-button")
    return button.classes("primary") if primary else button


def one_press(handler: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """A press while the one before is still at work, or right after, does nothing: nobody wants a double click to do
    it twice."""
    is_busy = False

    def release() -> None:
        nonlocal is_busy
        is_busy = False

    async def press(*args: P.args, **kwargs: P.kwargs) -> None:
        nonlocal is_busy
        if not is_busy:
            is_busy = True
            try:
                await handler(*args, **kwargs)
            finally:
                asyncio.get_running_loop().call_later(DOUBLE_CLICK_SECONDS, release)

    return press


def hint_of(element: ui.element, text: str | None) -> None:
    """A small line that explains an input, to the eye and to screen readers."""
    if text:
        element.props["aria-describedby"] = ui.label(text).classes("hint").html_id
