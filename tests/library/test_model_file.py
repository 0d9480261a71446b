from __future__ import annotations

from pathlib import Path

import pytest

from localchat_ui.library.model_file import ModelFile, readable_context, readable_count, readable_size


def model(**changes: object) -> ModelFile:
    values = {
        "path": Path("/models/smol.gguf"),
        "name": "Smol",
        "parameters": 134_515_008,
        "quantisation": "Q4_1",
        "size_bytes": 98_362_432,
        "context_length": 8192,
        "has_chat_template": True,
        "error": None,
        "is_starter": False,
    }
    return ModelFile(**{**values, **changes})  # type: ignore[arg-type]


def test_details_tell_models_apart() -> None:
    assert model().details == "135M · Q4_1 · 98 MB · 8k context"


def test_what_is_not_known_is_not_said() -> None:
    assert model(parameters=None, quantisation="", context_length=0).details == "98 MB"


def test_a_broken_file_says_what_is_wrong() -> None:
    assert model(error="it is not a GGUF file.").details == "98 MB · it is not a GGUF file."


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_600, "1 MB"),
        (98_362_432, "98 MB"),
        (999_999_999, "1 GB"),
        (4_680_000_000, "4.7 GB"),
        (42_500_000_000, "42 GB"),
        (1_200_000_000_000, "1.2 TB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert readable_size(size) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(134_515_008, "135M"), (268_098_176, "268M"), (1_540_000_000, "1.5B"), (7_000_000_000, "7B"), (70.6e9, "71B")],
)
def test_parameters(count: float, text: str) -> None:
    assert readable_count(count) == text


@pytest.mark.parametrize(
    ("tokens", "text"), [(512, "512"), (2048, "2k"), (8192, "8k"), (131_072, "128k"), (100_000, "100k")]
)
def test_contexts(tokens: int, text: str) -> None:
    assert readable_context(tokens) == text
