"""The language of the page: English texts are the keys of the catalogues."""

from __future__ import annotations


def _(text: str) -> str:
    """The text in the visitor's language. Values go in afterwards: `_("{n} models").format(n=3)`."""
    return text


def ngettext(one: str, many: str, n: int) -> str:
    """The text that fits the number, in the visitor's language."""
    return one if n == 1 else many
