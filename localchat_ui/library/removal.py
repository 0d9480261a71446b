"""Removes a model's files, and tells how much room that made."""

from __future__ import annotations

import stat
from pathlib import Path

from localchat_ui.library.errors import RemovalError
from localchat_ui.library.scan import parts_of
from localchat_ui.text import Text


def remove_files(path: Path) -> int:
    """Remove a model, all parts of a split one; returns the bytes that are free now. Raises RemovalError.

    A link is removed and what it leads to stays; so do bytes that have another name elsewhere.
    """
    freed = 0
    # The first part last: without it the others would be no model that could be removed once more.
    for part in reversed(parts_of(path)):
        try:
            status = part.lstat()
            part.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RemovalError(
                Text("{name} cannot be removed: {reason}.", name=part.name, reason=error.strerror or error)
            ) from error
        if not stat.S_ISLNK(status.st_mode) and status.st_nlink == 1:
            freed += status.st_size
    return freed
