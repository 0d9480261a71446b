"""Conversations as files, in the formats of `formats/`; and files that people attach, as text."""

from localchat_ui.exchange.files import ImportReport, export_file, import_file, read_file
from localchat_ui.exchange.formats import EXPORTS, FORMATS
from localchat_ui.exchange.trees import Format, ImportRefusedError

__all__ = [
    "EXPORTS",
    "FORMATS",
    "Format",
    "ImportRefusedError",
    "ImportReport",
    "export_file",
    "import_file",
    "read_file",
]
