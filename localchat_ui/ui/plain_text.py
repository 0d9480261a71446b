"""A reply as plain text: what one reads of it, for programs that know no Markdown."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from localchat_ui.ui.rendered import rendered

BLOCKS = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "table", "ul", "ol", "figure", "details", "summary"}
)
# Buttons, and what names a block of code.
SILENT = frozenset({"button", "figcaption", "annotation", "annotation-xml"})
INDENT = "   "


def plain_text(markdown: str) -> str:
    """The text of a reply without its marks; lists keep their numbers, tables become columns with tabs."""
    reader = _Reader()
    reader.feed(rendered.html(markdown))
    reader.close()
    return reader.text


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self._parts: list[str] = []
        self._lists: list[int | None] = []  # the number of the next item, None without numbers
        self._line_feeds = 0  # due before whatever is written next
        self._silent = 0
        self._preformatted = 0
        self._is_after_bullet = False

    @property
    def text(self) -> str:
        return re.sub(r"[ \t]+\n", "\n", "".join(self._parts)).strip("\n\t ")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SILENT:
            self._silent += 1
        elif tag in ("ul", "ol"):
            self._begin(1 if self._lists else 2)
            start = dict(attrs).get("start") or "1"
            self._lists.append(int(start) if tag == "ol" else None)
        elif tag == "li":
            self._is_after_bullet = False
            self._begin(1)
            self._write_bullet()
        elif tag in BLOCKS:
            self._preformatted += tag == "pre"
            self._begin(2)
        elif tag in ("br", "tr"):
            self._begin(1)
        elif tag == "hr":
            self._begin(2)
            self._write("---")
            self._begin(2)
        elif tag == "input":
            self._write("[x] " if "checked" in dict(attrs) else "[ ] ")

    def handle_endtag(self, tag: str) -> None:
        if tag in SILENT:
            self._silent -= 1
        elif tag in ("ul", "ol"):
            self._lists.pop()
        elif tag in ("td", "th"):
            self._write("\t")
        elif tag == "pre":
            self._preformatted -= 1
            if self._parts:
                self._parts[-1] = self._parts[-1].removesuffix("\n")
        if tag in BLOCKS:
            self._begin(1 if self._lists and tag in ("ul", "ol") else 2)

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        if not self._preformatted:
            data = re.sub(r"\s+", " ", data)
            if self._line_feeds or not self._parts or self._parts[-1].endswith((" ", "\t")):
                data = data.lstrip()
        if data:
            self._write(data)

    def _begin(self, line_feeds: int) -> None:
        """What is written next stands so far below, but beside its number if it begins an item."""
        if not self._is_after_bullet:
            self._line_feeds = max(self._line_feeds, line_feeds)

    def _write(self, text: str, *, depth: int | None = None) -> None:
        if self._parts and self._line_feeds:
            depth = len(self._lists) if depth is None else depth
            self._parts.append("\n" * self._line_feeds + INDENT * depth)
        self._line_feeds = 0
        self._is_after_bullet = False
        self._parts.append(text)

    def _write_bullet(self) -> None:
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        self._write("- " if number is None else f"{number}. ", depth=max(len(self._lists) - 1, 0))
        self._is_after_bullet = True
