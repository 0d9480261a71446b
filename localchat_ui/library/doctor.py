"""`python -m localchat_ui doctor`: the machine, the build, the models, and what is wrong. Nothing private is in it."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from localchat_ui import __version__, logs
from localchat_ui.engine.llama import build_features, supports_gpu
from localchat_ui.engine.machine import usable_cores
from localchat_ui.history.database import check
from localchat_ui.history.errors import HistoryError
from localchat_ui.library.catalog import Catalog, new_catalog
from localchat_ui.library.estimate import UNKNOWN
from localchat_ui.library.fit import free_memory
from localchat_ui.library.forecast import Forecaster, new_forecaster
from localchat_ui.library.model_file import ModelFile, readable_size
from localchat_ui.library.other_programs import PROGRAMS
from localchat_ui.library.speed import TYPICAL_BITS
from localchat_ui.settings import Settings, load_settings
from localchat_ui.text import N_, Text

LEAST_DISK = 2 * 10**9
TYPICAL_WEIGHTS = {"1B": 10**9, "4B": 4 * 10**9, "8B": 8 * 10**9}
# Sets of instructions that make llama.cpp several times faster, as it and Linux call them.
INSTRUCTIONS = {"AVX2": "avx2", "AVX512": "avx512f", "FMA": "fma"}


@dataclass(frozen=True)
class Section:
    """Rows of names and values for people."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Report:
    """Neither paths, names of people, addresses nor keys are in it. `problems` say what to do about each."""

    sections: tuple[Section, ...]
    problems: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """As English text, to be read or sent to somebody; what should be done begins with `!`."""
        none, lines = "  none", []
        for section in self.sections:
            lines += [section.title, *([f"  {name}: {value}" for name, value in section.rows] or [none]), ""]
        return [*lines, "Problems", *([f"! {problem}" for problem in self.problems] or [none])]


def run(arguments: list[str]) -> None:
    """Print it. Raises BadSettingError."""
    settings = load_settings(arguments)
    logs.set_up("warning", settings.log_format)
    for line in asyncio.run(report(settings)):
        sys.stdout.write(f"{line}\n")


async def report(settings: Settings) -> list[str]:
    """The lines of a report on a program that is not running."""
    forecaster = new_forecaster(settings)
    if forecaster.can_measure:
        await forecaster.calibration.measure()
    return (await examine(settings, new_catalog(settings), forecaster)).lines


async def examine(settings: Settings, catalog: Catalog, forecaster: Forecaster) -> Report:
    """Look at everything, whether the program runs or not."""
    return await asyncio.to_thread(_examine, settings, await catalog.refresh(), forecaster)


def _examine(settings: Settings, models: Sequence[ModelFile], forecaster: Forecaster) -> Report:
    sections = (
        Section(N_("Machine"), tuple(_machine(settings))),
        Section(N_("Program"), tuple(_program(settings))),
        Section(N_("Speed"), tuple(_speed(forecaster))),
        Section(N_("Models"), tuple(_models(models, forecaster))),
    )
    found = [*_of_models(models, forecaster), *_of_folders(settings), *_of_settings(settings, models), *_of_build()]
    return Report(sections, tuple(found))


def _machine(settings: Settings) -> Iterator[tuple[str, str]]:
    total = psutil.virtual_memory().total
    yield N_("Operating system"), f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    cores, threads = psutil.cpu_count(logical=False) or "?", psutil.cpu_count()
    yield N_("Cores"), Text("{n} ({threads} threads)", n=cores, threads=threads)
    free = readable_size(free_memory())
    yield N_("Memory"), Text("{free} free of {total}", free=free, total=readable_size(total))
    yield N_("Disk for models"), Text("{free} free", free=readable_size(_disk(settings.models_dir)))


def _program(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "localchat_ui", __version__
    yield "llama-cpp-python", version("llama-cpp-python")
    yield N_("Built for"), ", ".join(re.findall(r"(\w+) = 1", build_features()))
    yield "NiceGUI", version("nicegui")
    yield N_("Graphics card"), N_("yes") if supports_gpu() else N_("llama.cpp is built without one")
    context = str(settings.n_ctx) if settings.n_ctx else N_("as trained")
    yield N_("Context"), Text.joined(" ", (context, f"× {settings.parallel}, KV {settings.kv_type}"))
    yield N_("Threads"), str(settings.n_threads or usable_cores())
    programs = ", ".join(PROGRAMS[name].title for name in settings.other_programs)
    yield N_("Models of other programs"), programs or N_("no")


def _speed(forecaster: Forecaster) -> Iterator[tuple[str, str]]:
    """Of models that everybody knows the size of."""
    if not forecaster.calibration.is_known:
        yield N_("Tokens per second"), N_("not known yet; look again in a moment")
    for name, n_weights in TYPICAL_WEIGHTS.items():
        if speed := forecaster.of(int(n_weights * TYPICAL_BITS / 8), UNKNOWN).speed:
            yield Text("{n} parameters, Q4_K_M", n=name), speed.details


def _models(models: Sequence[ModelFile], forecaster: Forecaster) -> Iterator[tuple[str, str]]:
    for model in models:
        forecast = forecaster.of_file(model).text if model.is_loadable else ""
        yield model.name, Text.joined("\n    ", (model.details, forecast))


def _of_models(models: Sequence[ModelFile], forecaster: Forecaster) -> Iterator[str]:
    usable = [model for model in models if model.refusal is None]
    if not usable:
        yield N_("No model can chat here. Get one: python -m localchat_ui models pull Qwen/Qwen2.5-0.5B-Instruct-GGUF")
    verdicts = [forecaster.of_file(model).verdict for model in usable]
    if verdicts and all(verdict and not verdict.fits for verdict in verdicts):
        yield N_("No model fits into the memory that is free. Close other programs, or take a smaller model or N_CTX.")
    for model in models:
        if model.error:
            yield model.error


def _of_folders(settings: Settings) -> Iterator[str]:
    for name, folder in (("MODELS_DIR", settings.models_dir), ("DATA_DIR", settings.data_dir)):
        if not os.access(_existing(folder), os.W_OK):
            yield Text("{setting} cannot be written to. Correct its rights, or set it elsewhere.", setting=name)
    if _disk(settings.models_dir) < LEAST_DISK:
        yield N_("The disk of MODELS_DIR is nearly full. Remove models that you do not use.")
    for program in settings.other_programs:
        if any(root.is_dir() and not os.access(root, os.R_OK | os.X_OK) for root in PROGRAMS[program].roots()):
            yield Text(
                "The models of {program} cannot be read. Let this program's user read its folder, or leave it out"
                " of OTHER_MODELS.",
                program=PROGRAMS[program].title,
            )
    try:
        check(settings.resolved_database_url)
    except HistoryError:
        yield N_("The database cannot be read. `python -m localchat_ui` says what is wrong with it.")


def _of_settings(settings: Settings, models: Sequence[ModelFile]) -> Iterator[str]:
    cores = psutil.cpu_count(logical=False) or 1
    if settings.n_threads and settings.n_threads > cores:
        words = N_("N_THREADS={n} is more than the {cores} cores: that is slower. Leave it empty.")
        yield Text(words, n=str(settings.n_threads), cores=cores)
    if settings.n_gpu_layers and not supports_gpu():
        yield N_(
            "N_GPU_LAYERS has no effect: llama.cpp is built without a graphics card. The README says how to build it."
        )
    if settings.model_memory_bytes > psutil.virtual_memory().total:
        yield N_("MODEL_MEMORY is more than this machine has: models would push each other to disk. Make it smaller.")
    names = {name for model in models for name in (model.file_name, model.path.stem, str(model.path))}
    is_file = settings.model.lower().endswith(".gguf")
    if is_file and settings.model not in names and not Path(settings.model).is_file():
        yield N_("MODEL names a file that is not there. Choose another, or leave it empty.")
    if not settings.listens_on_loopback and settings.ssl_certfile is None and not settings.trusted_proxies:
        yield N_(
            "Others can connect without TLS (HOST): what is written can be read on the way. See docs/deployment.md."
        )


def _of_build() -> Iterator[str]:
    """What the processor can do and llama.cpp was not built for."""
    try:
        able = set(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return
    features = build_features()
    if missing := [name for name, flag in INSTRUCTIONS.items() if flag in able and f"{name} = 1" not in features]:
        yield Text(
            "llama.cpp is built without {instructions}, which this processor has, and is slower for it. Install"
            " llama-cpp-python anew on this machine.",
            instructions=", ".join(missing),
        )


def _disk(folder: Path) -> int:
    return shutil.disk_usage(_existing(folder)).free


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
