"""A reply that grows: the browser is told what changed, and draws what the whole would have given."""

from __future__ import annotations

import pytest

from localchat_ui.markdown import render_markdown
from localchat_ui.ui.components.message import GrowingMarkdown
from tests.markdown.test_stream import REPLY

from .conftest import Visit
from .visitor import LONG

LATE = "See [this] and that[^1].\n\n- one\n- two\n\n[^1]: A *note*.\n\n[this]: https://example.org\n\nThe end."
# Lets the page draw a message of its own, and takes it away again.
GROW = """([id, steps]) => {
  const log = document.querySelector('[role=log]');
  const change = (...operations) => runMethod(Number(log.parentElement.id.slice(1)), 'change', [operations]);
  const drawn = { role: 'assistant', text: '', files: [], words: ['', ''], thinking: null, summary: '', footer: '' };
  change(['put', id, 0, drawn]);
  const body = log.querySelector('article .words');
  const seen = steps.map((step) => { change(['words', id, ...step]); return body.innerHTML; });
  change(['drop', id]);
  return seen;
}"""
UNFOLD = """([id, steps]) => {
  const log = document.querySelector('[role=log]');
  const change = (...operations) => runMethod(Number(log.parentElement.id.slice(1)), 'change', [operations]);
  const drawn = { role: 'assistant', text: '', files: [], words: ['', ''], thinking: null, summary: '', footer: '' };
  change(['put', id, 0, drawn]);
  const seen = steps.map((step, index) => {
    change(['words', id, ...step]);
    if (!index) log.querySelector('article .words details').open = true;
    return String(log.querySelector('article .words details').open);
  });
  change(['drop', id]);
  return seen;
}"""
AS_DRAWN = """(texts) => texts.map((html) => {
  const template = document.createElement('template');
  template.innerHTML = html;
  return template.innerHTML;
})"""
SELECT = """() => {
  const paragraph = document.querySelector('article.assistant:last-of-type .words p');
  getSelection().setBaseAndExtent(paragraph.firstChild, 3, paragraph.firstChild, 30);
  return getSelection().toString();
}"""


@pytest.mark.parametrize("size", [1, 7])
def test_the_browser_draws_a_growing_text_as_it_would_draw_the_whole(visit: Visit, size: int) -> None:
    page = visit().open().page
    for text in (REPLY, LATE, "🦙 " * 40 + "end"):
        body, steps, wanted = GrowingMarkdown(), [], []
        for length in range(size, len(text) + size, size):
            steps.append(body.grow(text[:length]) or ("", len(body.parts[1].encode("utf-16-le")) // 2, ""))
            wanted.append(render_markdown(text[:length]))
        if last := body.finish(text):
            steps.append(last)
            wanted.append(render_markdown(text))
        seen, drawn = page.evaluate(GROW, ["m", steps]), page.evaluate(AS_DRAWN, wanted)
        assert seen[-1] == drawn[-1]
        # What is defined last can only be right at the end.
        assert text is LATE or seen == drawn


def test_what_somebody_unfolds_stays_open_while_it_grows(visit: Visit) -> None:
    page = visit().open().page
    text = "<details>\n<summary>More</summary>\n\nOne.\n\n- two\n- three\n\n</details>\n\nAfter it.\n\nThe end."
    body = GrowingMarkdown()
    steps = [body.grow(text[:length]) for length in range(30, len(text) + 1)]
    assert page.evaluate(UNFOLD, ["m", steps]) == ["true"] * len(steps)


def test_a_reply_looks_the_same_after_a_reload(visit: Visit) -> None:
    anna = visit().open()
    anna.ask("Write a numbered list of five animals, each with a sentence in **bold**.")
    anna.reply()
    words = "document.querySelector('article.assistant:last-of-type .words').innerHTML"
    before = anna.page.evaluate(words)
    anna.open(f"/c/{anna.conversation_id}")
    assert anna.page.evaluate(words) == before


def test_what_somebody_selects_stays_selected_while_the_reply_grows(visit: Visit) -> None:
    anna = visit().open()
    anna.ask(LONG)
    anna.see_growing(at_least=60)
    selected = anna.page.evaluate(SELECT)
    assert len(selected) == 27
    anna.see_growing(at_least=400)
    assert anna.page.evaluate("getSelection().toString()") == selected
    anna.reply()
    assert anna.page.evaluate("getSelection().toString()") == selected
