"""Characters per second a person sees in Chromium, divided by those of a bare llama_cpp.Llama loop.

Browser, page and engine share the machine's cores, and the two alternate in one run, so that a machine whose speed
drifts does not decide. The loop and the page get the same questions, the same limit, the same sampling.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from llama_cpp import Llama
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.engine import in_turn
from localchat_ui.conversation import Conversation, Message, Role
from localchat_ui.history.store import HistoryStore
from tests.browser.server import Server, chromium, starter

SYSTEM = "You are a helpful assistant."
QUESTION = "Write a long and detailed story about a lighthouse keeper. Do not stop early."
READ_TEXT = "[...document.querySelectorAll('article[aria-label=Assistant] .words')].at(-1)?.innerText.length ?? 0"
N_CTX = 1024
# As many of the last short messages of a long conversation as the program keeps in this context.
N_READ = 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument(
        "--flag", action="append", default=[], help="passed to the program, such as --flag=--n-threads=1"
    )
    arguments = parser.parse_args()
    # Fixed text at temperature 0, so that both sides write the same.
    flags = ["--temperature", "0", "--max-tokens", str(arguments.tokens), "--system-prompt", SYSTEM]
    flags += ["--n-ctx", str(N_CTX), *arguments.flag]
    with TemporaryDirectory() as folder, sync_playwright() as playwright, Server(Path(folder), *flags) as server:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        for name, n_messages in (("short", 2), ("long", 1000)):
            server.stored(partial(_fill, name, n_messages))
        speed("a new conversation", server.url, browser, arguments, history=[])
        history = [(role.value, text) for role, text in islice(_messages(), 1000 - N_READ, 1000)]
        speed("in one of 1,000 messages", f"{server.url}/c/long", browser, arguments, history=history)
        opening(browser, server)
        browser.close()


def speed(
    name: str, url: str, browser: Browser, options: argparse.Namespace, *, history: list[tuple[str, str]]
) -> None:
    """Characters per second in the page against the bare loop, which gets the messages that the program still reads."""
    said = [("system", SYSTEM), *history]
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    received = [0]
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: _count(received, frame)))
    ratios, bytes_per_character = [], []
    for number in range(options.rounds + 1):
        bare = bare_loop(options.tokens, said)
        seen, n_characters = _page_speed(page, url, received)
        if number:  # the first round warms both sides up
            ratios.append(seen / bare)
            bytes_per_character.append(received[0] / n_characters)
            print(f"round {number}: page {seen:6.0f}  bare loop {bare:6.0f} characters/s  ratio {seen / bare:.2f}")
    page.context.close()
    print(f"{name}: median ratio {statistics.median(ratios):.2f}  (min {min(ratios):.2f}, max {max(ratios):.2f})")
    print(f"bytes over the socket for each character of a reply, median {statistics.median(bytes_per_character):.1f}\n")


def opening(browser: Browser, server: Server, rounds: int = 7) -> None:
    """Time until the messages of a conversation of 1,000 stand on the page, against one of two."""

    def seconds(name: str) -> float:
        page = browser.new_context().new_page()
        started = time.perf_counter()
        page.goto(f"{server.url}/c/{name}", wait_until="commit")
        page.wait_for_selector("article:last-of-type")
        taken = time.perf_counter() - started
        page.context.close()
        return taken

    long, short, ratio = in_turn(rounds, lambda: seconds("long"), lambda: seconds("short"))
    print(f"opening 1,000 messages: {1000 * long:.0f} ms, two messages: {1000 * short:.0f} ms, ratio {ratio:.2f}")


async def _fill(name: str, n_messages: int, store: HistoryStore) -> None:
    messages: list[Message] = []
    for role, text in islice(_messages(), n_messages):
        messages.append(Message(name, role, text, parent_id=messages[-1].id if messages else None))
    await store.add_tree(Conversation(title=name, head_id=messages[-1].id, id=name), messages)


def _messages() -> Iterator[tuple[Role, str]]:
    for number in count():
        yield (Role.USER, Role.ASSISTANT)[number % 2], f"Some *words*, number {number}."


def _count(received: list[int], frame: str | bytes) -> None:
    received[0] += len(frame.encode() if isinstance(frame, str) else frame)


def _page_speed(page: Page, url: str, received: list[int]) -> tuple[float, int]:
    """Characters/s from the first visible character to the last, as the browser draws them; and how many there were."""
    page.goto(url)
    box = page.get_by_role("textbox", name="Message")
    box.fill(QUESTION)
    before = page.evaluate("document.querySelectorAll('article').length")
    received[0] = 0
    box.press("Enter")
    page.wait_for_function(f"document.querySelectorAll('article').length === {before + 2}")
    page.evaluate(
        f"""() => new Promise((done) => {{
          window.seen = [];
          const look = () => {{
            const n = {READ_TEXT};
            if (n && (!seen.length || n !== seen.at(-1)[1])) seen.push([performance.now(), n]);
            const busy = document.querySelector('[role=log]').ariaBusy === 'true';
            if (seen.length && !busy) done(); else requestAnimationFrame(look);
          }};
          requestAnimationFrame(look);
        }})"""
    )
    seen = page.evaluate("window.seen")
    (start, first), (end, last) = seen[0], seen[-1]
    return (last - first) / (end - start) * 1000, last


def bare_loop(n_tokens: int, said: list[tuple[str, str]]) -> float:
    """The same reply by llama_cpp.Llama in a process of its own, so that it leaves nothing behind.

    `said` are the roles and texts before the question.
    """
    code = f"from benchmarks.page import time_bare_loop; print(time_bare_loop({n_tokens}, {said!r}))"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def time_bare_loop(n_tokens: int, said: list[tuple[str, str]]) -> float:
    llama = Llama(str(starter()), n_ctx=2 * N_CTX, n_threads=2, n_batch=512, verbose=False)
    messages = [{"role": role, "content": text} for role, text in [*said, ("user", QUESTION)]]
    characters, start = 0, 0.0
    for chunk in llama.create_chat_completion(messages, stream=True, temperature=0, max_tokens=n_tokens):
        text = chunk["choices"][0]["delta"].get("content", "")
        if text and not start:
            start, text = time.perf_counter(), ""
        characters += len(text)
    return characters / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
