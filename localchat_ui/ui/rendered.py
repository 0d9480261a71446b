"""Finished texts as HTML, rendered beside the event loop and kept for the next page that shows them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from localchat_ui.i18n import current_language, speaking
from localchat_ui.markdown import render_markdown

MAX_KEPT_CHARACTERS = 8_000_000


class Rendered:
    """The HTML of the texts that were asked for last, as far as there is room for it."""

    def __init__(self, max_characters: int = MAX_KEPT_CHARACTERS) -> None:
        self._max_characters = max_characters
        self._html: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._n_characters = 0
        self._lock = Lock()
        # One thread: pages that are opened at once want the same texts, and each of them is rendered once.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="markdown")

    async def prepare(self, texts: Iterable[str]) -> None:
        """Render what is not kept, however long that takes, without holding the event loop."""
        language = current_language()
        missing = [text for text in texts if (language, text) not in self._html]

        def render() -> None:
            with speaking(language):
                for text in missing:
                    self.html(text)

        if missing:
            await asyncio.get_running_loop().run_in_executor(self._thread, render)

    def html(self, text: str) -> str:
        """At once; rendered here and now if it was not prepared."""
        key = (current_language(), text)  # buttons of code have names
        with self._lock:
            found = self._html.get(key)
            if found is not None:
                self._html.move_to_end(key)
                return found
        html = render_markdown(text)
        with self._lock:
            if key not in self._html:
                self._html[key] = html
                self._n_characters += len(text) + len(html)
            while self._n_characters > self._max_characters and len(self._html) > 1:
                (_language, oldest), dropped = self._html.popitem(last=False)
                self._n_characters -= len(oldest) + len(dropped)
        return html


rendered = Rendered()
