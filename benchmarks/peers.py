"""This page beside others, in one run: llama.cpp's own and Open WebUI, each with the same model on the same cores.

llama.cpp's server comes from its own build, with its page in it; Open WebUI from `pip install open-webui` in an
environment of its own, and talks to that server. Neither belongs to this project, so the command line says where they
are:

    python -m benchmarks.peers --llama-server build/bin/llama-server --open-webui venv/bin/open-webui

A round takes the bare loop and every page once, in turn. Each visit is a first one, with an empty cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from benchmarks.page import N_CTX, QUESTION, bare_loop
from benchmarks.relay import Relay
from tests.browser.server import Server, chromium, clean_environment, free_port, starter

# How long a text has to stand still to be finished: no page says so in a way that all share.
STILL_SECONDS = 2.0
# What a page does behind its first sight (a service worker's cache, lists) is over by then.
SETTLE_SECONDS = 3.0


@dataclass(frozen=True)
class Peer:
    """A page to chat in. `box` and `replies` are CSS selectors: where to write, and the words of each reply."""

    name: str
    url: str
    box: str
    replies: str
    # The name of a button that stands in the way of a first visit.
    welcome: str = ""


@dataclass(frozen=True)
class Visit:
    """Seconds until one can write, characters a second in the document, and the main thread's seconds for the reply."""

    opening: float
    speed: float
    thread: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-server", type=Path, required=True, help="llama.cpp's llama-server, its page built in")
    parser.add_argument("--open-webui", type=Path, help="the command of the same name")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=400)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        peers = [_ours(stack, folder, options.tokens), _llama(stack, folder, options)]
        if options.open_webui:
            peers.append(_open_webui(stack, folder, options.open_webui, peers[-1].url))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        compare(browser, peers, options.rounds, options.tokens)
        browser.close()


def compare(browser: Browser, peers: Sequence[Peer], rounds: int, n_tokens: int) -> None:
    """Print a table of medians, a line for each page."""
    traffic = {peer.name: _traffic(browser, peer) for peer in peers}  # warms all of them up as well
    ratios: dict[str, list[float]] = {peer.name: [] for peer in peers}
    visits: dict[str, list[Visit]] = {peer.name: [] for peer in peers}
    for number in range(rounds):
        bare = bare_loop(n_tokens, [])
        told = [f"bare loop {bare:.0f} characters/s"]
        for peer in peers:
            visit = _visit(browser, peer)
            visits[peer.name].append(visit)
            ratios[peer.name].append(visit.speed / bare)
            told.append(f"{peer.name} {visit.speed:.0f}")
        print(f"round {number + 1}: {', '.join(told)}", flush=True)
    print("\n| page | characters/s against the bare loop | main thread, s a reply", end=" ")
    print("| opens in, ms | opening, kB | bytes a character |")
    print("|---|---|---|---|---|---|")
    for peer in peers:
        found, (opening, each) = ratios[peer.name], traffic[peer.name]
        print(
            f"| {peer.name} | {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"
            f" | {_median(visits[peer.name], lambda visit: visit.thread):.2f}"
            f" | {1000 * _median(visits[peer.name], lambda visit: visit.opening):.0f}"
            f" | {opening / 1000:,.0f} | {each:.0f} |"
        )


def _median(visits: Sequence[Visit], figure: Callable[[Visit], float]) -> float:
    return statistics.median(figure(visit) for visit in visits)


def _visit(browser: Browser, peer: Peer) -> Visit:
    with _open(browser, peer, peer.url) as (page, opening):
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = _thread_seconds(session)
        seen = _ask(page, peer)
        thread = _thread_seconds(session) - before
    (start, first), (end, last) = seen[0], seen[-1]
    return Visit(opening, (last - first) / (end - start) * 1000, thread)


def _traffic(browser: Browser, peer: Peer) -> tuple[int, float]:
    """Bytes from the server for a first visit, and for each character of a reply; counted apart from what is timed."""
    with Relay(peer.url) as relay, _open(browser, peer, relay.url) as (page, _):
        opening = relay.received
        seen = _ask(page, peer)
        reply = relay.received - opening
    return opening, reply / seen[-1][1]


@contextmanager
def _open(browser: Browser, peer: Peer, url: str) -> Iterator[tuple[Page, float]]:
    """A first visit, and the seconds until its box could be written in."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(peer.box)
    opening = time.perf_counter() - begun
    page.wait_for_timeout(1000 * SETTLE_SECONDS)
    if peer.welcome and (button := page.get_by_role("button", name=peer.welcome)).count():
        button.click()
        page.wait_for_timeout(1000 * SETTLE_SECONDS)
    try:
        yield page, opening
    finally:
        context.close()


def _ask(page: Page, peer: Peer) -> list[list[float]]:
    """How the reply grew: milliseconds, and how many characters stood there then.

    The page is watched where it changes its document, which costs a page that changes it seldom little.
    """
    page.evaluate(
        """(replies) => {
          window.seen = [];
          new MutationObserver(() => {
            const n = [...document.querySelectorAll(replies)].at(-1)?.textContent.length ?? 0;
            if (n && n !== seen.at(-1)?.[1]) seen.push([performance.now(), n]);
          }).observe(document.body, { childList: true, characterData: true, subtree: true });
        }""",
        peer.replies,
    )
    page.click(peer.box)
    page.keyboard.insert_text(QUESTION)
    page.keyboard.press("Enter")
    still = f"window.seen.length > 1 && performance.now() - seen.at(-1)[0] > {1000 * STILL_SECONDS}"
    page.wait_for_function(still, polling=250, timeout=120_000)
    seen: list[list[float]] = page.evaluate("window.seen")
    return seen


def _thread_seconds(session: CDPSession) -> float:
    """Processor time of the page's main thread so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


def _ours(stack: ExitStack, folder: Path, n_tokens: int) -> Peer:
    flags = ["--temperature", "0", "--max-tokens", str(n_tokens), "--system-prompt", "", "--n-ctx", str(N_CTX)]
    server = stack.enter_context(Server(folder / "ours", *flags))
    return Peer("localchat_ui", server.url, "textarea[aria-label=Message]", "article[aria-label=Assistant] .words")


def _llama(stack: ExitStack, folder: Path, options: argparse.Namespace) -> Peer:
    # Four sequences that share one cache, as here.
    flags = ["--model", str(starter()), "--parallel", "4", "--kv-unified", "--ctx-size", str(4 * N_CTX), "--offline"]
    flags += ["--threads", "2", "--temp", "0", "--predict", str(options.tokens)]
    url = stack.enter_context(_running(folder / "llama", [str(options.llama_server.resolve()), *flags]))
    reply = '[aria-label="Assistant message with actions"] .markdown-content'
    return Peer("llama.cpp", url, "textarea[placeholder]", reply)


def _open_webui(stack: ExitStack, folder: Path, program: Path, model_url: str) -> Peer:
    """Nobody has to log in, nothing is asked of other hosts, and the model writes replies only: no titles, no tags."""
    extras = ("TITLE_GENERATION", "TAGS_GENERATION", "FOLLOW_UP_GENERATION", "AUTOCOMPLETE_GENERATION")
    unwanted = [f"ENABLE_{name}" for name in (*extras, "VERSION_UPDATE_CHECK", "OLLAMA_API")]
    settings = dict.fromkeys([*unwanted, "WEBUI_AUTH", "ANONYMIZED_TELEMETRY"], "False")
    settings |= {"OFFLINE_MODE": "True", "HF_HUB_OFFLINE": "1", "RAG_EMBEDDING_ENGINE": "openai"}
    settings |= {"OPENAI_API_BASE_URL": f"{model_url}/v1", "OPENAI_API_KEY": "none", "WEBUI_SECRET_KEY": "none"}
    settings["DATA_DIR"] = str(folder / "open-webui")
    url = stack.enter_context(_running(folder / "open-webui", [str(program.resolve()), "serve"], **settings))
    return Peer("Open WebUI", url, "#chat-input", ".chat-assistant", welcome="Okay, Let's Go!")


@contextmanager
def _running(folder: Path, command: Sequence[str], **environment: str) -> Iterator[str]:
    """Its URL, once /health answers. Its processes end with it. Raises TimeoutError with the end of its log."""
    folder.mkdir()
    port, log = free_port(), folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder, stdout=output, stderr=output, env=clean_environment(**environment), start_new_session=True,
        )  # fmt: skip
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 180
        while not _answers(f"{url}/health"):
            if time.monotonic() > deadline or process.poll() is not None:
                raise TimeoutError(f"{command[0]} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:
        return bool(response.status == 200)
    return False


if __name__ == "__main__":
    main()
