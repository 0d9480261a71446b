"""A disk that fills up in the middle of a download: a real one, of a few megabytes."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

from tests.library.fake_hub import BLOCK, FakeHub

REPO, FILE = "someone/Tiny-GGUF", "tiny.gguf"
DATA = random.Random(7).randbytes(40 * BLOCK)

# $1 is the folder of models, $2 that of what is told; then the command. When the download is under way somebody else
# takes the rest of the disk, and gives it back later.
STORY = """
set -e
folder=$1 told=$2; shift 2
mount -t tmpfs -o size=4m none "$folder"
"$@" "$folder" > "$told/first" &
until [ -n "$(find "$folder" -name '*.part' -size +50k)" ]; do sleep 0.02; done
dd if=/dev/zero of="$folder/other" bs=16k 2> /dev/null || true
wait
rm "$folder/other"
"$@" "$folder" > "$told/second"
cp "$folder"/* "$told"
"""
# The same without a disk of one's own: the system lets no file grow beyond so many blocks of 512 bytes.
LIMITED = """
folder=$1 told=$2; shift 2
(ulimit -f 2000; exec "$@" "$folder" > "$told/first")
"$@" "$folder" > "$told/second"
cp "$folder"/* "$told"
"""
AS_ROOT = () if os.geteuid() == 0 else ("--map-root-user",)
MOUNTS = ("unshare", "--mount", *AS_ROOT)


def can_mount(folder: Path) -> bool:
    """Whether the system lets us have a file system, as it lets root, and others in a namespace of their own."""
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run([*MOUNTS, "mount", "-t", "tmpfs", "none", folder], capture_output=True, check=False)
    return done.returncode == 0


def tell(file: Path) -> str:
    report = json.loads(file.read_text().splitlines()[-1])
    return report["error"] or report["stage"]


def test_a_download_ends_with_the_reason_and_goes_on_when_there_is_room(hub: FakeHub, tmp_path: Path) -> None:
    folder, told = tmp_path / "models", tmp_path / "told"
    folder.mkdir()
    told.mkdir()
    hub.files[f"{REPO}/{FILE}"] = DATA
    hub.seconds_per_block = 0.03
    mounts = can_mount(folder)
    command = [*MOUNTS, "sh", "-c", STORY] if mounts else ["sh", "-c", LIMITED]
    fetch = [sys.executable, "-m", "localchat_ui.library.fetch", REPO, FILE]
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [*command, "-", folder, told, *fetch], env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    reason = "The disk is full: " if mounts else f"takes no file as large as {FILE}"
    assert reason in tell(told / "first")
    assert tell(told / "second") == "done"
    assert (told / FILE).read_bytes() == DATA
    kept = int(hub.ranges()[-1].removeprefix("bytes=").removesuffix("-"))
    assert kept > 50_000
    assert hub.bytes_sent < len(DATA) + 10 * BLOCK
