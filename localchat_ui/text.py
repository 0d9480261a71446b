"""English texts that people read, and that the page can say in another language; `i18n` translates them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def N_(text: str) -> str:  # noqa: N802 - what gettext calls it everywhere
    """Mark a constant for the catalogues; `_` translates it where it is shown."""
    return text


class Text(str):
    """An English text with values in it that the page can say in another language: `Text("{name} is gone", name=name)`.

    To everybody else it is the English text. Whatever is below the page says what people may read as one of these.
    Numbers are written as people do; those that are names, such as a status of HTTP, are given as text.
    """

    template: str
    values: Mapping[str, Any]
    # The template is for one of something then, and this for `n` of them.
    many: str

    def __new__(cls, template: str, /, many: str = "", **values: Any) -> Text:
        """Without values braces are nothing special. With `many` the number is the value `n`."""
        chosen = many if many and values["n"] != 1 else template
        shown = {name: f"{value:,}" if type(value) is int else value for name, value in values.items()}
        text = super().__new__(cls, chosen.format(**shown) if shown else chosen)
        text.template, text.values, text.many = template, values, many
        return text

    @classmethod
    def joined(cls, separator: str, parts: Iterable[str | float]) -> Text:
        """Texts or numbers one after the other, without the empty ones."""
        values: dict[str, Any] = {f"part{place}": part for place, part in enumerate(filter(None, parts))}
        return cls(separator.join(f"{{{name}}}" for name in values), **values)

    def __str__(self) -> str:
        return self


def counted(one: str, many: str, n: int, **values: Any) -> Text:
    """The text that fits the number, which is the value `n` of both."""
    return Text(one, many, n=n, **values)


class PlainError(Exception):
    """What may go wrong while the program is used. Its text is for people; a command prints it and ends."""
