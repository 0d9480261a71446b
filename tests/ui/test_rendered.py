from __future__ import annotations

import asyncio
import threading

import pytest

from localchat_ui.markdown import render_markdown
from localchat_ui.ui import rendered as rendered_module
from localchat_ui.ui.rendered import Rendered


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """What was rendered, and whether on the thread of the event loop."""
    calls: list[tuple[str, bool]] = []

    def render(text: str) -> str:
        calls.append((text, threading.current_thread() is threading.main_thread()))
        return render_markdown(text)

    monkeypatch.setattr(rendered_module, "render_markdown", render)
    return calls


async def test_what_was_prepared_is_rendered_once_and_beside_the_loop(calls: list[tuple[str, bool]]):
    rendered = Rendered()
    await asyncio.gather(*(rendered.prepare(["*a*", "b", "*a*"]) for _ in range(12)))
    assert rendered.html("*a*") == "<p><em>a</em></p>\n"
    assert rendered.html("b") == "<p>b</p>\n"
    assert calls == [("*a*", False), ("b", False)]


async def test_the_loop_goes_on_while_a_long_text_is_rendered():
    rendered = Rendered()
    text = "\n\n".join(f"# Heading {n}\n\n- [ ] a `b` **c** $d$" for n in range(2_000))
    work = asyncio.create_task(rendered.prepare([text]))
    n_turns = 0
    while not work.done():
        await asyncio.sleep(0)
        n_turns += 1
    assert n_turns > 20


def test_what_was_asked_for_last_is_kept(calls: list[tuple[str, bool]]):
    rendered = Rendered(max_characters=60)
    for text in ("a" * 10, "b" * 10, "a" * 10, "c" * 10, "a" * 10, "b" * 10):
        rendered.html(text)
    assert [text[0] for text, _ in calls] == ["a", "b", "c", "b"]
