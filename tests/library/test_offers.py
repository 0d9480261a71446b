from __future__ import annotations

import pytest

from localchat_ui.library.offers import RemoteFile, offers_of, quantisation_of


def offered(*names: str) -> dict[str, str]:
    files = [RemoteFile(name, 1000 * number) for number, name in enumerate(names, 1)]
    return {offer.quantisation or offer.name: offer.words for offer in offers_of(files)}


@pytest.mark.parametrize(
    ("name", "quantisation"),
    [
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("Qwen3-4B.Q8_0.gguf", "Q8_0"),
        ("m-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("m-IQ2_XXS-00001-of-00002.gguf", "IQ2_XXS"),
        ("BF16/m-00001-of-00002.gguf", "BF16"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("m-fp16.gguf", "FP16"),
        ("Phi-3-mini-4k-instruct-q4.gguf", "Q4"),
        ("m-TQ1_0.gguf", "TQ1_0"),
        ("model.gguf", ""),
        ("Q4_K_M-or-not.gguf", "Q4_K_M"),
    ],
)
def test_the_quantisation_is_in_the_name(name: str, quantisation: str) -> None:
    assert quantisation_of(name) == quantisation


def test_each_has_a_plain_word_and_one_is_recommended() -> None:
    assert offered("m-Q2_K.gguf", "m-IQ3_M.gguf", "m-Q4_K_M.gguf", "m-Q5_K_M.gguf", "m-Q8_0.gguf", "m-F16.gguf") == {
        "Q2_K": "very small, much worse",
        "IQ3_M": "smaller, noticeably worse",
        "Q4_K_M": "recommended",
        "Q5_K_M": "a little better, larger",
        "Q8_0": "as good as the original, large",
        "F16": "the original, very large",
    }


def test_the_only_one_is_recommended_and_the_next_best_without_the_usual_one() -> None:
    assert offered("model.gguf") == {"model.gguf": "recommended"}
    assert offered("m-q3_k_l.gguf", "m-q4_0.gguf", "m-q8_0.gguf")["Q4_0"] == "recommended"


def test_parts_and_the_projector_belong_to_their_model() -> None:
    files = [
        RemoteFile("Q4_K_M/m-Q4_K_M-00002-of-00002.gguf", 5),
        RemoteFile("Q4_K_M/m-Q4_K_M-00001-of-00002.gguf", 7),
        RemoteFile("m-Q8_0.gguf", 30),
        RemoteFile("mmproj-F32.gguf", 4),
        RemoteFile("mmproj-F16.gguf", 2),
        RemoteFile("imatrix.gguf", 1),
        RemoteFile("README.md", 1),
    ]
    small, large = offers_of(files)
    assert [file.name for file in small.all_files] == [
        "Q4_K_M/m-Q4_K_M-00001-of-00002.gguf",
        "Q4_K_M/m-Q4_K_M-00002-of-00002.gguf",
        "mmproj-F16.gguf",
    ]
    assert (small.size, small.model_size, large.size) == (14, 12, 32)
    assert small.details == "14 bytes · recommended · 2 files · with image projector"


def test_a_repository_without_models_offers_nothing() -> None:
    assert offered("README.md", "model.safetensors", "mmproj-F16.gguf", "x.imatrix.gguf") == {}
