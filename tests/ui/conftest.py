"""The whole program in this process, without a browser: visitors press what is on the page, and no JavaScript runs."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from nicegui import Client, background_tasks, core, ui
from nicegui.helpers import event_type_to_camel_case
from nicegui.storage import Storage
from nicegui.testing import User, UserInteraction
from nicegui.testing.general import nicegui_reset_globals

from localchat_ui.app import create_app
from localchat_ui.chat import ChatService
from localchat_ui.conversation import ChatOptions, Conversation
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.library import catalog as catalog_module
from localchat_ui.library import scan
from localchat_ui.library.catalog import Catalog
from localchat_ui.serve import run
from localchat_ui.settings import Settings
from localchat_ui.ui.components import settings_panel
from localchat_ui.ui.components.conversation_rows import ConversationRows
from localchat_ui.ui.components.message import MessageView
from localchat_ui.ui.components.message_footer import MENU
from localchat_ui.ui.components.message_log import MessageLog
from localchat_ui.ui.components.notices import NoticeStack
from localchat_ui.ui.components.status_line import StatusLine
from tests.library.test_metadata import Child

T = TypeVar("T", bound=ui.element)


class Program:
    """The running program: its engine, the folder of its models, and whoever visits its page."""

    def __init__(self, folder: Path, engine: ScriptedEngine) -> None:
        self.engine = engine
        self.models = folder / "models"
        self._data = folder / "data"
        self.database_url = f"sqlite+aiosqlite:///{self._data / 'localchat.sqlite3'}"
        self._clients: list[httpx.AsyncClient] = []

    def visitor(self) -> Visitor:
        """Somebody with a browser of their own."""
        client = httpx.AsyncClient(transport=httpx.ASGITransport(core.app), base_url="http://localhost")
        self._clients.append(client)
        return Visitor(User(client))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Program]:
        """From the start to the shutdown."""
        # The app outlives the test, and each router that is included wraps this once more.
        lifespan = core.app.router.lifespan_context
        with nicegui_reset_globals():
            try:
                settings = Settings(_env_file=None, models_dir=self.models, data_dir=self._data, auto_titles=False)
                create_app(settings, engine=self.engine)
                run(settings)
                async with _lifespan():
                    yield self
                    for client in self._clients:
                        await client.aclose()
            finally:
                core.app.router.lifespan_context = lifespan
                # Otherwise NiceGUI drops the modules of our pages, and the next test imports others of the same name.
                Client.page_routes.clear()


@asynccontextmanager
async def _lifespan() -> AsyncIterator[None]:
    """From the start to the shutdown, which NiceGUI itself leaves out after an error."""
    failure: BaseException | None = None
    async with core.app.router.lifespan_context(core.app):
        try:
            yield
        except BaseException as error:
            failure = error
    if failure is not None:
        raise failure


class Visitor:
    """Somebody at the page, who finds things by the names that screen readers speak."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.scripts: list[str] = []

    async def open(self, path: str = "/") -> None:
        self.scripts.clear()
        client = await self.user.open(path)
        run_javascript = client.run_javascript

        def record(code: str, **options: Any) -> Any:
            self.scripts.append(code)
            return run_javascript(code, **options)

        client.run_javascript = record  # type: ignore[method-assign]
        # NiceGUI may answer before the page is drawn.
        await until(lambda: not is_running("wait for result of page"))

    async def open_settings(self) -> None:
        """Open the settings, which are drawn then."""
        panel = next(element for element in self._elements() if element.props.get("id") == "settings")
        UserInteraction(self.user, {panel}, None).trigger("open", None)
        await until(lambda: self.sees("Temperature"))

    def say(self, text: str) -> None:
        """Write into the box and press Enter; the box hands its text over in JavaScript, so it is handed over here."""
        self._do("Message").trigger("keydown", {"text": text, "files": [], "ticket": "1"})

    def press(self, name: str) -> None:
        notice = next((notice for notice in reversed(self.notices) if name in ("Dismiss", notice["action"])), None)
        if notice is not None:
            event = "gone" if name == "Dismiss" else "act"
            UserInteraction(self.user, {self._the(NoticeStack)}, None).trigger(event, {"id": notice["id"]})
        else:
            self._do(name).click()

    def trigger(self, name: str, event: str, value: object) -> None:
        """What the browser tells of an element, when a press is not all."""
        self._do(name).trigger(event_type_to_camel_case(event), value)

    def sees(self, name: str) -> bool:
        return bool(self._all(name)) or any(notice["action"] == name for notice in self.notices)

    @property
    def notices(self) -> list[dict[str, str]]:
        """What is told over the conversation, the latest last."""
        found = (element for element in self._elements() if type(element).__name__ == NoticeStack.__name__)
        return next((list(element.props["first"]) for element in found), [])

    def find(self, name: str) -> Any:
        """The one visible element of this accessible name or text."""
        found = self._all(name)
        assert len(found) == 1, f"{len(found)} elements are called {name!r} on\n{self.user.current_layout}"
        return found[0]

    @property
    def articles(self) -> list[tuple[str, str]]:
        """Who said what, in order."""
        return [("You" if view.words is None else "Assistant", _words(view)) for view in self.log.views]

    def footer(self, place: int = -1) -> str:
        """What stands below a message: how it ended, and the names of its buttons."""
        return _read(re.sub(r'<div class="byline">.*?</div>', "", self.log.views[place].footer))

    def act(self, action: str, place: int = -1) -> None:
        """Press the button of this name below a message; buttons of messages are plain HTML."""
        view = self.log.views[place]
        buttons = _buttons(view.footer)
        assert action in buttons, f"there is no {action!r} in {list(buttons)}"
        self.tell_log("act", {**buttons[action], "id": view.message.id})

    def tell_log(self, event: str, told: dict[str, str]) -> None:
        """What the messages in the browser say."""
        UserInteraction(self.user, {self.log}, None).trigger(event, told)

    @property
    def edited(self) -> list[str]:
        """The texts that were put into a box to be edited, the latest last."""
        calls = re.findall(r'^return runMethod\(\d+, "edit", (.*)\)$', "\n".join(self.scripts), re.MULTILINE)
        return [json.loads(call)[1] for call in calls]

    @property
    def log(self) -> MessageLog:
        return self._the(MessageLog)

    @property
    def status_line(self) -> StatusLine:
        return self._the(StatusLine)

    def _the(self, kind: type[T]) -> T:
        """The element of a class, which may have been imported anew since."""
        return next(element for element in self._elements() if type(element).__name__ == kind.__name__)

    @property
    def titles(self) -> list[str]:
        """The list of conversations."""
        return [row["title"] for row in self.rows.rows]

    @property
    def selected(self) -> list[str]:
        return [row["title"] for row in self.rows.rows if row["id"] == self.rows.selected]

    @property
    def being_written(self) -> list[str]:
        return [row["title"] for row in self.rows.rows if row["writing"]]

    @property
    def rows(self) -> ConversationRows:
        return self._the(ConversationRows)

    @property
    def alerts(self) -> list[str]:
        elements = list(self._elements())
        said = [text_of(element) for element in elements if element.props.get("role") == "alert"]
        told = [notice["text"] for notice in self.notices if notice["kind"] in ("warning", "error")]
        return [*told, *(text for text in said if text)] + [
            alert for view in self.log.views for alert in _alerts(view.footer)
        ]

    @property
    def status(self) -> str:
        return self.status_line.state["text"]

    @property
    def is_busy(self) -> bool:
        return self.log.is_busy

    async def sees_reply(self, text: str) -> None:
        """Wait until the last message is this reply and nothing is written any more."""
        await until(lambda: self.articles[-1:] == [("Assistant", text)] and not self.is_busy)

    def open_link(self, title: str) -> None:
        """Press a conversation in the list."""
        self.tell_list("open", title)

    def choose_from_menu(self, title: str, action: str, /, **more: str) -> None:
        """Press an item of the menu beside a conversation."""
        self.tell_list("act", title, action=action.lower(), **more)

    def rename(self, title: str, new_title: str) -> None:
        self.choose_from_menu(title, "Rename", title=new_title)

    def tell_list(self, event: str, title: str, /, **more: str) -> None:
        """What the list in the browser says of the conversation of this title."""
        row = next(row for row in self.rows.rows if row["title"] == title)
        UserInteraction(self.user, {self.rows}, None).trigger(event, {"id": row["id"], **more})

    def _do(self, name: str) -> UserInteraction[Any]:
        return UserInteraction(self.user, {self.find(name)}, None)

    def _all(self, name: str) -> list[ui.element]:
        def is_called(element: ui.element) -> bool:
            return name in (element.props.get("aria-label"), isinstance(element, ui.button) and element.text)

        # The list stands open here, and has a button of this name as well.
        return [element for element in self._elements() if is_called(element) and "begin" not in element.classes]

    def _elements(self) -> Iterator[Any]:
        return (element for element in self.user.current_layout.descendants() if is_visible(element))


def text_of(element: ui.element) -> str:
    """What one reads in an element, as far as the server knows it."""
    every = (element, *element.descendants())
    shown = [each for each in every if is_visible(each) and not isinstance(each, ui.button)]
    return "".join(_read(each.content) if isinstance(each, ui.html) else getattr(each, "text", "") for each in shown)


def _words(view: MessageView) -> str:
    """What one reads in a message, its thoughts first."""
    if view.words is None:
        return view.message.text
    return view.summary + _read("".join(view.thinking.parts)) + _read("".join(view.words.parts))


def _buttons(html: str) -> dict[str, dict[str, str]]:
    """What each button of a footer tells when it is pressed, by its name."""
    found = re.findall(r"<button([^>]*)>([^<]*)</button>", html)
    told = {}
    for attributes, label in found:
        values = dict(re.findall(r'([\w-]+)="([^"]*)"', attributes))
        if "disabled" not in attributes.split():
            data = {name.removeprefix("data-"): value for name, value in values.items() if name.startswith("data-")}
            told[values.get("aria-label", label)] = data
            told |= {MENU[action]: {"action": action} for action in data.get("offers", "").split()}
    return told


def _alerts(html: str) -> list[str]:
    return [_read(found) for found in re.findall(r'role="alert"><div>(.*?)</div>', html)]


def _read(html: str) -> str:
    reader = _Text()
    reader.feed(html)
    return reader.text.strip()


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_data(self, data: str) -> None:
        self.text += data


def is_visible(element: ui.element) -> bool:
    return element.visible and all(ancestor.visible for ancestor in element.ancestors())


def is_running(name: str) -> bool:
    """Whether a task of NiceGUI whose name begins like this is not done yet."""
    return any(task.get_name().startswith(name) for task in background_tasks.running_tasks)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program with two models of which the scripted engine only reads the names; enter `running()`."""
    monkeypatch.setenv("NICEGUI_USER_SIMULATION", "true")
    monkeypatch.setattr(Storage, "path", tmp_path / "nicegui")
    monkeypatch.setattr(scan, "STARTER_PACKAGE", "no_such_package")
    monkeypatch.setattr(catalog_module, "Catalog", partial(Catalog, probe=Child(tmp_path).command))
    program = Program(tmp_path, ScriptedEngine())
    for name in ("first.gguf", "second.gguf"):
        program.models.mkdir(exist_ok=True)
        (program.models / name).write_bytes(b"GGUF")
    return program


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[ChatOptions]:
    """The settings that were saved so far; they are saved a moment after the last change."""
    saved: list[ChatOptions] = []
    set_options = ChatService.set_options

    async def save(self: ChatService, conversation: Conversation, options: ChatOptions) -> None:
        await set_options(self, conversation, options)
        saved.append(options)

    monkeypatch.setattr(ChatService, "set_options", save)
    monkeypatch.setattr(settings_panel, "SAVE_SECONDS", 0.02)
    return saved


@pytest.fixture
async def running(program: Program, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Program]:
    """The program, up and running; a test in which it logs an error has failed."""
    async with program.running():
        yield program
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname == "ERROR"] == []
