"""What people read: the branch that is shown, and nothing in it that swallows the rest."""

from __future__ import annotations

from localchat_ui.conversation import DEFAULT_SYSTEM_PROMPT, ChatOptions, Conversation, Message, Role
from localchat_ui.exchange.formats import markdown
from localchat_ui.exchange.trees import Tree
from localchat_ui.history.store import HistoryStore

from .conftest import a_tree, exported


async def test_markdown_shows_the_branch(store: HistoryStore) -> None:
    conversation, messages = a_tree()
    await store.add_tree(conversation, messages)

    assert await exported(store, conversation.id, "md") == (
        "# Größe 🙂\n\n*2024-02-29 08:30 UTC*\n\n## System prompt\n\nSing.\n\n"
        "## You\n\n*2024-02-29 08:30 UTC*\n\nHow high is Mont Blanc?\n\n"
        f"## m\n\n*{messages[1].created_at:%Y-%m-%d %H:%M} UTC · 48 tokens/s*\n\n"
        "<details>\n<summary>Thinking</summary>\n\nThe Alps?\n\n</details>\n\n4806 m\n"
    )
    await store.select_version(conversation.id, messages[2].id)
    assert (await exported(store, extension="md")).endswith(" UTC*\n\nHigh\n\n*(failed: It slept.)*\n")
    await store.fork(conversation.id, messages[0].id)
    assert (await exported(store, extension="md")).count("\n---\n\n# ") == 1


def test_nothing_in_a_message_swallows_what_follows() -> None:
    conversation = Conversation(options=ChatOptions(system_prompt=DEFAULT_SYSTEM_PROMPT))
    texts = ["```python\nprint(1)", "````\n```\n", "~~~\ncode\n~~~\ndone", "```a\n```\n```b\n```"]
    messages: list[Message] = []
    for text in texts:
        above = messages[-1].id if messages else None
        messages.append(Message("c", Role.ASSISTANT, text, above, thinking="a </details> b"))
    conversation.head_id = messages[-1].id

    written = markdown.write([Tree(conversation, messages)])

    assert written.startswith("# Conversation\n")
    assert "print(1)\n```\n\n## Assistant" in written
    assert "````\n```\n````\n\n## Assistant" in written
    assert "~~~\ndone\n\n## Assistant" in written
    assert written.endswith("```b\n```\n")
    assert written.count("</details>") == len(texts)
    assert "System prompt" not in written
