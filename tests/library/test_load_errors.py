from __future__ import annotations

import pytest

from localchat_ui.library.load_errors import in_plain_words


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            "x.gguf could not be loaded: tensor 'blk.0.ffn_up.weight' data is not within the file bounds, model is"
            " corrupted or incomplete.",
            "is incomplete: it ends in the middle of its weights. Download it again.",
        ),
        ("x.gguf could not be loaded: unknown model architecture: 'flux'.", "is of a family (“flux”) that"),
        (
            "x.gguf could not be loaded: missing tensor 'output.weight'.",
            "for another version of llama.cpp (missing tensor",
        ),
        (
            "x.gguf could not be loaded: check_tensor_dims: tensor 'blk.2.attn_norm.weight' not found.",
            "does not hold what its family of models needs.",
        ),
        ("x.gguf could not be loaded: wrong number of tensors; expected 30, got 21.", "does not hold what its family"),
        (
            "x.gguf could not be loaded: error loading model hyperparameters: key not found in model: llama.x.",
            "does not describe itself fully.",
        ),
        ("x.gguf could not be loaded: llama.cpp gave no reason.", "could not be loaded: llama.cpp gave no reason."),
        ("something else", "could not be loaded: something else"),
    ],
)
def test_what_llama_cpp_says_is_told_in_plain_words(said: str, meant: str) -> None:
    assert meant in in_plain_words(said)
