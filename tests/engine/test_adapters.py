"""Adapters of models: what they change, by how much, and which do not fit."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from localchat_ui.engine.adapters import Adapter
from localchat_ui.engine.base import ModelLoadError
from localchat_ui.engine.loader import LoadOptions
from localchat_ui.engine.worker import LlamaEngine
from tests.engine.harness import ask
from tests.library.tiny import write_gguf, write_llama

RANK, WIDTH = 4, 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    write_llama(folder / "base.gguf")
    write_adapter(folder / "style.gguf", WIDTH)
    write_adapter(folder / "other.gguf", 2 * WIDTH)
    return folder


def write_adapter(path: Path, width: int) -> Path:
    """Strong enough that weights of a random model are another one's."""
    values = {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 400.0}
    shapes = {}
    for layer in range(2):
        for name in ("attn_q", "attn_output", "ffn_down"):
            n_in = 2 * width if name == "ffn_down" else width
            shapes |= {f"blk.{layer}.{name}.weight.lora_a": (RANK, n_in)}
            shapes |= {f"blk.{layer}.{name}.weight.lora_b": (width, RANK)}
    return write_gguf(path, "llama", values, shapes, has_vocabulary=False)


def reply(folder: Path, *adapters: Adapter) -> str:
    engine = LlamaEngine(LoadOptions(n_ctx=256, parallel=1, n_threads=1, adapters=adapters))
    try:
        engine.load(folder / "base.gguf", lambda share: None)
        return ask(engine, "Hello", temperature=0, max_tokens=24).wait().text
    finally:
        engine.close()


def test_an_adapter_changes_what_is_said_by_its_scale(folder: Path):
    plain = reply(folder)
    adapter = partial(Adapter, folder / "style.gguf")
    assert reply(folder, adapter("base", 1)) != plain
    assert reply(folder, adapter("base", 0)) == plain
    assert reply(folder, adapter("another", 1)) == plain


def test_one_for_another_model_is_refused_by_name(folder: Path):
    with pytest.raises(ModelLoadError, match=r"other\.gguf could not be loaded: .* for base"):
        reply(folder, Adapter(folder / "other.gguf"))
    with pytest.raises(ModelLoadError, match="there is no such file"):
        reply(folder, Adapter(folder / "missing.gguf"))
