"""Reads server-sent events as the standard says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass
class SentEvent:
    name: str
    data: Any
    id: str


def events_in(lines: Iterable[str]) -> Iterator[SentEvent]:
    """Each event as its empty line comes; comments are skipped."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                data = fields["data"]
                yield SentEvent(
                    fields.get("event", "message"), data if data == "[DONE]" else json.loads(data), fields.get("id", "")
                )
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


def events_of(text: str) -> list[SentEvent]:
    return list(events_in(text.split("\n")))
