"""Adapters (LoRA): small files that change what a model has learned, added to its weights while it computes."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import llama_cpp

from localchat_ui.engine.base import ModelLoadError
from localchat_ui.engine.llama import Model, errors_of_this_thread, reason_of


@dataclass(frozen=True)
class Adapter:
    """The file of an adapter, the `models` it is for as a pattern of their names, and how much of it is added."""

    path: Path
    models: str = "*"
    scale: float = 1.0

    def is_for(self, model: Path) -> bool:
        return fnmatchcase(model.stem, self.models)


def load_adapters(model: Model, adapters: Sequence[Adapter]) -> None:
    """Load adapters beside a model, which frees them. Raises ModelLoadError for one that was made for another model."""
    for adapter in adapters:
        with errors_of_this_thread() as errors:
            handle = llama_cpp.llama_adapter_lora_init(model.handle, os.fsencode(adapter.path))
        if not handle:
            reason = reason_of(adapter.path, errors).rstrip(".")
            raise ModelLoadError(f"{reason}. Is it an adapter for {model.path.stem}? See ADAPTERS.")
        model.adapters.append((handle, adapter.scale))


def attach(model: Model, context: llama_cpp.llama_context_p) -> None:
    """Let a context compute with the adapters of its model."""
    n = len(model.adapters)
    if not n:
        return
    # The bindings declare a handle as a pointer to one, and give it as it is.
    handles = (llama_cpp.llama_adapter_lora_p_ctypes * n)(*(handle for handle, _ in model.adapters))  # type: ignore[misc]
    scales = (ctypes.c_float * n)(*(scale for _, scale in model.adapters))
    if llama_cpp.llama_set_adapters_lora(context, handles, n, scales) != 0:
        raise ModelLoadError(f"The adapters of {model.path.stem} cannot be used together.")
