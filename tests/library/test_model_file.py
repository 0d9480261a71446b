from __future__ import annotations

from pathlib import Path

import pytest

from localchat_ui.library.kind import Kind
from localchat_ui.library.model_file import ModelFile, readable_context, readable_count, readable_size


def model(**changes: object) -> ModelFile:
    values = {
        "path": Path("/models/smol.gguf"),
        "name": "Smol",
        "parameters": 134_515_008,
        "quantisation": "Q4_1",
        "size_bytes": 98_362_432,
        "context_length": 8192,
        "error": None,
        "is_starter": False,
    }
    return ModelFile(**{**values, **changes})  # type: ignore[arg-type]


def test_details_tell_models_apart() -> None:
    assert model().details == "135M · Q4_1 · 98 MB · 8k context"
    assert model(kind=Kind.BASE).details == "base model · 135M · Q4_1 · 98 MB · 8k context"
    assert model(kind=Kind.EMBEDDING).details == "embedding model · 135M · Q4_1 · 98 MB · 8k context"


@pytest.mark.parametrize(("n_ctx", "said"), [(4096, "4k of 8k context"), (8192, "8k context"), (0, "8k context")])
def test_the_context_is_said_as_it_runs(n_ctx: int, said: str) -> None:
    assert model(n_ctx=n_ctx).details.endswith(f" · {said}")


def test_what_cannot_chat_says_what_it_is() -> None:
    assert model().refusal is None
    assert model(kind=Kind.BASE).refusal is None
    assert model(error="smol.gguf is empty.").refusal == "smol.gguf is empty."
    assert model(kind=Kind.EMBEDDING).refusal == (
        "smol.gguf is an embedding model, and cannot chat. Choose another file."
    )
    for kind in set(Kind) - {Kind.CHAT, Kind.BASE}:
        assert kind.words in (model(kind=kind).refusal or "")


def test_only_models_are_opened_by_llama_cpp() -> None:
    loadable = {kind for kind in Kind if model(kind=kind).is_loadable}
    assert loadable == {Kind.CHAT, Kind.BASE, Kind.EMBEDDING, Kind.RERANKER}
    assert not model(error="it is broken").is_loadable


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
        (5_000_000_000_000_000, "5,000 TB"),
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
