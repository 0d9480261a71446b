"""Numbers in words for people."""

from __future__ import annotations

from localchat_ui.conversation import Attachment


def counted(count: int, noun: str) -> str:
    """`1 token`, `1,234 tokens`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def note_of(file: Attachment) -> str:
    """How large a file is, and what it costs: `12 kB · 345 tokens`."""
    size = f"{max(1, round(file.size / 1000)):,} kB"
    return size if file.n_tokens is None else f"{size} · {counted(file.n_tokens, 'token')}"
