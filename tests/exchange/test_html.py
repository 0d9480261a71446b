"""A conversation as a document: all that was said is in it, and nothing in it runs or loads."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from localchat_ui.conversation import (
    Attachment,
    ChatOptions,
    Conversation,
    GenerationStats,
    Message,
    MessageState,
    Role,
)
from localchat_ui.exchange.formats import html
from localchat_ui.exchange.trees import Tree
from tests.markdown.test_stream import ATTACKS

HOSTILE = "</pre></title></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'"


class Elements(HTMLParser):
    """The tags and the text of a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def document(*messages: Message, title: str = "Rainbows", system_prompt: str = "") -> str:
    conversation = Conversation(title, ChatOptions(system_prompt=system_prompt))
    for message in messages:
        message.parent_id, conversation.head_id = conversation.head_id, message.id
    return html.write([Tree(conversation, list(messages))])


def test_all_that_was_said_is_in_it() -> None:
    file = Attachment(name="rain.csv", size=12_000, text="a;b")
    stats = GenerationStats(tokens_per_second=42)
    written = document(
        Message("c", Role.USER, "Why?\nTell *me*.", attachments=(file,)),
        Message("c", Role.ASSISTANT, "**Because**", model="tiny", thinking="Let me _see_.", stats=stats),
        Message("c", Role.SYSTEM, "In rhyme."),
        Message("c", Role.ASSISTANT, "```python\nx = 1\n```\n$x^2$", state=MessageState.STOPPED),
        system_prompt="Be kind.",
    )
    text = Elements(written).text
    for words in ("Rainbows", "Tell *me*.", "rain.csv", "12 kB", "a;b", "Because", "Be kind.", "tiny", "In rhyme."):
        assert words in text
    assert "42 tokens/s" in text
    assert "stopped" in text
    for piece in ("<strong>Because</strong>", "<em>see</em>", "<math", '<span class="n">x</span>', 'lang="en"'):
        assert piece in written
    assert "<button" not in written


@pytest.mark.parametrize("attack", [HOSTILE, *ATTACKS])
def test_nothing_in_it_runs_or_loads(attack: str) -> None:
    file = Attachment(name=attack[:200] or "x", size=1, text=attack)
    question = Message("c", Role.USER, attack, attachments=(file,))
    answer = Message(
        "c", Role.ASSISTANT, attack, model=attack, thinking=attack, error=attack, state=MessageState.FAILED
    )
    written = document(question, answer, title=attack, system_prompt=attack)
    tags = Elements(written).tags
    assert "default-src 'none'" in str(tags[3][1]["content"]), "the policy stands before all that it is for"
    for tag, attributes in tags:
        assert tag not in {
            "script",
            "img",
            "iframe",
            "object",
            "embed",
            "link",
            "form",
            "base",
            "svg",
            "audio",
            "video",
        }
        assert not any(name.startswith("on") or name in {"src", "srcset", "action", "ping"} for name in attributes)
        assert urlsplit(attributes.get("href") or "").scheme in {"", "http", "https", "mailto"}
    assert [tag for tag, _ in tags].count("style") == 1
