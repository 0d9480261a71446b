"""What axe finds on the pages of login, account and administration; and the way out with an access token alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.access.live import user

from .conftest import STEADY
from .people import People, make_people, see_login
from .server import Server
from .test_accessibility import PHONE, STILL, findings
from .visitor import Visitor

TOKEN = "a-token-of-thirty-two-characters"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), *STEADY) as server:
        make_people(server)
        yield server
        print(server.output())  # noqa: T201 - shown by pytest when a test fails


@pytest.fixture
def people(browser: Browser, server: Server) -> Iterator[People]:
    with ExitStack() as stack:
        people = People(browser, server, stack)
        yield people
    assert not people.complaints


def _login(person: Visitor) -> None:
    person.page.context.clear_cookies()
    person.page.goto(person.server.url)
    see_login(person)


def _too_old_a_form(person: Visitor) -> None:
    _login(person)
    person.page.context.clear_cookies()
    person.page.get_by_label("Name").fill("alice")
    person.page.get_by_label("Password").fill("correct horse")
    person.page.keyboard.press("Enter")
    expect(person.alert).to_have_text("This form has expired. Try again.")


def _account(person: Visitor) -> None:
    page = person.page
    page.goto(person.server.url + "/account")
    page.get_by_label("Label of the new key").fill("laptop")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_text("Copy it now")).to_be_visible()
    page.get_by_label("New password", exact=True).fill("battery staple")
    page.keyboard.press("Enter")
    expect(person.alert.filter(has_text="do not match")).to_be_visible()


def _administration(person: Visitor) -> None:
    person.page.goto(person.server.url + "/admin")
    person.page.get_by_role("button", name="Save limits").click()
    expect(person.page.get_by_text("Saved for everybody.")).to_be_visible()


def _dialog(person: Visitor) -> None:
    person.page.goto(person.server.url + "/admin")
    person.page.get_by_role("button", name="Set password: bob").click()
    expect(person.page.get_by_role("dialog", name="New password for bob")).to_be_visible()


def _removal(person: Visitor) -> None:
    people_of = person.server
    key = user(people_of, "key", "bob").stdout.strip()
    said = {"user_input": "Hello", "max_tokens": 1}
    httpx.post(f"{people_of.url}/chat/stream", json=said, headers={"Authorization": f"Bearer {key}"}, timeout=60)
    person.page.goto(person.server.url + "/admin")
    person.page.get_by_role("button", name="Remove: bob").click()
    expect(person.page.get_by_role("dialog").get_by_label("What happens to them")).to_be_visible()


def _whom(person: Visitor) -> None:
    person.page.goto(person.server.url + "/admin")
    person.page.get_by_role("combobox", name="For whom").click()
    expect(person.page.get_by_role("option", name="bob")).to_be_visible()


STATES = [_login, _too_old_a_form, _account, _administration, _dialog, _removal, _whom]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desk", "phone"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__.strip("_"))
def test_nothing_serious(people: People, state: Callable[[Visitor], None], size: str, scheme: str) -> None:
    alice = people.person("alice", color_scheme=scheme, **STILL, **(PHONE if size == "phone" else {}))
    state(alice)

    assert findings(alice) == []
    # Nothing is wider than the screen.
    assert alice.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_nothing_serious_while_the_model_is_fixed(people: People) -> None:
    alice, bob = people.person("alice"), people.person("bob", **STILL).open()
    alice.page.goto(alice.server.url + "/admin")
    alice.page.get_by_role("checkbox", name="Only administrators can change the model").click()
    expect(bob.model).not_to_be_editable()

    assert findings(bob) == []


def test_whoever_came_with_the_token_can_log_out(browser: Browser, tmp_path: Path) -> None:
    server = Server(tmp_path, *STEADY, "--access-token", TOKEN)
    with ExitStack() as stack:
        stack.callback(server.kill)
        server.launch()
        server.wait_for_health()
        people = People(browser, server, stack)
        me = people.stranger().open(f"/?token={TOKEN}")
        tab = Visitor(me.page.context.new_page(), server).open()
        expect(me.page.get_by_role("link", name="Account", exact=True)).to_have_count(0)
        me.page.goto(server.url + "/account")
        expect(me.box).to_be_visible()  # there is none
        me.page.get_by_role("button", name="Log out", exact=True).click()
        see_login(me)
        see_login(tab)
        expect(me.page.get_by_label("Access token")).to_be_focused()
        me.page.keyboard.type(TOKEN)
        me.page.keyboard.press("Enter")
        expect(me.box).to_be_visible()
        assert not people.complaints


def test_whoever_is_alone_on_this_machine_sees_no_account(browser: Browser, tmp_path: Path) -> None:
    with Server(tmp_path, *STEADY) as server, ExitStack() as stack:
        me = People(browser, server, stack).stranger().open()
        for name in ("Account", "Log out"):
            expect(me.page.get_by_role("link", name=name, exact=True)).to_have_count(0)
            expect(me.page.get_by_role("button", name=name, exact=True)).to_have_count(0)
        answer = me.page.goto(server.url + "/admin")
        assert answer
        assert answer.status == 403
