"""Takes the pictures of the README anew, of the page as it is: `.venv/bin/python -m scripts.pictures`."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import expect

from localchat_ui.conversation import Conversation, GenerationStats, Message, Role, utc_now
from localchat_ui.history.store import HistoryStore
from tests.browser.server import Server
from tests.browser.visitor import Visitor, open_browser

DOCS = Path(__file__).resolve().parent.parent / "docs"
MODEL = "SmolLM2-135M-Instruct.Q4_1"
QUESTION = "Explain binary search: code, a table, the formula."
REPLY = """Look at the **middle** of a sorted list, throw away the half that cannot hold what you look for, and repeat.
Each step halves what is left, so `n` items take about $\\log_2 n$ steps.

```python
def find(items: list[int], wanted: int) -> int | None:
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if items[middle] == wanted:
            return middle
        if items[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return None
```

| items | steps at most |
|------:|--------------:|
| 1,000 | 10 |
| 1,000,000 | 20 |

$$T(n) = T\\left(\\frac{n}{2}\\right) + O(1) = O(\\log n)$$
"""
OTHERS = {
    "Why is the sky blue?": 0,
    "Letter to the landlord": 3,
    "Packing list for Lisbon": 4,
    "Rename files with Python": 5,
}


async def keep(store: HistoryStore) -> None:
    """The conversation that is shown, and others beside it."""
    for title, days in OTHERS.items():
        await _keep(store, Conversation(title, pinned=not days), "Hello", "Hello!", days)
    await _keep(store, Conversation("Binary search, explained", id="shown"), QUESTION, REPLY, 0)


async def _keep(store: HistoryStore, conversation: Conversation, asked: str, answered: str, days: int) -> None:
    conversation.updated_at = conversation.created_at = utc_now() - timedelta(days=days)
    stats = GenerationStats(prompt_tokens=58, reply_tokens=252, context_tokens=310, tokens_per_second=142)
    question = Message(conversation.id, Role.USER, asked)
    answer = Message(conversation.id, Role.ASSISTANT, answered, parent_id=question.id, stats=stats, model=MODEL)
    conversation.head_id = answer.id
    await store.add_tree(conversation, [question, answer])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        server = Server(Path(folder))
        server.stored(keep)
        with server:
            desk = {"viewport": {"width": 1280, "height": 920}, "color_scheme": "light"}
            phone = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "color_scheme": "dark"}
            for name, options in (("chat", desk), ("phone", phone | {"is_mobile": True, "has_touch": True})):
                page = browser.new_page(**options)
                visitor = Visitor(page, server).open("/c/shown")
                expect(visitor.status).to_contain_text("tokens")
                page.wait_for_timeout(1000)
                page.screenshot(path=DOCS / f"{name}.png")


if __name__ == "__main__":
    main()
