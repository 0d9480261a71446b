"""What a GGUF file is: most are chat models, and some are things that cannot chat."""

from __future__ import annotations

import re
from contextlib import suppress
from enum import Enum

from pydantic import ValidationError

from localchat_ui.conversation import SamplingOptions
from localchat_ui.library.gguf_header import GgufHeader
from localchat_ui.text import N_

ENCODERS = {
    "bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3", "eurobert",
    "gemma-embedding", "llama-embed", "t5encoder",
}  # fmt: skip
RANK = 4
# Words of a chat template that tell what its model was trained to do.
ABILITIES = {
    N_("calls tools"): re.compile(r"\btools\b"),
    N_("thinks before it answers"): re.compile(r"</?think>|enable_thinking|reasoning_content|<\|channel\|>|\[THINK\]"),
    N_("sees images"): re.compile(r"<image>|image_url|'image'|\"image\"|<\|vision_start\|>"),
}
LONGEST_LICENCE = 100
# What a file says of sampling, by what it is called here.
SAMPLING = {
    "temperature": "temp",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repeat_penalty": "penalty_repeat",
}


class Kind(str, Enum):
    CHAT = "chat"
    BASE = "base"
    EMBEDDING = "embedding"
    RERANKER = "reranker"
    ADAPTER = "adapter"
    PROJECTOR = "projector"
    VOCABULARY = "vocabulary"
    OTHER = "other"

    @property
    def words(self) -> str:
        return _WORDS[self]

    @property
    def can_chat(self) -> bool:
        return self in (Kind.CHAT, Kind.BASE)

    @property
    def is_model(self) -> bool:
        """Whether llama.cpp can load it by itself."""
        return self.can_chat or self in (Kind.EMBEDDING, Kind.RERANKER)


_WORDS = {
    Kind.CHAT: N_("chat model"),
    Kind.BASE: N_("base model"),
    Kind.EMBEDDING: N_("embedding model"),
    Kind.RERANKER: N_("reranker"),
    Kind.ADAPTER: N_("adapter for another model (LoRA)"),
    Kind.PROJECTOR: N_("projector of another model (mmproj)"),
    Kind.VOCABULARY: N_("vocabulary without a model"),
    Kind.OTHER: N_("file that is not a language model"),
}


def kind_of(header: GgufHeader) -> Kind:
    """Told from the metadata alone. A model without a chat template counts as a base model."""
    if kind := _without_a_use_of_its_own(header):
        return kind
    pooling = header.of_architecture("pooling_type") or 0
    has_classifier = any(name.split(".")[0] == "cls" for name in header.tensors)
    if pooling == RANK or has_classifier or header.of_architecture("classifier.output_labels") is not None:
        return Kind.RERANKER
    if pooling or header.of_architecture("attention.causal") is False or header.architecture in ENCODERS:
        return Kind.EMBEDDING
    return Kind.CHAT if header.values.get("tokenizer.chat_template") else Kind.BASE


def abilities_of(header: GgufHeader, kind: Kind) -> tuple[str, ...]:
    """What a chat model can do beside chatting, in plain words."""
    if kind is not Kind.CHAT:
        return ()
    template = str(header.values.get("tokenizer.chat_template", ""))
    return tuple(words for words, pattern in ABILITIES.items() if pattern.search(template))


def licence_of(header: GgufHeader) -> str:
    """As the file names it, such as `apache-2.0`; empty when it does not."""
    said = header.values.get("general.license.name") or header.values.get("general.license") or ""
    return " ".join(str(said).split())[:LONGEST_LICENCE]


def sampling_of(header: GgufHeader) -> tuple[tuple[str, float], ...]:
    """How its maker wants tokens to be chosen, as fields of SamplingOptions; what is not allowed there is left out."""
    found = []
    for field, key in SAMPLING.items():
        value = header.values.get(f"general.sampling.{key}")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            # A float of 32 bits is meant as the short number that it was written as.
            value = round(value, 4)
            with suppress(ValidationError):
                found.append((field, getattr(SamplingOptions.model_validate({field: value}), field)))
    return tuple(found)


def _without_a_use_of_its_own(header: GgufHeader) -> Kind | None:
    values = header.values
    general = values.get("general.type")
    kind = None
    if general == "adapter" or "adapter.type" in values or header.architecture == "controlvector":
        kind = Kind.ADAPTER
    elif general == "mmproj" or header.architecture == "clip":
        kind = Kind.PROJECTOR
    # The first part of a split model may hold no tensor itself.
    elif not header.tensors and not values.get("split.tensors.count") and "tokenizer.ggml.tokens" in values:
        kind = Kind.VOCABULARY
    elif "tokenizer.ggml.tokens" not in values or header.architecture == "t5" or _is_diffusion(header):
        kind = Kind.OTHER
    return kind


def _is_diffusion(header: GgufHeader) -> bool:
    """It writes a text at many places at once, which is nothing that can be streamed."""
    return any(key.startswith("diffusion.") for key in header.values)
