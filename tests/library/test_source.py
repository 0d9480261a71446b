from __future__ import annotations

import pytest

from localchat_ui.library.source import Source, parse_source

ENDPOINT = "http://127.0.0.1:1234"
FILE = "Q4/m-q4_k_m.gguf"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("owner/name-GGUF", Source("owner/name-GGUF")),
        ("  owner/name-GGUF\n", Source("owner/name-GGUF")),
        ("owner/name:Q4_K_M", Source("owner/name", quantisation="Q4_K_M")),
        ("hf.co/owner/name:q8_0", Source("owner/name", quantisation="q8_0")),
        ("https://huggingface.co/owner/name", Source("owner/name")),
        ("https://huggingface.co/owner/name/", Source("owner/name")),
        ("https://huggingface.co/owner/name/tree/main", Source("owner/name")),
        (f"https://huggingface.co/owner/name/blob/main/{FILE}", Source("owner/name", FILE)),
        (f"https://huggingface.co/owner/name/resolve/main/{FILE}?download=true", Source("owner/name", FILE)),
        ("https://huggingface.co/owner/name/blob/main/README.md", Source("owner/name")),
        ("https://huggingface.co/owner/n%61me", Source("owner/name")),
        (f"{ENDPOINT}/owner/name", Source("owner/name")),
        ("https://example.org/m.gguf", Source(url="https://example.org/m.gguf")),
        (
            "https://huggingface.co.evil.example/owner/name",
            Source(url="https://huggingface.co.evil.example/owner/name"),
        ),
        ("qwen3 4b", None),
        ("qwen3", None),
        ("", None),
        ("ftp://example.org/m.gguf", None),
        ("file:///etc/passwd", None),
        ("../../etc", None),
        ("https://", None),
        ("https://huggingface.co/models?search=x", None),
        ("owner/name/more", None),
    ],
)
def test_what_may_be_pasted(text: str, source: Source | None) -> None:
    assert parse_source(text, ENDPOINT) == source


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/a/m.gguf?token=secret", "m.gguf"),
        ("https://example.org/a/M.GGUF", "M.GGUF"),
        ("https://example.org/a/my%20model.gguf", "my-model.gguf"),
        ("https://example.org/get", "get.gguf"),
        ("https://example.org/", "model.gguf"),
        ("https://example.org/a/..%2F..%2Fetc.gguf", "etc.gguf"),
        ("https://example.org/a/.hidden.gguf", "hidden.gguf"),
        ("https://example.org/a/c%00%0aon.gguf", "c-on.gguf"),
    ],
)
def test_a_file_from_anywhere_gets_a_plain_name(url: str, name: str) -> None:
    assert Source(url=url).url_filename == name
