"""English texts that the page can say in another language. Every room makes them; `i18n` translates them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def N_(text: str) -> str:  # noqa: N802 - what gettext calls it everywhere
    """Mark a constant for the catalogues; `_` translates it where it is shown."""
    return text


class Text(str):
    """An English text with values in it that the page can say in another language: `Text("{name} is gone", name=name)`.

    To everybody else it is the English text. Whatever is below the page says what people may read as one of these.
    """

    template: str
    values: Mapping[str, Any]

    def __new__(cls, template: str, **values: Any) -> Text:
        text = super().__new__(cls, template.format(**values) if values else template)
        text.template, text.values = template, values
        return text

    def __str__(self) -> str:
        return self
