"""What llama.cpp computes with on this machine."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import psutil


def usable_cores() -> int:
    """Physical cores this process may use: hyper-threads only compete for the same arithmetic."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or usable, usable))


def processor() -> str:
    """Its name, as far as the system tells."""
    try:
        information = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        information = ""
    found = re.search(r"^model name\s*: (.+)$", information, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()
