"""The frame of the pages beside the chat: a way back, a title, and sections one below the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nicegui import ui

from localchat_ui.access.accounts import AccountError, LoggedOutError
from localchat_ui.engine.base import EngineError
from localchat_ui.history.errors import HistoryError
from localchat_ui.i18n import _, translated
from localchat_ui.library.errors import LibraryError
from localchat_ui.ui import design, icons
from localchat_ui.ui.components.element import hint_of

COPY = """async (event) => {
  const { _ } = localchat.page;
  const button = event.currentTarget;
  const copied = await localchat.clipboard.copy(TEXT);
  const label = button.querySelector(".block");
  label.textContent = copied ? _("Copied") : _("Not copied");
  setTimeout(() => (label.textContent = _("Copy")), 2000);
}"""

FOCUS_IF_LOST = """[50, 300, 1000].forEach((soon) => setTimeout(() => {
  if (document.activeElement === document.body) getHtmlElement(LINE)?.focus();
}, soon))"""


@contextmanager
def page_layout(title: str, *, back: tuple[str, str] | None = None) -> Iterator[None]:
    """Fill the page within this block. `back` is a path below ROOT_PATH, and what the link to it is called."""
    design.apply()
    ui.add_css((design.ROOM / "page_layout.css").read_text(encoding="utf-8"))
    ui.page_title(f"{title} · LocalChat")
    with ui.element("div").classes("page-layout"):
        with ui.element("header").classes("page-header"):
            path, name = back or ("/", _("Back to the chat"))
            link(icons.BACK, name, path)
        with ui.element("main").classes("page-main"):
            with ui.element("h1"):
                ui.label(title)
            yield


@contextmanager
def section(title: str, hint: str | None = None) -> Iterator[ui.element]:
    """A card with a heading."""
    with ui.element("section").classes("page-section") as card:
        with ui.element("h2") as heading:
            ui.label(title)
        card.props["aria-labelledby"] = heading.html_id
        if hint:
            ui.label(hint).classes("page-text")
        yield card


def link(icon: str, name: str, path: str) -> ui.button:
    """A link that looks like a quiet button."""
    element = ui.button(name, icon=icon, color=None).props("flat no-caps").classes("page-link")
    element.props["href"] = path_to(path)
    return element


def path_to(path: str) -> str:
    """The path of a page as the browser has to ask for it."""
    request = ui.context.client.request
    prefix: str = request.headers.get("X-Forwarded-Prefix") or request.scope.get("root_path", "")
    return prefix.rstrip("/") + path


def field(label: str, *, autocomplete: str, secret: bool = False, hint: str | None = None) -> ui.input:
    """A box with its name above it."""
    with ui.element("div").classes("field"):
        ui.label(label).classes("field-name").props("aria-hidden=true")
        box = ui.input(password=secret).props("outlined dense hide-bottom-space")
        box.props["aria-label"] = label
        box.props["autocomplete"] = autocomplete
        if not secret:
            box.props["autocapitalize"], box.props["spellcheck"] = "none", "false"
        hint_of(box, hint)
    return box


def copy_button(text: ui.element) -> ui.button:
    """Copies what an element of the page says."""
    button = ui.button(_("Copy"), color=None).props("unelevated no-caps dense").classes("text-button")
    return button.on("click", js_handler=COPY.replace("TEXT", f"getHtmlElement({text.id}).textContent"))


class Outcome:
    """One line below what was done: what came of it, or what went wrong."""

    def __init__(self) -> None:
        # Both are there from the start, or a screen reader would not notice what they say.
        self._news = ui.label().classes("outcome-line").props("role=status tabindex=-1")
        self._trouble = ui.label().classes("outcome-line trouble").props("role=alert tabindex=-1")

    def say(self, text: str) -> None:
        self._show(self._news, text)

    def complain(self, text: str) -> None:
        self._show(self._trouble, text)

    def _show(self, line: ui.label, text: str) -> None:
        for each in (self._news, self._trouble):
            each.set_text(text if each is line else "")
        if text:
            # What was pressed may have vanished with the row it stood in; the keyboard goes on from here then.
            line.client.run_javascript(FOCUS_IF_LOST.replace("LINE", str(line.id)))

    @contextmanager
    def telling(self, done: str | Callable[[], str] = "") -> Iterator[None]:
        """Tell what came of what is done within this block. A session that has ended leads to the login."""
        try:
            yield
        except LoggedOutError:
            ui.navigate.reload()
        except (AccountError, HistoryError, EngineError, LibraryError) as error:
            self.complain(translated(error))
        else:
            self.say(done if isinstance(done, str) else done())
