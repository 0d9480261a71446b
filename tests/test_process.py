"""Stories of how the program starts, ends, is killed and comes back, told on the real process."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from localchat_ui.conversation import MessageState
from localchat_ui.history.store import HistoryStore
from tests.browser.server import Server, clean_environment, without_starter
from tests.browser.visitor import LONG, SHORT, Visitor, open_browser
from tests.history.conftest import fill, locked, small_disk, start_conversation
from tests.library.fake_hub import FakeHub

__all__ = ["small_disk"]

SECONDS_TO_END = 3.0
EXIT_CODES = {signal.SIGTERM: -signal.SIGTERM, signal.SIGINT: 128 + signal.SIGINT}
FLAGS = ("--temperature", "0", "--n-threads", "1", "--max-tokens", "2000")
HUB_FILE = "Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_k_m.gguf"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Not started yet; whatever is left of it is killed in the end."""
    server = Server(tmp_path, *FLAGS)
    yield server
    server.kill()
    if server.log.exists():
        print(server.output())  # noqa: T201 - shown by pytest when a test fails


@pytest.fixture
def anna(browser: Browser, server: Server) -> Iterator[Visitor]:
    """Somebody whose page loses its server, and complains of it."""
    context = browser.new_context()
    yield Visitor(context.new_page(), server)
    context.close()


def see_clean_end(server: Server, number: signal.Signals) -> None:
    """Ask for the end, and see that nothing is left and nothing is complained of."""
    seconds = server.stop(number)

    assert server.process
    assert server.process.returncode == EXIT_CODES[number]
    assert not server.has_left_processes()
    assert "Traceback" not in server.output()
    assert "ERROR" not in server.output()
    assert seconds < SECONDS_TO_END


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_reply_in_progress_is_kept_as_interrupted(server: Server, anna: Visitor, number: signal.Signals) -> None:
    server.start()
    anna.open().ask_long()
    before, conversation_id = anna.text(), anna.conversation_id

    see_clean_end(server, number)

    question, reply = server.messages(conversation_id)
    assert question.text == LONG
    assert reply.state is MessageState.INTERRUPTED
    assert reply.text.startswith(before[:-10])
    assert len(anna.text()) <= len(reply.text)

    anna.page.goto("about:blank")  # or the page that is still open loads itself again in between
    server.start()
    anna.open(f"/c/{conversation_id}")
    expect(anna.replies.last).to_contain_text(reply.text[:40])
    expect(anna.replies.last).to_contain_text("Interrupted")
    anna.replies.last.get_by_role("button", name="Try again").click()
    expect(anna.replies.last).not_to_contain_text("Interrupted")
    anna.see_growing()
    expect(anna.questions.locator(".words")).to_have_text([LONG])
    expect(anna.replies).to_have_count(1)


def test_a_killed_program_loses_half_a_second_of_a_reply_at_most(server: Server, anna: Visitor) -> None:
    server.start()
    anna.open()
    anna.watch_growth()
    anna.ask(LONG)
    # However fast the machine is, there has to be a reply that was there more than a second ago.
    anna.page.wait_for_function("growth.length && growth.at(-1).at - growth[0].at > 1.5")
    conversation_id = anna.conversation_id

    server.kill()

    growth = anna.growth()
    # Half a second between two notes, and as much again for a slow machine to write one.
    long_ago = [step.length for step in growth if step.at < growth[-1].at - 1]
    server.start()
    # Marked before the port is open.
    [_, reply] = server.messages(conversation_id)
    assert reply.state is MessageState.INTERRUPTED
    assert len(reply.text) >= max(long_ago) > 0
    anna.open(f"/c/{conversation_id}")
    expect(anna.replies.last).to_contain_text("Interrupted")
    expect(anna.replies.last.get_by_role("button", name="Try again")).to_be_visible()
    expect(anna.log).to_have_attribute("aria-busy", "false")


def test_a_page_left_open_comes_back_with_the_program(server: Server, anna: Visitor) -> None:
    server.start()
    anna.open().ask(SHORT)
    said = anna.reply()
    anna.page.evaluate("window.isOld = true")

    server.stop()
    server.start()

    anna.page.wait_for_function("!window.isOld")
    expect(anna.replies.locator(".words")).to_have_text([said], use_inner_text=True)
    anna.ask(SHORT)
    assert anna.reply()


def test_a_message_sent_while_the_program_is_away_is_not_lost(server: Server, anna: Visitor) -> None:
    server.start()
    anna.open()
    expect(anna.status).to_contain_text("Ready")
    anna.page.evaluate("window.isOld = true")

    server.stop()
    anna.box.fill(SHORT)
    anna.box.press("Enter")
    server.start()

    anna.page.wait_for_function("!window.isOld")
    expect(anna.box).to_be_visible()
    # Either it was sent when the connection came back, or it waits to be sent again.
    anna.page.wait_for_function(
        """text => document.querySelector('[role=log]').innerText.includes(text)
          || document.querySelector('textarea[aria-label=Message]').value === text""",
        arg=SHORT,
    )


def test_an_idle_page_does_not_keep_the_program_from_ending(server: Server, anna: Visitor) -> None:
    server.start()
    anna.open()
    expect(anna.status).to_contain_text("Ready")

    see_clean_end(server, signal.SIGTERM)


def test_the_very_first_request_is_answered(server: Server) -> None:
    server.launch()

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(ConnectionError):
            assert "What is on your mind?" in server.get()
            break

    assert "Traceback" not in server.output()


def test_it_ends_while_several_replies_are_written_and_wait(server: Server, anna: Visitor) -> None:
    server.flags = (*FLAGS, "--parallel", "1")
    server.start()
    anna.open().ask_long()
    anna.new_chat.click()
    expect(anna.questions).to_have_count(0)
    anna.ask(LONG)

    see_clean_end(server, signal.SIGTERM)

    states = server.stored(_states)
    assert states == [MessageState.INTERRUPTED] * 2


async def _states(store: HistoryStore) -> list[MessageState]:
    """Of the last message of each conversation."""
    return [(await store.branch(conversation.id))[-1].state for conversation in await store.conversations()]


def test_it_ends_while_a_model_is_loading(server: Server, gemma: Path) -> None:
    (server.models / gemma.name).symlink_to(gemma)
    server.flags = (*FLAGS, "--model", gemma.name)
    server.start()
    deadline = time.monotonic() + 60
    while "Loading gemma" not in server.get():
        assert time.monotonic() < deadline

    see_clean_end(server, signal.SIGTERM)


@pytest.mark.parametrize("requests", [1, 4], ids=["before the first byte", "in mid-file"])
def test_it_ends_while_a_download_hangs(server: Server, tmp_path: Path, requests: int) -> None:
    hub = FakeHub()
    hub.files[HUB_FILE] = b"GGUF" * 1_000_000
    if requests == 1:
        hub.silent_after = 1
    else:
        hub.seconds_per_block = 30
    server.environment |= {**without_starter(tmp_path), "HF_ENDPOINT": hub.endpoint}
    try:
        server.start()
        wanted = "/resolve/" if requests == 1 else "/storage/"
        deadline = time.monotonic() + 60
        while not any(wanted in path for _, path, _ in hub.requests):
            assert time.monotonic() < deadline
            time.sleep(0.05)

        see_clean_end(server, signal.SIGTERM)
    finally:
        hub.close()


def test_nothing_contacts_the_network_when_a_model_is_there(server: Server, anna: Visitor) -> None:
    with _Listener() as listener:
        # Whatever wants to leave this machine goes to the hub's address or through a proxy.
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), listener.url)
        server.environment.update(proxies, HF_ENDPOINT=listener.url, NO_PROXY="")
        server.start()
        anna.open().ask(SHORT)
        assert anna.reply()
        see_clean_end(server, signal.SIGTERM)

    assert not listener.heard


class _Listener:
    """A socket that notes who comes."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> _Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    self.heard.append(connection.recv(1000))


def run(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start the program where it cannot come up."""
    command = [sys.executable, "-m", "localchat_ui", "--open-browser", "false", *arguments]
    env = clean_environment(**environment)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


def see_refusal(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    """One line that says what is wrong."""
    assert ended.returncode == 1
    assert ended.stdout == ""
    [line] = ended.stderr.splitlines()
    assert line.startswith("localchat_ui: ")
    for word in words:
        assert word in line


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("--port", port, "--data-dir", str(tmp_path), folder=tmp_path)

    see_refusal(ended, f"127.0.0.1:{port}", "in use", "PORT")


def test_a_bad_setting_is_one_line(tmp_path: Path) -> None:
    see_refusal(run("--temperature", "9", folder=tmp_path), "TEMPERATURE", "9", "2")
    see_refusal(run("--temprature", "1", folder=tmp_path), "--temprature", "--temperature")


def test_a_database_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Dear diary, this is not a database." * 100)

    see_refusal(run("--database-url", f"sqlite:///{tmp_path}/notes.txt", folder=tmp_path), "notes.txt")
    see_refusal(run("--data-dir", f"{tmp_path}/notes.txt/data", folder=tmp_path), "notes.txt")


def test_help_names_every_setting(tmp_path: Path) -> None:
    ended = run("--help", folder=tmp_path)

    assert ended.returncode == 0
    assert ended.stderr == ""
    for setting in ("--port", "--models-dir", "--n-ctx", "--system-prompt", "--max-tokens"):
        assert setting in ended.stdout
    assert not list(tmp_path.iterdir())


def test_a_damaged_database_is_one_line_that_says_what_to_do_and_can_be_recovered(tmp_path: Path) -> None:
    server = Server(tmp_path)
    conversation_id = server.stored(_talk)
    file = tmp_path / "data" / "localchat.sqlite3"
    data = ("--data-dir", str(tmp_path / "data"))
    assert "is whole" in run_command("database", "check", *data, folder=tmp_path).stdout
    assert "Copied to" in run_command("database", "backup", *data, folder=tmp_path).stdout
    with closing(sqlite3.connect(file)) as connection:
        [page] = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_messages_1'"
        ).fetchone()
    with file.open("r+b") as opened:
        opened.seek((page - 1) * 4096)
        opened.write(b"\xff" * 4096)

    backup = next((tmp_path / "data" / "backups").iterdir())
    see_refusal(run(*data, folder=tmp_path), "is damaged", "localchat_ui database recover", str(backup))
    see_refusal(run_command("database", "check", *data, folder=tmp_path), "is damaged")
    recovered = run_command("database", "recover", *data, folder=tmp_path)
    assert "conversations: 1, messages: 2" in recovered.stdout
    file.unlink()
    (tmp_path / "data" / "localchat-recovered.sqlite3").rename(file)
    assert [message.text for message in server.messages(conversation_id)] == ["Hi", "Hello!"]


def test_a_start_that_fails_late_ends_with_one_line(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.stored(_talk)
    with closing(sqlite3.connect(tmp_path / "data" / "localchat.sqlite3")) as connection:
        connection.execute("DROP TABLE preferences")

    ended = run("--port", str(server.port), "--data-dir", str(tmp_path / "data"), folder=tmp_path)

    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("localchat_ui: The conversation history in")


def test_a_full_disk_at_the_start_is_said(small_disk: Path) -> None:
    fill(small_disk)
    see_refusal(run("--data-dir", str(small_disk), folder=small_disk), "the disk is full")


def test_a_database_whose_disk_became_full_says_so_at_the_start(small_disk: Path) -> None:
    Server(small_disk).stored(_talk)
    fill(small_disk)
    see_refusal(run("--data-dir", str(small_disk / "data"), folder=small_disk), "the disk is full")


async def _talk(store: HistoryStore) -> str:
    conversation, _ = await start_conversation(store, "Hi", "Hello!")
    return conversation.id


def run_command(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "localchat_ui", *arguments]
    return subprocess.run(
        command, cwd=folder, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )


TALE = "Once upon a time there was a word that nobody could lose. " * 400


def test_a_disk_that_is_full_for_a_while_loses_nothing_and_the_page_says_so(
    small_disk: Path, browser: Browser, tmp_path: Path
) -> None:
    server = Server(tmp_path, "--data-dir", str(small_disk), program="tests.browser.parrot")
    server.database_url = f"sqlite+aiosqlite:///{small_disk / 'localchat.sqlite3'}"
    with server:
        anna = Visitor(browser.new_context().new_page(), server)
        anna.open().ask(TALE)
        fill(small_disk)
        expect(anna.replies.last).to_contain_text("Not saved yet: the disk is full", timeout=20_000)
        expect(anna.log).to_have_attribute("aria-busy", "false", timeout=20_000)
        expect(anna.replies.last).to_contain_text("Not saved yet: the disk is full")
        (small_disk / "filling").unlink()
        expect(anna.replies.last).not_to_contain_text("Not saved yet", timeout=20_000)
        [_, reply] = server.messages(anna.conversation_id)
        assert (reply.text.strip(), reply.state) == (TALE.strip(), MessageState.COMPLETE)


def test_a_program_that_locks_the_database_stops_no_stream_and_the_end_waits_for_it(
    server: Server, browser: Browser, tmp_path: Path
) -> None:
    server.program, server.flags = "tests.browser.parrot", ()
    server.start()
    anna = Visitor(browser.new_context().new_page(), server)
    anna.open().ask(TALE)
    expect(anna.replies.last).to_contain_text("Once upon", timeout=20_000)
    conversation_id = anna.conversation_id
    with locked(tmp_path / "data" / "localchat.sqlite3"):
        expect(anna.log).to_have_attribute("aria-busy", "false", timeout=20_000)
        expect(anna.replies.last).to_contain_text("Not saved yet")
        assert server.process
        server.process.send_signal(signal.SIGTERM)
        time.sleep(4)
        assert server.process.poll() is None, "it waits for the lock"
    server.process.wait(15)
    [_, reply] = server.messages(conversation_id)
    assert (reply.text.strip(), reply.state) == (TALE.strip(), MessageState.COMPLETE)
