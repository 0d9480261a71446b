from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localchat_ui.library.gguf_header import GgufError, parse_header, read_header
from tests.library.tiny import TOKENS, write_gguf, write_llama

VALUES = {
    "general.name": "Größe 🦙",
    "{arch}.block_count": 3,
    "{arch}.rope.freq_base": 0.5,
    "{arch}.attention.causal": False,
    "{arch}.attention.head_count_kv": [1, 2, 1],
    "{arch}.attention.sliding_window_pattern": [True, False, True],
    "general.tags": ["a", "bc"],
}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    shapes = {"token_embd.weight": (259, 4), "output_norm.weight": (4,)}
    return write_gguf(tmp_path_factory.mktemp("gguf") / "x.gguf", "llama", VALUES, shapes).read_bytes()


def test_values_and_tensors_are_read(content: bytes) -> None:
    header = parse_header(content)
    assert header.architecture == "llama"
    assert header.values["general.name"] == "Größe 🦙"
    assert header.of_architecture("block_count") == 3
    assert header.of_architecture("rope.freq_base") == 0.5
    assert header.of_architecture("attention.causal") is False
    assert header.of_architecture("attention.head_count_kv") == (1, 2, 1)
    assert header.of_architecture("attention.sliding_window_pattern") == (True, False, True)
    assert header.of_architecture("absent") is None
    assert list(header.tensors) == ["token_embd.weight", "output_norm.weight"]


def test_of_lists_of_strings_and_very_long_lists_only_the_length_is_kept(content: bytes, smollm: Path) -> None:
    assert parse_header(content).values["general.tags"] == 2
    assert parse_header(content).values["tokenizer.ggml.tokens"] == len(TOKENS)
    assert read_header(smollm).values["tokenizer.ggml.token_type"] == 49152


@pytest.mark.parametrize("name", ["smollm", "gemma"])
def test_real_models_are_read(name: str, request: pytest.FixtureRequest) -> None:
    header = read_header(request.getfixturevalue(name))
    assert header.architecture == {"smollm": "llama", "gemma": "gemma3"}[name]
    assert "output_norm.weight" in header.tensors
    # What lies between the offsets is what all weights take, but for the padding.
    n_bytes = sum(tensor.n_bytes for tensor in header.tensors.values())
    assert 0.9 * request.getfixturevalue(name).stat().st_size < n_bytes < request.getfixturevalue(name).stat().st_size
    assert (
        sum(tensor.n_weights for tensor in header.tensors.values()) == {"smollm": 134515008, "gemma": 268098176}[name]
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"is empty"),
        (b"x" * 1000, r"is not a GGUF file\."),
        (b"GGU", r"is not a GGUF file\."),
        (b"PK\x03\x04" + b"x" * 100, r"is a ZIP or PyTorch file, not a GGUF file\."),
        (b"<!DOCTYPE html><html>", r"is a web page, not a model"),
        (b"<HTML>", r"is a web page, not a model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", r"is a pointer of Git LFS"),
        (b"GGUF" + struct.pack("<I", 1), r".* version 1, which is not supported"),
        (b"GGUF" + struct.pack(">I", 3), r".*big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), r"is incomplete"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), r"is incomplete"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**64 - 1), r"is incomplete"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"a", 99), r"is damaged: its description makes no sense"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"a", 9, 9, 2**63), r"is damaged"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"a", 9, 8, 2**63), r"is incomplete"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"a", 9, 4, 2**63), r"is incomplete"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(content)
    with pytest.raises(GgufError, match=f"^{reason}"):
        read_header(file)


def test_a_file_that_is_cut_off_anywhere_is_incomplete(content: bytes) -> None:
    # Of the last tensor, 32 bytes at the end of the file, only the beginning is known.
    for length in range(4, len(content) - 32):
        with pytest.raises(GgufError, match="is incomplete"):
            parse_header(content[:length])


@given(changes=st.dictionaries(st.integers(0, 600), st.integers(0, 255), min_size=1, max_size=8))
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_refused_or_read_and_nothing_else(content: bytes, changes: dict[int, int]) -> None:
    # Behind the first bytes there is mostly vocabulary.
    damaged = bytearray(content)
    for place, byte in changes.items():
        damaged[place] = byte
    with suppress(GgufError):
        parse_header(bytes(damaged))


def test_a_complete_file_of_another_shape_is_read(tmp_path: Path) -> None:
    header = read_header(write_llama(tmp_path / "x.gguf", n_layer=5))
    assert header.of_architecture("block_count") == 5
    assert len([name for name in header.tensors if name.startswith("blk.4.")]) == 9
