"""People with accounts, each in a browser of their own: what is theirs, and what they may do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, WebSocket, expect

from tests.access.live import user

from .conftest import STEADY
from .people import PASSWORD, People, log_in, make_people, see_login, with_accounts
from .server import Server
from .visitor import LONG, SHORT, Visitor

SECRET = "The treasure of the lighthouse lies below the third stair."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # As behind a proxy that is not listed: whoever is on this machine is a stranger like any other.
    flags = ("--max-tokens", "4000", "--allowed-hosts", "chat.example")
    with Server(tmp_path_factory.mktemp("server"), *STEADY, *flags) as server:
        make_people(server)
        yield server
        print(server.output())  # noqa: T201 - shown by pytest when a test fails
        assert "Traceback" not in server.output()
        assert PASSWORD not in server.output()


@pytest.fixture
def people(browser: Browser, server: Server) -> Iterator[People]:
    with ExitStack() as stack:
        people = People(browser, server, stack)
        yield people
    assert not people.complaints


@pytest.fixture
def program(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as program:
        yield program


def test_the_way_in_with_the_keyboard_alone(people: People) -> None:
    me = people.stranger()
    page = me.page
    page.goto(me.server.url + "/account")
    before = {cookie["value"] for cookie in page.context.cookies()}
    log_in(me, "alice", "wrong horse")
    expect(me.alert).to_have_text("Wrong name or password.")
    # What has to be written again has the focus, and the name is still there.
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    assert page.url == me.server.url + "/account"
    new = [cookie for cookie in page.context.cookies() if cookie["value"] not in before]
    assert [(cookie["name"], cookie["httpOnly"], cookie["sameSite"]) for cookie in new] == [
        (f"localchat_{me.server.port}", True, "Strict")
    ]


def test_what_alice_writes_is_nobody_elses(people: People, program: httpx.Client) -> None:
    alice, bob = people.person("alice"), people.person("bob")
    heard = _listen(bob.page)
    bob.open()
    alice.open().ask(SECRET + " " + LONG)
    alice.see_growing()
    conversation_id = alice.conversation_id
    _see_nothing_in_the_page(bob, conversation_id)
    _get_nothing_from_the_api(program, people.key("bob"), conversation_id)
    # She does see it, and it was written all the while.
    assert program.get(f"/conversations/{conversation_id}", headers=people.key("alice")).status_code == 200
    alice.see_growing()
    alice.stop.click()
    assert alice.reply()
    told = "".join(heard)
    assert len(told) > 1000, "the socket of Bob's page was not listened to"
    assert "treasure" not in told
    # The address names it, which Bob had typed himself; and its title never came.
    assert "third stair" not in told


def _listen(page: Page) -> list[str]:
    """All that comes over the sockets of a page from now on."""
    heard: list[str] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: heard.append(str(frame)))

    page.on("websocket", listen)
    return heard


def _see_nothing_in_the_page(bob: Visitor, conversation_id: str) -> None:
    bob.page.goto(f"{bob.server.url}/c/{conversation_id}")
    expect(bob.alert).to_contain_text("This conversation was not found")
    expect(bob.log.get_by_role("article")).to_have_count(0)
    expect(bob.listed()).to_have_count(0)
    bob.page.get_by_role("searchbox", name="Search conversations").fill("treasure")
    expect(bob.page.get_by_text("Nothing found").first).to_be_visible()
    bob.page.get_by_role("button", name="Export and import").click()
    with bob.page.expect_download() as download:
        bob.page.get_by_text("Export all as JSON").click()
    assert json.loads(Path(download.value.path()).read_text())["conversations"] == []


def _get_nothing_from_the_api(program: httpx.Client, bob: dict[str, str], conversation_id: str) -> None:
    post = {"user_input": "What did she write?", "conversation_id": conversation_id}
    answers = [
        program.get(f"/conversations/{conversation_id}", headers=bob),
        program.delete(f"/conversations/{conversation_id}", headers=bob),
        program.get("/chat/stream", params={"conversation_id": conversation_id}, headers=bob),
        program.post("/chat/stream", json=post, headers=bob),
        program.post("/chat/stream", json=post, headers={**bob, "Last-Event-ID": "a:0:0"}),
        program.post("/reset", json={"conversation_id": conversation_id}, headers=bob),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)
    assert program.post("/reset", headers=bob).json() == {"forgotten": []}
    assert program.get("/conversations", headers=bob).json() == {"data": []}


def test_a_logout_ends_all_tabs_and_drafts_wait_for_whoever_wrote_them(people: People) -> None:
    alice = people.person("alice").open()
    tab = Visitor(alice.page.context.new_page(), alice.server).open()
    tab.box.fill("A draft of Alice's")
    alice.page.get_by_role("link", name="Account", exact=True).click()
    alice.page.get_by_role("button", name="Log out", exact=True).click()
    see_login(alice)
    see_login(tab)
    # Whoever comes next in this browser is not told what she was about to say.
    log_in(tab, "bob")
    expect(tab.box).to_be_visible()
    expect(tab.box).to_have_value("")
    tab.page.goto(tab.server.url + "/account")
    tab.page.get_by_role("button", name="Log out", exact=True).click()
    see_login(tab)
    alice.page.goto(alice.server.url + "/")
    log_in(alice, "alice")
    expect(alice.box).to_have_value("A draft of Alice's")


def test_a_session_that_is_ended_elsewhere_leads_to_the_login(people: People, program: httpx.Client) -> None:
    here, there = people.person("alice"), people.person("alice").open()
    bob = people.person("bob").open()
    there.ask_long()
    here.page.goto(here.server.url + "/account")
    here.page.get_by_role("button", name="Log out everywhere else").click()
    expect(here.page.get_by_role("status")).to_contain_text("ended.")
    see_login(there)
    # The reply went on without anybody to look at it; it is hers to stop.
    path = there.page.url.partition("next=")[2].replace("%2F", "/")
    here.open(path).see_growing()
    here.stop.click()
    # Her own page and everybody else's live on.
    bob.ask(SHORT)
    assert bob.reply()


def test_a_key_is_shown_once_and_can_be_revoked(people: People, program: httpx.Client) -> None:
    bob = people.person("bob", permissions=["clipboard-read", "clipboard-write"])
    page = bob.page
    page.goto(bob.server.url + "/account")
    page.get_by_label("Label of the new key").fill("my <b>laptop</b>")
    page.keyboard.press("Enter")
    shown = page.locator("code")
    expect(shown).to_have_text(re.compile("^lc-"))
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    key = page.evaluate("navigator.clipboard.readText()")
    assert key == shown.inner_text()
    row = page.get_by_role("row").filter(has_text="my <b>laptop</b>")
    expect(row).to_contain_text("never")
    headers = {"Authorization": f"Bearer {key}"}
    assert program.get("/v1/models", headers=headers).status_code == 200
    page.reload()
    expect(row).not_to_contain_text("never")
    assert key not in page.content()
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
    expect(row).to_have_count(0)
    assert program.get("/v1/models", headers=headers).status_code == 401


def test_administration_is_for_administrators(people: People, program: httpx.Client) -> None:
    bob = people.person("bob")
    answer = bob.page.goto(bob.server.url + "/admin")
    assert answer
    assert answer.status == 403
    expect(bob.alert).to_contain_text("This page is for administrators")
    # A key opens no page of a person, not even an administrator's.
    for path in ("/admin", "/account"):
        answers = program.get(path, headers=people.key("alice"))
        assert answers.status_code in (303, 403)
        assert "client_id" not in answers.text


def test_an_administrator_manages_people(people: People) -> None:
    alice = people.person("alice")
    page = alice.page
    page.goto(alice.server.url + "/admin")
    said = page.get_by_role("region", name="People").get_by_role("status")
    page.get_by_label("Name", exact=True).fill("Dora")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(said).to_contain_text("can log in now")
    dora = people.person("dora").open()
    row = page.get_by_role("row").filter(has_text="dora")
    row.get_by_role("button", name="Make administrator").press("Enter")
    expect(row).to_contain_text("Administrator")
    # The button has vanished; the keyboard goes on beside it.
    expect(said).to_be_focused()
    # Her pages load again, and know it.
    dora.page.get_by_role("link", name="Account", exact=True).click()
    dora.page.get_by_role("link", name="Administration").click()
    expect(dora.page.get_by_role("heading", name="Administration")).to_be_visible()
    row.get_by_role("button", name="Make regular user").click()
    expect(dora.alert).to_contain_text("This page is for administrators")
    mine = page.get_by_role("row").filter(has_text="alice (you)")
    mine.get_by_role("button", name="Make regular user").click()
    expect(alice.alert.filter(has_text="At least one administrator must remain.")).to_be_visible()
    mine.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text("At least one administrator must remain.")
    page.keyboard.press("Escape")
    dora.open()
    row.get_by_role("button", name="Set password").click()
    page.get_by_label("New password", exact=True).fill("battery staple")
    page.keyboard.press("Enter")
    expect(said).to_contain_text("has the new password")
    see_login(dora)
    row.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(said).to_contain_text("dora is gone.")
    expect(row).to_have_count(0)
    audited = [line for line in alice.server.output().splitlines() if "by=" in line]
    for event in ("user added", "user made admin", "user no longer admin", "user password set", "user removed"):
        assert any(f'{event} by="alice"' in line and "dora" in line.lower() for line in audited), event


def test_what_a_removed_user_has_written_is_given_away_or_erased_as_was_said(people: People) -> None:
    alice = people.person("alice")
    page = alice.page
    for name, question in (("erik", "What is a fjord?"), ("fay", "What is a glacier?")):
        assert user(alice.server, "add", name, password=PASSWORD).returncode == 0
        writer = people.person(name).open()
        writer.ask(question)
        expect(writer.log).to_have_attribute("aria-busy", "false")
    page.goto(alice.server.url + "/admin")
    said = page.get_by_role("region", name="People").get_by_role("status")
    dialog = page.get_by_role("dialog")
    remove = dialog.get_by_role("button", name="Remove", exact=True)
    page.get_by_role("button", name="Remove: erik").click()
    expect(dialog).to_contain_text("They have 1 conversation.")
    remove.click()
    expect(dialog.get_by_role("alert")).to_have_text("erik has 1 conversation. Erase them, or give them to somebody.")
    dialog.get_by_label("What happens to them").select_option("Give them to bob")
    remove.click()
    expect(said).to_have_text("erik is gone; bob has 1 conversation more.")
    page.get_by_role("button", name="Remove: fay").click()
    dialog.get_by_label("What happens to them").select_option("Erase permanently")
    remove.click()
    expect(said).to_have_text("fay is gone; erased: 1 conversation.")
    bob = people.person("bob").open()
    listed = bob.page.get_by_role("navigation", name="Conversations")
    expect(listed).to_contain_text("What is a fjord?")
    expect(listed).not_to_contain_text("What is a glacier?")
    expect(alice.open().page.get_by_role("navigation", name="Conversations")).not_to_contain_text("fjord")


def test_replies_at_a_time_are_limited_in_the_page_and_the_words_come_back(
    people: People, program: httpx.Client
) -> None:
    alice = people.person("alice")
    _set_limit(alice, "Replies at a time", "1")
    bob = people.person("bob").open().ask_long()
    other = Visitor(bob.page.context.new_page(), bob.server).open()
    other.box.fill(LONG)
    other.box.press("Enter")
    expect(other.alert.filter(has_text="Each person may have 1 reply written at a time")).to_be_visible()
    expect(other.box).to_have_value(LONG)
    expect(other.questions).to_have_count(0)
    # The same limit for his programs, in both protocols; and it is his, not Alice's.
    headers = people.key("bob")
    for path, body in (
        ("/chat/stream", {"user_input": SHORT}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": SHORT}]}),
    ):
        refused = program.post(path, json=body, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_generations")
        assert refused.headers["retry-after"]
    alice.open().ask(SHORT)
    assert alice.reply()
    bob.stop.click()
    bob.reply()
    other.box.press("Enter")
    expect(other.questions).to_have_count(1)
    other.stop.click()
    # One request that wants two replies at a time is two, which are never allowed at a time.
    wants_two = {"messages": [{"role": "user", "content": SHORT}], "n": 2, "max_tokens": 4}
    other.reply()
    assert program.post("/v1/chat/completions", json=wants_two, headers=headers).status_code == 400
    _set_limit(alice, "Replies at a time", "")
    assert program.post("/v1/chat/completions", json=wants_two, headers=headers).status_code == 200


def test_tokens_a_day_are_limited_for_one_person_alone(people: People, program: httpx.Client) -> None:
    with_accounts(people.server, lambda accounts: accounts.users.add("eve", PASSWORD))
    alice, eve = people.person("alice"), people.person("eve").open()
    _set_limit(alice, "Tokens a day", "5", "eve")
    eve.ask(SHORT)
    assert eve.reply()
    eve.box.fill("One more")
    eve.box.press("Enter")
    expect(eve.alert.filter(has_text="The 5 tokens of a day are used up. Try again in 2")).to_be_visible()
    expect(eve.box).to_have_value("One more")
    eve.page.get_by_role("link", name="Account", exact=True).click()
    expect(eve.page.get_by_text(re.compile(r"You have used \d+ of 5 tokens today"))).to_be_visible()
    body = {"messages": [{"role": "user", "content": SHORT}]}
    refused = program.post("/v1/chat/completions", json=body, headers=people.key("eve"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "tokens_used_up")
    assert 80_000 < int(refused.headers["retry-after"]) <= 86_400
    assert program.post("/v1/chat/completions", json=body, headers=people.key("bob")).status_code == 200
    # It is kept, and shown again.
    alice.page.reload()
    _choose_whom(alice, "eve (own limits)")
    expect(alice.page.get_by_label("Tokens a day")).to_have_value("5")


def _set_limit(admin: Visitor, name: str, value: str, whom: str = "Everybody") -> None:
    page = admin.page
    page.goto(admin.server.url + "/admin")
    if whom != "Everybody":
        _choose_whom(admin, whom)
    page.get_by_label(name).fill(value)
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Limits").get_by_role("status")).to_contain_text("Saved for")


def _choose_whom(admin: Visitor, whom: str) -> None:
    admin.page.get_by_role("combobox", name="For whom").click()
    admin.page.get_by_role("option", name=whom, exact=True).click()


def test_administrators_see_to_the_models(people: People) -> None:
    alice, bob = people.person("alice"), people.person("bob").open()
    bob.see_model("SmolLM2")
    page = alice.page
    page.goto(alice.server.url + "/admin")
    models = page.get_by_role("region", name="Models")
    row = models.get_by_role("row").filter(has_text="SmolLM2")
    only_admins = models.get_by_role("checkbox", name="Only administrators can change the model")
    expect(row).to_contain_text("In use")
    only_admins.click()
    expect(models.get_by_role("status")).to_have_text("Saved.")
    expect(bob.model).not_to_be_editable()
    bob.see_model("SmolLM2")
    alice.page.reload()
    expect(only_admins).to_be_checked()
    models.get_by_role("button", name="Free memory").click()
    expect(row).to_contain_text("loads with the next message")
    bob.ask(SHORT)
    assert bob.reply()
    expect(row).not_to_contain_text("next message")
    only_admins.click()
    expect(bob.model).to_be_editable()
    bob.see_model("SmolLM2")


# The last two: after them the address has to wait, too.


def test_a_new_password_asks_for_the_present_one_and_ends_other_sessions(people: People) -> None:
    with_accounts(people.server, lambda accounts: accounts.users.add("carol", PASSWORD))
    here, there = people.person("carol"), people.person("carol").open()
    here.page.goto(here.server.url + "/account")
    _change_password(here, "wrong horse", "battery staple")
    expect(here.alert.filter(has_text="current password")).to_be_visible()
    _change_password(here, PASSWORD, "short")
    expect(here.alert.filter(has_text="8 to 1,024 characters")).to_be_visible()
    _change_password(here, PASSWORD, "battery staple", "battery stable")
    expect(here.alert.filter(has_text="do not match")).to_be_visible()
    expect(there.box).to_be_visible()
    _change_password(here, PASSWORD, "battery staple")
    expect(here.page.get_by_role("status").filter(has_text="Password changed")).to_be_visible()
    see_login(there)
    assert with_accounts(people.server, lambda accounts: accounts.sessions.log_in("carol", "battery staple"))
    assert not with_accounts(people.server, lambda accounts: accounts.sessions.log_in("carol", PASSWORD))
    # One guess was counted; now guessing takes its time here too.
    for _ in range(5):
        _change_password(here, "wrong horse", "whatever it is")
    expect(here.alert.filter(has_text="Too many attempts")).to_be_visible()


def _change_password(person: Visitor, present: str, new: str, again: str | None = None) -> None:
    page = person.page
    page.get_by_label("Current password").fill(present)
    page.get_by_label("New password", exact=True).fill(new)
    page.get_by_label("Confirm new password").fill(again or new)
    page.keyboard.press("Enter")
    expect(
        page.get_by_role("alert").or_(page.get_by_role("status")).filter(has_text=re.compile("."))
    ).not_to_have_count(0)


def test_who_guesses_waits_and_whoever_is_in_is_not_bothered(people: People) -> None:
    bob = people.person("bob").open()
    guesser = people.stranger()
    guesser.page.goto(guesser.server.url)
    log_in(guesser, "nobody", "wrong horse")
    for _ in range(5):
        expect(guesser.page.get_by_label("Password")).to_be_focused()
        guesser.page.keyboard.type("wrong horse")
        guesser.page.keyboard.press("Enter")
    expect(guesser.alert).to_have_text(re.compile(r"Too many attempts\. Try again in \d+ s\."))
    bob.page.reload()
    expect(bob.box).to_be_visible()
