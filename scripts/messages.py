"""Brings the catalogues up to date with the texts of the page. Give it the code of a language to begin one: de."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from babel.messages.frontend import CommandLineInterface

PACKAGE = "localchat_ui"
LOCALE = Path(PACKAGE) / "locale"
TEMPLATE = LOCALE / "messages.pot"
# No dates and line numbers: a file changes when a text does.
EXTRACT = [
    "--mapping",
    "pyproject.toml",
    "--keywords",
    "N_:1 Text:1 counted:1,2",
    "--add-comments",
    "NOTE:",
    "--add-location",
    "file",
]
EXTRACT += ["--sort-by-file", "--omit-header", "--width", "120", "--output", str(TEMPLATE)]
UPDATE = ["--no-fuzzy-matching", "--ignore-obsolete", "--ignore-pot-creation-date", "--width", "120"]


def main() -> None:
    pybabel = CommandLineInterface()
    pybabel.run(["pybabel", "-q", "extract", *EXTRACT, PACKAGE])
    for code in sys.argv[1:]:
        _run(pybabel, "init", code)
    for file in sorted(LOCALE.glob("*.po")):
        _run(pybabel, "update", file.stem, *UPDATE)


def suggested(file: IO[bytes], *_: object, **__: object) -> Iterator[tuple[int, str, str, list[str]]]:
    """What the suggested models are for; Babel calls this for curated.json."""
    for model in json.load(file):
        yield 1, "_", model["use"], []


def _run(pybabel: CommandLineInterface, command: str, code: str, *options: str) -> None:
    files = ["--input-file", str(TEMPLATE), "--output-file", str(LOCALE / f"{code}.po")]
    pybabel.run(["pybabel", "-q", command, *files, "--locale", code.replace("-", "_"), *options])


if __name__ == "__main__":
    main()
