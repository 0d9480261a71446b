"""Small files that are there as a whole or not at all, whatever ends the program meanwhile."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(file: Path, content: bytes) -> None:
    """Put this in the place of what the file holds; two programs may do so at once. Raises OSError."""
    new = file.with_name(f"{file.name}.{os.getpid()}.new")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        new.write_bytes(content)
        new.replace(file)
    except OSError:
        new.unlink(missing_ok=True)
        raise
