"""Why llama.cpp does not load a file, in words that say what to do."""

from __future__ import annotations

import re

from localchat_ui.library.gguf_header import INCOMPLETE

# What llama.cpp says, and what it means; {0} is what the first group matched.
MEANINGS = (
    (r"not within the file bounds", INCOMPLETE),
    (
        r"unknown model architecture: '([^']*)'",
        "is of a family (“{0}”) that this version of llama.cpp does not know. A newer one may.",
    ),
    (
        r"((?:missing tensor|wrong number of tensors|tensor '[^']*' (?:has wrong|not found)).*?)\.?$",
        "does not hold what its family of models needs. It is damaged, or made for another version of llama.cpp ({0}).",
    ),
    (
        r"((?:key not found in model|error loading model hyperparameters|error loading model vocabulary).*?)\.?$",
        "does not describe itself fully. It is damaged, or made for another version of llama.cpp ({0}).",
    ),
    (r"(?:could not be loaded: )(.*)$", "could not be loaded: {0}"),
)


def in_plain_words(error: str) -> str:
    """The end of a sentence that begins with the file's name."""
    for said, meaning in MEANINGS:
        if match := re.search(said, error):
            return meaning.format(*match.groups())
    return f"could not be loaded: {error}"
