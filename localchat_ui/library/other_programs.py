"""Models that other programs have downloaded: Ollama's, LM Studio's, and the cache of the Hugging Face hub.

They are used where they are, and never written to or removed. What cannot be read is passed over: these folders are not
ours, and may change their form.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
OLLAMA_MODEL = "application/vnd.ollama.image.model"
OLLAMA_HOSTS = ("registry.ollama.ai", "ollama.com")
# Where packages for Linux let it run as a user of its own.
OLLAMA_SERVICES = ("/usr/share/ollama/.ollama/models", "/var/lib/ollama", "/var/snap/ollama/common/models")
LONGEST_MANIFEST = 10**6


@dataclass(frozen=True)
class Program:
    """`roots` are the folders it may keep models in; `named` are those that only it has a name for."""

    title: str
    roots: Callable[[], list[Path]]
    named: Callable[[Path], Iterator[tuple[str, Path]]] | None = None


def others_own(path: Path) -> bool:
    """Whether a file lies in a folder of another program, by whatever way one gets there."""
    folder = Path(os.path.realpath(path.parent))
    roots = (root for program in PROGRAMS.values() for root in program.roots())
    return any(folder.is_relative_to(os.path.realpath(root)) for root in roots)


def sha256_of(path: Path) -> str:
    """The hash that a store keeps a file under; empty for any other file."""
    match = re.fullmatch(r"(?:sha256[:-])?([0-9a-f]{64})", Path(os.path.realpath(path)).name)
    return match[1] if match else ""


def _ollama_roots() -> list[Path]:
    if folder := os.environ.get("OLLAMA_MODELS"):
        return [Path(folder)]
    return [*_at_home(".ollama", "models"), *map(Path, OLLAMA_SERVICES)]


def _ollama_models(root: Path) -> Iterator[tuple[str, Path]]:
    """Its names and the blobs behind them: `manifests/HOST/NAMESPACE/MODEL/TAG` tells which those are."""
    for kind in sorted(root.glob("manifest*")):
        for folder, _folders, files in os.walk(kind):
            for file in sorted(files):
                manifest = Path(folder) / file
                # Both ways of writing a hash are in use.
                blobs = [root / "blobs" / f"sha256{mark}{_digest(manifest)}" for mark in "-:"]
                if blob := next(filter(Path.is_file, blobs), None):
                    yield _ollama_name(manifest.relative_to(kind).parts), blob


def _ollama_name(place: tuple[str, ...]) -> str:
    """As `ollama list` shows it: without the host and the namespace that are its own."""
    *above, model, tag = ("", *place)
    above = [part for part in above if part and part not in OLLAMA_HOSTS]
    return f"{'/'.join([*([] if above == ['library'] else above), model])}:{tag}"


def _digest(manifest: Path) -> str | None:
    """The hash of the weights that a manifest names."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        if manifest.stat().st_size > LONGEST_MANIFEST:
            return None
        for layer in json.loads(manifest.read_bytes())["layers"]:
            if layer["mediaType"] == OLLAMA_MODEL:
                match = DIGEST.fullmatch(layer["digest"])
                return match[1] if match else None
    return None


def _lm_studio_roots() -> list[Path]:
    homes = [*_at_home(".lmstudio"), *_at_home(".cache", "lm-studio")]
    for pointer in _at_home(".lmstudio-home-pointer"):
        with suppress(OSError, ValueError):
            homes.insert(0, Path(pointer.read_text(encoding="utf-8").strip()))
    chosen = []
    for home in homes:
        with suppress(OSError, ValueError, TypeError, KeyError):
            chosen.append(Path(json.loads((home / "settings.json").read_bytes())["downloadsFolder"]))
    return [*chosen, *(home / "models" for home in homes)]


def _hub_roots() -> list[Path]:
    """As the hub's own client looks for its cache."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := os.environ.get(name):
            return [Path(folder).expanduser()]
    if home := os.environ.get("HF_HOME"):
        return [Path(home).expanduser() / "hub"]
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return [Path(cache).expanduser() / "huggingface" / "hub"]
    return _at_home(".cache", "huggingface", "hub")


def _at_home(*parts: str) -> list[Path]:
    # RuntimeError: a user without a home.
    with suppress(RuntimeError):
        return [Path.home().joinpath(*parts)]
    return []


PROGRAMS = {
    "ollama": Program("Ollama", _ollama_roots, _ollama_models),
    "lmstudio": Program("LM Studio", _lm_studio_roots),
    "huggingface": Program("Hugging Face", _hub_roots),
}
