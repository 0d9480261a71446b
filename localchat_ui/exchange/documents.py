"""Files that people attach, as text: plain text in whatever encoding, PDF and Word documents."""

from __future__ import annotations

import io
import logging
import re
import time
import zipfile
from collections.abc import Iterator
from itertools import islice

from charset_normalizer import from_bytes

from localchat_ui.text import Text

# About 75,000 tokens, and as much as fits into one message of the page's socket.
MAX_CHARACTERS = 300_000
MAX_UNPACKED_BYTES = 100_000_000
PDF_SECONDS = 20.0

# Colours and cursor movements of terminals, then whatever else nobody sees but a tab and the end of a line.
_ESCAPES = re.compile(r"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)|\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\x80-\x9f]")
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe\0\0", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_NATIONAL = ["gb18030", "cp932", "euc_jp", "cp949", "big5", "cp1251", "koi8_r", "cp1253", "cp1250", "cp1255", "cp1256"]
_HAN = re.compile("[\u4e00-\u9fff]")

# It remarks on every fault of a file, most of which it gets over.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


class UnreadableError(Exception):
    """A file has no text that could be read; the text completes "notes.txt …"."""


def text_of(data: bytes) -> str:
    """The text of a file, whatever its name says it is. Raises UnreadableError."""
    if data.startswith(b"%PDF"):
        text = _pdf(data)
    elif data.startswith(b"PK\x03\x04"):
        text = _word(data)
    else:
        text = _decoded(data)
    text = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).replace("\0", "␀")
    text = _CONTROLS.sub("", text).strip("\ufeff")
    if not text.strip("␀\n\t "):
        scan = Text(" It may be a scan.") if data.startswith(b"%PDF") else ""
        raise UnreadableError(Text("has no text in it.{scan}", scan=scan) if data.strip() else Text("is empty."))
    if len(text) > MAX_CHARACTERS:
        raise UnreadableError(
            Text(
                "is too long: {n} characters, and {most} are the most.",
                n=len(text),
                most=MAX_CHARACTERS,
            )
        )
    return text


def _decoded(data: bytes) -> str:
    if encoding := next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None):
        return data.decode(encoding, "replace")
    if encoding := _utf16_without_mark(data):
        return data.decode(encoding, "replace")
    if _is_binary(data):
        raise UnreadableError(Text("is not a text file."))
    text = data.decode("utf-8", "replace")
    n_broken = text.count("\N{REPLACEMENT CHARACTER}")
    # A log with a broken byte is no text of another encoding: most that is not ASCII would be broken then.
    n_fine = sum(character > "\x7f" for character in text) - n_broken
    if n_broken <= max(n_fine // 4, min(len(text) // 30, 3) if not _looks_western(data) else 0):
        return text
    return data.decode("cp1252", "replace") if _looks_western(data) else _national(data)


def _utf16_without_mark(data: bytes) -> str | None:
    """Texts of European languages have a zero in every other byte then."""
    even, odd = data[0:4000:2], data[1:4000:2]
    if len(data) < 4 or len(data) % 2:
        return None
    for encoding, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros.count(0) > 0.7 * len(zeros) and others.count(0) < 0.05 * len(others):
            return encoding
    return None


def _is_binary(data: bytes) -> bool:
    """A zero here and there is a fault in a text; many, or other control codes in number, are none of a text."""
    controls = sum(data.count(code) for code in [*range(8), *range(14, 27), *range(28, 32)])
    return controls > max(1, len(data) // 200)


def _looks_western(data: bytes) -> bool:
    """A few letters with accents among many without."""
    high = sum(byte > 0x7F for byte in data)
    letters = sum(chr(byte).isalpha() for byte in data if byte <= 0x7F)
    pairs = len(re.findall(rb"[\x80-\xff]{3,}", data))
    return high <= 0.5 * (high + letters) and not pairs


def _national(data: bytes) -> str:
    best = from_bytes(data, cp_isolation=_NATIONAL).best()
    if best is None:
        return data.decode("cp1252", "replace")
    text = str(best)
    # Korean is hardly written with Chinese characters any more.
    return data.decode("gb18030", "replace") if best.encoding == "cp949" and _HAN.search(text) else text


def _pdf(data: bytes) -> str:
    from pypdf import PdfReader  # noqa: PLC0415 - most people never need it

    deadline = time.monotonic() + PDF_SECONDS
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableError(Text("is locked with a password."))
        pages: list[str] = []
        length = 0
        for page in reader.pages:
            if time.monotonic() > deadline:
                raise UnreadableError(
                    Text(
                        "takes too long to read: {n} pages in {seconds} s.",
                        n=len(pages),
                        seconds=format(PDF_SECONDS, "g"),
                    )
                )
            pages.append(page.extract_text().strip())
            length += len(pages[-1])
            if length > MAX_CHARACTERS:
                break
    except UnreadableError:
        raise
    except Exception as error:  # whatever a library makes of damaged bytes
        raise UnreadableError(Text("is damaged, or no PDF file.")) from error
    return "\n\n".join(page for page in pages if page)


def _word(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if "word/document.xml" not in archive.namelist():
                raise UnreadableError(Text("is not a text file. Of archives only Word documents (.docx) are read."))
            if sum(info.file_size for info in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise UnreadableError(Text("is too large when it is unpacked."))
        return "\n\n".join(islice(_blocks(data), MAX_CHARACTERS))
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(Text("is damaged, or no Word document.")) from error


def _blocks(data: bytes) -> Iterator[str]:
    """Paragraphs, with the marks of headings and lists, and tables, as Markdown."""
    from docx import Document  # noqa: PLC0415 - most people never need it
    from docx.table import Table  # noqa: PLC0415
    from docx.text.paragraph import Paragraph  # noqa: PLC0415

    for block in Document(io.BytesIO(data)).iter_inner_content():
        if isinstance(block, Table):
            rows = [[" ".join(cell.text.split()).replace("|", "\\|") for cell in row.cells] for row in block.rows]
            yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
        elif isinstance(block, Paragraph) and block.text.strip():
            style = (block.style.name if block.style else "") or ""
            level = re.fullmatch(r"Heading ([1-6])", style)
            mark = "#" * int(level[1]) + " " if level else "- " if style.startswith("List") else ""
            yield mark + block.text
