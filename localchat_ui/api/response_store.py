"""Responses that were kept, to be read again and to go on from: the newest of each owner, in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from localchat_ui.api.responses_schemas import InputItem, ResponseObject

MOST_RESPONSES = 1000
MOST_BYTES = 64_000_000


@dataclass(frozen=True)
class StoredResponse:
    """`items` is the whole conversation up to and with its output."""

    response: ResponseObject
    items: Sequence[InputItem]

    @property
    def n_bytes(self) -> int:
        """About what it takes, as if nothing were shared with those that it goes on from."""
        return len(self.response.model_dump_json()) + sum(len(item.model_dump_json()) for item in self.items)


class ResponseStore:
    """What an owner has beyond the bounds is forgotten, the oldest first."""

    def __init__(self, most_responses: int = MOST_RESPONSES, most_bytes: int = MOST_BYTES) -> None:
        self._most_responses = most_responses
        self._most_bytes = most_bytes
        self._kept: dict[str | None, OrderedDict[str, tuple[StoredResponse, int]]] = {}

    def keep(self, owner: str | None, stored: StoredResponse) -> None:
        kept = self._kept.setdefault(owner, OrderedDict())
        kept[stored.response.id] = stored, stored.n_bytes
        while len(kept) > self._most_responses or sum(size for _, size in kept.values()) > self._most_bytes:
            kept.popitem(last=False)

    def get(self, owner: str | None, response_id: str) -> StoredResponse | None:
        found = self._kept.get(owner, OrderedDict()).get(response_id)
        return found[0] if found else None

    def forget(self, owner: str | None, response_id: str) -> bool:
        """Whether it was there."""
        return self._kept.get(owner, OrderedDict()).pop(response_id, None) is not None
