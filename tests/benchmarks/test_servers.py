"""Processes that are started to be measured, and what is left of them."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.models import Model
from benchmarks.programs import linked
from benchmarks.servers import of_checkout, running

MODEL = Model(Path("none.gguf"), chats=True)
SERVE = """
import argparse, http.server, subprocess, sys
parser = argparse.ArgumentParser()
parser.add_argument("--host")
parser.add_argument("--port", type=int)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
http.server.HTTPServer(("127.0.0.1", parser.parse_args().port), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def test_a_server_and_its_children_end_with_the_measurement(tmp_path: Path) -> None:
    with running("served", MODEL, [sys.executable, "-c", SERVE], str(tmp_path), health="/") as server:
        processes = [server.process, *server.process.children()]
        memory = server.memory()

    assert len(processes) == 2
    assert 0 < memory.pss <= memory.rss
    assert psutil.wait_procs(processes, timeout=10)[1] == []


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    fails = [sys.executable, "-c", "raise SystemExit('no such model')"]

    with pytest.raises(RuntimeError, match="no such model"), running("x", MODEL, fails, str(tmp_path), health="/"):
        pass


def test_another_checkout_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "mine")

    assert of_checkout(Path("theirs")) == {"PYTHONPATH": "theirs:mine"}


def test_libraries_that_a_wheel_could_not_link_are_linked(tmp_path: Path) -> None:
    (tmp_path / "libllama.so.0.5").write_text("library")
    (tmp_path / "_symlinks.json").write_text('{"libllama.so": "libllama.so.0.5"}')

    for _ in range(2):
        assert (linked(tmp_path) / "libllama.so").read_text() == "library"
