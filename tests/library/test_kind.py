from __future__ import annotations

from pathlib import Path

import pytest

from localchat_ui.library.gguf_header import read_header
from localchat_ui.library.kind import Kind, kind_of
from tests.library.tiny import KINDS, write_gguf, write_kind, write_llama


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, (_, kind) in KINDS.items()])
def test_the_kind_of_a_file_is_told_from_its_metadata(tmp_path: Path, name: str, kind: str) -> None:
    assert kind_of(read_header(write_kind(tmp_path / "x.gguf", name))) == kind


@pytest.mark.parametrize(
    ("architecture", "more", "kind"),
    [
        ("bert", {}, "embedding"),
        ("qwen3", {"{arch}.pooling_type": 0}, "chat"),
        ("qwen3", {"{arch}.attention.causal": True}, "chat"),
        ("qwen3", {"{arch}.classifier.output_labels": ["yes", "no"]}, "reranker"),
        ("llama", {"tokenizer.chat_template": ""}, "base"),
    ],
)
def test_keys_that_decide(tmp_path: Path, architecture: str, more: dict[str, object], kind: str) -> None:
    template = None if "tokenizer.chat_template" in more else "{{ messages }}"
    file = write_llama(tmp_path / "x.gguf", architecture=architecture, more=more, template=template)
    assert kind_of(read_header(file)) == kind


def test_the_first_part_of_a_split_model_may_hold_no_tensors(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "x.gguf", "llama", {"split.count": 2, "split.tensors.count": 20}, {})
    assert kind_of(read_header(file)) is Kind.BASE


def test_every_kind_has_words_of_its_own() -> None:
    assert len({kind.words for kind in Kind}) == len(Kind)
    assert {kind for kind in Kind if kind.can_chat} == {Kind.CHAT, Kind.BASE}
