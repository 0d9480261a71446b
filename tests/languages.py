"""Languages in which every text is known by its brackets, made of the texts that the page has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog
from babel.messages.pofile import read_po, write_po

from localchat_ui import i18n

TEMPLATE = i18n.CATALOGUES / "messages.pot"


def template() -> Catalog:
    return read_po(BytesIO(TEMPLATE.read_bytes()))


@contextmanager
def bracketed(folder: Path, *codes: str) -> Iterator[None]:
    """Within this block these are the languages besides English: `⟦Send⟧`. Plural forms are numbered."""
    for code in codes:
        made = Catalog(code.replace("-", "_"))
        for message in template():
            if not message.id:
                continue  # the header
            if isinstance(message.id, str):
                made.add(message.id, f"⟦{message.id}⟧", message.locations)
            else:
                forms = tuple(f"⟦{message.id[1]} {form}⟧" for form in range(made.num_plurals))
                made.add(message.id, forms, message.locations)
        with (folder / f"{code}.po").open("wb") as file:
            write_po(file, made)
    before, i18n.CATALOGUES = i18n.CATALOGUES, folder
    _forget()
    try:
        yield
    finally:
        i18n.CATALOGUES = before
        _forget()


def _forget() -> None:
    for cached in (i18n.languages, i18n.catalogue, i18n.negotiated):
        cached.cache_clear()
