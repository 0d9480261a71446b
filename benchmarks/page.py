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
from pathlib import Path
from tempfile import TemporaryDirectory

from llama_cpp import Llama
from playwright.sync_api import Page, sync_playwright

from tests.browser.server import Server, chromium, starter

SYSTEM = "You are a helpful assistant."
QUESTION = "Write a long and detailed story about a lighthouse keeper. Do not stop early."
READ_TEXT = "document.querySelector('article[aria-label=Assistant]:last-of-type .words')?.innerText.length ?? 0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument(
        "--flag", action="append", default=[], help="passed to the program, such as --flag=--n-threads=1"
    )
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        # Fixed text at temperature 0, so that both sides write the same.
        flags = [
            "--temperature",
            "0",
            "--max-tokens",
            str(arguments.tokens),
            "--system-prompt",
            SYSTEM,
            *arguments.flag,
        ]
        with Server(Path(folder), *flags) as server:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            ratios = []
            for number in range(arguments.rounds + 1):
                bare = _bare_loop(arguments.tokens)
                seen = _page_speed(page, server.url)
                if number:  # the first round warms both sides up
                    ratios.append(seen / bare)
                    print(
                        f"round {number}: page {seen:6.0f}  bare loop {bare:6.0f} characters/s  ratio {seen / bare:.2f}"
                    )
            browser.close()
    print(f"median ratio {statistics.median(ratios):.2f}  (min {min(ratios):.2f}, max {max(ratios):.2f})")


def _page_speed(page: Page, url: str) -> float:
    """Characters/s from the first visible character to the last, as the browser draws them."""
    page.goto(url)
    box = page.get_by_role("textbox", name="Message")
    box.fill(QUESTION)
    box.press("Enter")
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
    return (last - first) / (end - start) * 1000


def _bare_loop(n_tokens: int) -> float:
    """The same reply by llama_cpp.Llama in a process of its own, so that it leaves nothing behind."""
    code = f"from benchmarks.page import time_bare_loop; print(time_bare_loop({n_tokens}))"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def time_bare_loop(n_tokens: int) -> float:
    llama = Llama(str(starter()), n_ctx=4096, n_threads=2, n_batch=512, verbose=False)
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    characters, start = 0, 0.0
    for chunk in llama.create_chat_completion(messages, stream=True, temperature=0, max_tokens=n_tokens):
        text = chunk["choices"][0]["delta"].get("content", "")
        if text and not start:
            start, text = time.perf_counter(), ""
        characters += len(text)
    return characters / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
