"""Numbers in words for people."""

from __future__ import annotations

from localchat_ui.conversation import Attachment
from localchat_ui.i18n import _, ngettext, number, translated
from localchat_ui.library.model_file import readable_size


def tokens(count: int) -> str:
    """`1 token`, `1,234 tokens`."""
    return ngettext("{n} token", "{n} tokens", count).format(n=number(count))


def speed(tokens_per_second: float, digits: int = 0) -> str:
    """`12 tokens/s`."""
    return _("{n} tokens/s").format(n=number(tokens_per_second, digits))


def data_size(n_bytes: float) -> str:
    """`98 MB`, `4.7 GB`."""
    return translated(readable_size(n_bytes))


def messages(count: int) -> str:
    """`1 message`, `1,234 messages`."""
    return ngettext("{n} message", "{n} messages", count).format(n=number(count))


def used_tokens(used: int, limit: int, *, is_estimate: bool = False) -> str:
    """`12 of 4,096 tokens`; without a limit `12 tokens`, and `about 12 tokens` where nobody counted."""
    text = tokens(used)
    if limit:
        text = ngettext("{used} of {n} token", "{used} of {n} tokens", limit)
        text = text.format(used=number(used), n=number(limit))
    return _("about {tokens}").format(tokens=text) if is_estimate else text


def note_of(file: Attachment) -> str:
    """How large a file is, and what it costs: `12 kB · 345 tokens`."""
    size = _("{n} kB").format(n=number(max(1, round(file.size / 1000))))
    return size if file.n_tokens is None else f"{size} · {tokens(file.n_tokens)}"
