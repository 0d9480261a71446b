"""The messages of a conversation, as one element of the page.

NiceGUI's page draws all its elements again in the browser whenever one of them changes, which at twenty pieces of a
reply a second took more time than the reply. So all messages are one element, to which the server says what changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui

# A name that `message_log.js` knows, the id of a message, and what belongs to it.
Operation = tuple[Any, ...]


class MessageLog(ui.element, component="message_log.js"):
    """Emits `act` with the name of an action, the id of its message and sometimes a `target`; and `save` with the id
    and the new text of a message that was edited."""

    def __init__(self) -> None:
        super().__init__()
        self._props["first"] = []
        self._is_first = True

    def change(self, operations: Sequence[Operation]) -> None:
        """Draw what changed. What comes first is part of the page itself; the element is never sent as a whole again,
        because the browser's copy has gone on from there."""
        if self._is_first:
            self._is_first = False
            with self._props.suspend_updates():
                self._props["first"] = list(operations)
        elif operations:
            self.run_method("change", operations)

    def edit(self, message_id: str, text: str, label: str) -> None:
        """Put a box with this text in place of a message's words; `label` is on the button that saves it."""
        self.run_method("edit", message_id, text, label)
