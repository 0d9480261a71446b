"""Bytes of tokens in, text for people out: whole characters, and nothing of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextStream:
    """Decodes the growing reply of one request. `stopped` is true once a stop string was written."""

    def __init__(self, stop: Sequence[str] = (), *, strip_start: bool = True) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = [text for text in stop if text]
        self._held = ""
        self._strip_start = strip_start
        self.stopped = False

    def feed(self, piece: bytes) -> str:
        """What can be shown now that this piece was written; holds back what may become a stop string."""
        return self._release(self._decoder.decode(piece), final=False)

    def finish(self) -> str:
        """What was still held back when the reply ended for another reason."""
        return self._release(self._decoder.decode(b"", final=True), final=True)

    def _release(self, text: str, *, final: bool) -> str:
        if self.stopped:
            return ""
        text = self._held + text
        if self._strip_start:
            text = text.lstrip()
            self._strip_start = not text
        starts = [start for start in (text.find(stop) for stop in self._stop) if start >= 0]
        if starts:
            self.stopped, self._held = True, ""
            return text[: min(starts)]
        held = 0 if final else max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
