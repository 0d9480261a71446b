"""`python -m localchat_ui doctor`: the machine, the build, the models, and what is wrong. Nothing private is in it."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import psutil

from localchat_ui import __version__, logs
from localchat_ui.engine.llama import build_features, supports_gpu
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.fit import MemoryCheck, free_memory
from localchat_ui.library.model_file import ModelFile, readable_size
from localchat_ui.settings import Settings, load_settings

LEAST_DISK = 2 * 10**9


def run(arguments: list[str]) -> None:
    """Print it. Raises BadSettingError."""
    settings = load_settings(arguments)
    logs.set_up("warning", settings.log_format)
    for line in asyncio.run(report(settings)):
        sys.stdout.write(f"{line}\n")


async def report(settings: Settings) -> list[str]:
    """Lines for people; what should be done begins with `!`. No path, name of a person, address or key is in it."""
    catalog = Catalog(settings.models_dir, settings.data_dir / "models.json", n_ctx=settings.n_ctx)
    models = await catalog.refresh()
    memory = MemoryCheck(settings.n_ctx, settings.parallel, settings.kv_type)
    return [*_machine(settings), "", "Models", *_models(models, memory), "", "Problems", *_problems(settings, models)]


def _machine(settings: Settings) -> Iterator[str]:
    total = psutil.virtual_memory().total
    yield "Machine"
    yield f"  {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    yield f"  cores: {psutil.cpu_count(logical=False) or '?'} ({psutil.cpu_count() or '?'} threads)"
    yield f"  memory: {readable_size(free_memory())} free of {readable_size(total)}"
    yield f"  disk for models: {readable_size(_disk(settings.models_dir))} free"
    yield "Program"
    yield f"  localchat_ui {__version__}, llama-cpp-python {version('llama-cpp-python')}, NiceGUI {version('nicegui')}"
    yield f"  graphics card: {'yes' if supports_gpu() else 'llama.cpp is built without one'}"
    yield f"  llama.cpp: {build_features()}"
    yield f"  context {settings.n_ctx or 'as trained'} × {settings.parallel}, KV {settings.kv_type}"


def _models(models: list[ModelFile], memory: MemoryCheck) -> Iterator[str]:
    for model in models:
        yield f"  {model.name}: {model.details}"
        if model.is_loadable:
            yield f"    {memory.verdict(model.size_bytes, model.shape, model.context_length).text}"
    if not models:
        yield "  none"


def _problems(settings: Settings, models: list[ModelFile]) -> Iterator[str]:
    found = [*_of_models(models), *_of_folders(settings), *_of_settings(settings, models)]
    yield from (f"! {problem}" for problem in found) if found else ("  none",)


def _of_models(models: list[ModelFile]) -> Iterator[str]:
    if not any(model.refusal is None for model in models):
        yield "No model can chat here. Get one: python -m localchat_ui models pull Qwen/Qwen2.5-0.5B-Instruct-GGUF"
    for model in models:
        if model.error:
            yield model.error


def _of_folders(settings: Settings) -> Iterator[str]:
    for name, folder in (("MODELS_DIR", settings.models_dir), ("DATA_DIR", settings.data_dir)):
        if not os.access(_existing(folder), os.W_OK):
            yield f"{name} cannot be written to. Correct its rights, or set it elsewhere."
    if _disk(settings.models_dir) < LEAST_DISK:
        yield "The disk of MODELS_DIR is nearly full. Remove models that you do not use."


def _of_settings(settings: Settings, models: list[ModelFile]) -> Iterator[str]:
    cores = psutil.cpu_count(logical=False) or 1
    if settings.n_threads and settings.n_threads > cores:
        yield f"N_THREADS={settings.n_threads} is more than the {cores} cores: that is slower. Leave it empty."
    names = {name for model in models for name in (model.path.name, model.path.stem, str(model.path))}
    is_file = settings.model.lower().endswith(".gguf")
    if is_file and settings.model not in names and not Path(settings.model).is_file():
        yield "MODEL names a file that is not there. Choose another, or leave it empty."
    if not settings.listens_on_loopback and settings.ssl_certfile is None and not settings.trusted_proxies:
        yield "Others can connect without TLS (HOST): what is written can be read on the way. See docs/deployment.md."


def _disk(folder: Path) -> int:
    return shutil.disk_usage(_existing(folder)).free


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
