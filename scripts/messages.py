"""Brings the catalogues up to date with the texts of the page. Give it the code of a language to begin one: de."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import IO

from babel.messages import Catalog
from babel.messages.frontend import CommandLineInterface
from babel.messages.pofile import read_po, write_po

PACKAGE = "localchat_ui"
LOCALE = Path(PACKAGE) / "locale"
TEMPLATE = LOCALE / "messages.pot"
# No dates and line numbers: a file changes when a text does.
EXTRACT = ["--mapping", "pyproject.toml", "--keywords", "N_:1 Text:1 counted:1,2", "--add-comments", "NOTE:"]
EXTRACT += ["--add-location", "file", "--sort-by-file", "--omit-header", "--width", "120"]
HEADER = """msgid ""
msgstr ""
"Language: {code}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: {plurals}\\n"

"""


def main() -> None:
    extract(TEMPLATE)
    for code in {*sys.argv[1:], *(file.stem for file in LOCALE.glob("*.po"))}:
        update(code)


def extract(template: Path) -> None:
    CommandLineInterface().run(["pybabel", "-q", "extract", *EXTRACT, "--output", str(template), PACKAGE])


def update(code: str) -> None:
    """Add what is new, with nothing in its place yet, and take out what no page says any more."""
    file, locale = LOCALE / f"{code}.po", code.replace("-", "_")
    catalogue = read_po(BytesIO(file.read_bytes()), locale) if file.exists() else Catalog(locale)
    catalogue.update(read_po(BytesIO(TEMPLATE.read_bytes())), no_fuzzy_matching=True)
    texts = BytesIO()
    write_po(texts, catalogue, 120, omit_header=True, sort_by_file=True, ignore_obsolete=True)
    header = HEADER.format(code=code, plurals=catalogue.plural_forms)
    file.write_text(header + texts.getvalue().decode(), encoding="utf-8")


def suggested(file: IO[bytes], *_: object, **__: object) -> Iterator[tuple[int, str, str, list[str]]]:
    """What the suggested models are for; Babel calls this for curated.json."""
    for model in json.load(file):
        yield 1, "_", model["use"], []


if __name__ == "__main__":
    main()
