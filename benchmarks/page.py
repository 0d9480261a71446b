"""The page in a real Chromium: how fast a reply is seen to grow, against the bare loop, alone in its process.

Browser, page and engine share the machine's cores. With `--open-webui PATH`, and a `llama-server` that has its page
built in, those are measured beside it, in turn: each visit is a first one, with an empty cache.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.error import HTTPError

from playwright.sync_api import Browser, sync_playwright

from benchmarks import bare_loop
from benchmarks.bench import Bench, run
from benchmarks.browser import ChatPage, Visit, seconds_to_see, traffic, visit
from benchmarks.client import SYSTEM, conversation
from benchmarks.report import Table, in_turn, spread
from benchmarks.servers import (
    LLAMA_SERVER,
    OURS,
    Server,
    clean_environment,
    llama_server,
    of_checkout,
    open_webui,
    usable_cores,
)
from tests.browser.server import chromium

QUESTION = "Write a long and detailed story about a lighthouse keeper. Do not stop early."
N_CTX = 1024
PARALLEL = 4
# As many of the last short messages of a long conversation as the program keeps in this context.
N_READ = 80


def page(bench: Bench) -> None:
    """Needs a model that chats: replies of a base model are too short to be watched."""
    if not bench.model.chats:
        print(f"\nThe page is not measured with {bench.model.path.stem}, which has no chat template.")
        return
    n_tokens = 100 if bench.quick else 400
    # The same text on all sides.
    flags = ["--temperature", "0", "--max-tokens", str(n_tokens), "--system-prompt", SYSTEM]
    with ExitStack() as stack:
        mine = stack.enter_context(bench.ours(*flags, n_ctx=N_CTX, parallel=PARALLEL))
        peers = _peers(stack, bench, n_tokens)
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        growing(bench, browser, [_ours(mine), *peers], n_tokens)
        long_conversation(bench, browser, mine, n_tokens)
        browser.close()


def growing(bench: Bench, browser: Browser, pages: Sequence[ChatPage], n_tokens: int) -> None:
    """Visible characters/s of a reply against the bare loop, the main thread's work for it, and the bytes sent.

    The bytes are counted by a relay in visits of their own, which also warm everything up.
    """
    sent = {chat.name: traffic(browser, chat, QUESTION) for chat in pages}

    def seen_and_bare(chat: ChatPage) -> tuple[Visit, float]:
        return visit(browser, chat, QUESTION), _bare(bench, n_tokens)

    visits = in_turn(bench.rounds, {chat.name: partial(seen_and_bare, chat) for chat in pages}, warm_up=False)
    print("\n| page | characters/s against the bare loop | main thread, s a reply ", end="")
    print("| opens in, ms | opening, kB | bytes a character |\n|---|---|---|---|---|---|")
    for name, measured in visits.items():
        speeds = spread([seen.speed for seen, _ in measured], [bare for _, bare in measured])
        thread = statistics.median(seen.thread for seen, _ in measured)
        opening = statistics.median(seen.opening for seen, _ in measured)
        n_bytes, each = sent[name]
        print(
            f"| {name} | {speeds} | {thread:.2f} | {1000 * opening:.0f} | {n_bytes / 1000:,.0f} | {each:.0f} |",
            flush=True,
        )


def long_conversation(bench: Bench, browser: Browser, server: Server, n_tokens: int) -> None:
    """The same in a conversation of 1,000 messages, whose end both sides read; and how soon it stands on the page."""
    _fill(bench, server, short=2, long=1000)
    chat, words = _ours(server, "/c/long"), [f"Some *words*, number {number}." for number in range(1000 - N_READ, 1000)]
    table = Table("in a conversation of 1,000 messages", "page", "bare loop")
    sides = {
        "page": lambda: visit(browser, chat, QUESTION).speed,
        "bare loop": lambda: _bare(bench, n_tokens, *words),
    }
    table.row("characters/s", in_turn(bench.rounds, sides))
    table = Table("until its messages are seen, ms", "1,000 messages", "2 messages")
    last = "article:last-of-type"
    sides = {
        "1,000 messages": lambda: 1000 * seconds_to_see(browser, f"{server.url}/c/long", last),
        "2 messages": lambda: 1000 * seconds_to_see(browser, f"{server.url}/c/short", last),
    }
    table.row("opening", in_turn(2 * bench.rounds, sides))


def _bare(bench: Bench, n_tokens: int, *history: str) -> float:
    said = conversation(*history, QUESTION)
    figures = bare_loop.measure(bench.model, said, n_tokens=n_tokens, n_threads=usable_cores())
    return figures["characters_per_second"]


def _ours(server: Server, path: str = "") -> ChatPage:
    box, replies = "textarea[aria-label=Message]", "article[aria-label=Assistant] .words"
    return ChatPage(OURS, server.url + path, box, replies)


def _peers(stack: ExitStack, bench: Bench, n_tokens: int) -> list[ChatPage]:
    """Those that are there: llama.cpp's page is only part of a server that was built with Node.js."""
    theirs = stack.enter_context(
        llama_server(bench.model, "--temp", "0", "--predict", str(n_tokens), n_ctx=N_CTX, parallel=PARALLEL)
    )
    reply = '[aria-label="Assistant message with actions"] .markdown-content'
    peers = [ChatPage(LLAMA_SERVER, theirs.url, "textarea[placeholder]", reply)] if _has_page(theirs) else []
    if bench.open_webui:
        url = stack.enter_context(open_webui(bench.open_webui, bench.model, theirs.url)).url
        peers.append(ChatPage("Open WebUI", url, "#chat-input", ".chat-assistant", welcome="Okay, Let's Go!"))
    return peers


def _has_page(server: Server) -> bool:
    try:
        with urllib.request.urlopen(server.url) as response:
            return b"<html" in response.read()
    except HTTPError:
        return False


def _fill(bench: Bench, server: Server, **n_messages: int) -> None:
    """Store conversations, with the program's own code."""
    url = f"sqlite+aiosqlite:///{server.folder / 'data' / 'localchat.sqlite3'}"
    script = Path(__file__).with_name("fill.py")
    # By its path it would find the modules of this folder in place of Python's.
    code = f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    command = [sys.executable, "-c", code, url, *(f"{name}={size}" for name, size in n_messages.items())]
    subprocess.run(command, check=True, cwd=server.folder, env={**clean_environment(), **of_checkout(bench.app)})


if __name__ == "__main__":
    run(__doc__, page)
