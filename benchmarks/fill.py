"""Write conversations into a database, in the environment of the program that it belongs to.

`python fill.py DATABASE_URL NAME=MESSAGES …`: each is called by its name, which is its id too.
"""

from __future__ import annotations

import asyncio
import sys

from localchat_ui.conversation import Conversation, Message, Role
from localchat_ui.history.database import Database
from localchat_ui.history.store import HistoryStore


async def fill(url: str, sizes: dict[str, int]) -> None:
    store = HistoryStore(await Database(url).open())
    for name, n_messages in sizes.items():
        messages: list[Message] = []
        for number in range(n_messages):
            role, parent_id = (Role.USER, Role.ASSISTANT)[number % 2], messages[-1].id if messages else None
            messages.append(Message(name, role, f"Some *words*, number {number}.", parent_id=parent_id))
        await store.add_tree(Conversation(title=name, head_id=messages[-1].id, id=name), messages)
    await store.database.close()


if __name__ == "__main__":
    asyncio.run(fill(sys.argv[1], {name: int(size) for name, size in (pair.split("=") for pair in sys.argv[2:])}))
