"""Files that people attach: their text arrives whole and right, or it is said why not."""

from __future__ import annotations

import io
import zipfile

import pytest
from docx import Document

from localchat_ui.exchange import documents
from localchat_ui.exchange.documents import UnreadableError, text_of

GERMAN = "Grüße aus Köln\n"
# The smallest PDF with a page of text.
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj
4 0 obj<</Length STREAM>>stream
CONTENT
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R/Size 6>>
startxref
0
%%EOF
"""


def pdf(content: bytes) -> bytes:
    return PDF.replace(b"STREAM", str(len(content)).encode()).replace(b"CONTENT", content)


def word() -> bytes:
    document = Document()
    document.add_heading("Report", 2)
    document.add_paragraph("All is well.")
    document.add_paragraph("An item", style="List Bullet")
    table = document.add_table(1, 2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "a|b", "2"
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(GERMAN.encode(), GERMAN, id="utf-8"),
        pytest.param(b"\xef\xbb\xbf" + GERMAN.encode(), GERMAN, id="utf-8 with a mark"),
        pytest.param(GERMAN.encode("utf-16"), GERMAN, id="utf-16 with a mark"),
        pytest.param("Hello from PowerShell\r\n".encode("utf-16-le"), "Hello from PowerShell\n", id="utf-16-le"),
        pytest.param("Hello from Java\n".encode("utf-16-be"), "Hello from Java\n", id="utf-16-be"),
        pytest.param("Grüße aus Köln\r\n".encode("latin-1"), GERMAN, id="latin-1"),
        pytest.param("Müller;5 €\r\n“quoted”".encode("cp1252"), "Müller;5 €\n“quoted”", id="cp1252"),
        pytest.param("Café déjà vu — 5 €".encode("cp1252"), "Café déjà vu — 5 €", id="many accents"),
        pytest.param("你好，世界\r\n".encode("gbk"), "你好，世界\n", id="gbk, short"),
        pytest.param("今天天气很好，我们去公园。".encode("gb18030"), "今天天气很好，我们去公园。", id="gb18030"),
        pytest.param("今天天氣很好，我們去公園散步。".encode("big5"), "今天天氣很好，我們去公園散步。", id="big5"),
        pytest.param("日本語のテキストです".encode("cp932"), "日本語のテキストです", id="shift-jis"),
        pytest.param("日本語のテキストです".encode("euc_jp"), "日本語のテキストです", id="euc-jp"),
        pytest.param("안녕하세요 세계".encode("cp949"), "안녕하세요 세계", id="korean"),
        pytest.param("Привет, мир! Как дела?".encode("cp1251"), "Привет, мир! Как дела?", id="cyrillic"),
        pytest.param("Zażółć gęślą jaźń".encode("cp1250"), "Zażółć gęślą jaźń", id="polish"),
        pytest.param(b"one\ntwo \xff bad\n" + "drei ü ok\n".encode() * 9, None, id="one broken byte"),
        pytest.param(b"\x1b[31mred\x1b[0m \x1b]0;title\x07line\x08\n", "red line\n", id="codes of a terminal"),
        pytest.param(b"line one\nvalue=\x00\nline three\n", "line one\nvalue=␀\nline three\n", id="a zero"),
        pytest.param(pdf(b"BT /F1 18 Tf 20 200 Td (A paper) Tj ET"), "A paper", id="pdf"),
        pytest.param(word(), "## Report\n\nAll is well.\n\n- An item\n\n| a\\|b | 2 |", id="docx"),
        pytest.param(b"x = 1\r", "x = 1\n", id="lines of an old Mac"),
    ],
)
def test_the_text_of_a_file(data: bytes, text: str | None) -> None:
    found = text_of(data)
    if text is None:
        assert "two \N{REPLACEMENT CHARACTER} bad\ndrei ü ok" in found
    else:
        assert found == text


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty."),
        (b" \n", "is empty."),
        (b"\0\0", "is not a text file."),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is not a text file."),
        (bytes(range(256)), "is not a text file."),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(200), "is damaged, or no PDF file."),
        (pdf(b""), "has no text in it. It may be a scan."),
        (b"PK\x03\x04" + bytes(range(256)), "is damaged, or no Word document."),
        (zipped("photo.txt", b"x"), "is not a text file. Of archives only Word documents (.docx) are read."),
        (zipped("word/document.xml", bytes(documents.MAX_UNPACKED_BYTES + 1)), "is too large when it is unpacked."),
        (b"x" * 300_001, "is too long: 300,001 characters, and 300,000 are the most."),
    ],
)
def test_what_has_no_text_says_what_it_is(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        text_of(data)
    assert str(refused.value) == reason


def test_a_file_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "PDF_SECONDS", -1)
    with pytest.raises(UnreadableError, match="takes too long"):
        text_of(pdf(b"BT ET"))
