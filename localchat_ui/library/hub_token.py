"""The token for gated and private repositories: from the settings, or kept in a file that only its owner can read."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from localchat_ui.library.errors import LibraryError
from localchat_ui.text import Text


class HubToken:
    """Nothing shows it again; it only goes to the hub."""

    def __init__(self, configured: str, file: Path) -> None:
        """What is `configured` outranks the file."""
        self._configured = configured
        self._file = file

    def __call__(self) -> str:
        if self._configured:
            return self._configured
        with suppress(OSError, UnicodeDecodeError):
            return self._file.read_text(encoding="ascii").strip()
        return ""

    @property
    def is_configured(self) -> bool:
        """Whether it comes from the settings, and cannot be changed in the page."""
        return bool(self._configured)

    def keep(self, token: str) -> None:
        """Keep a token, or forget the one there is when it is empty. Raises LibraryError."""
        token = token.strip()
        if not token.isascii() or any(character.isspace() for character in token):
            raise LibraryError(Text("That is no token. One looks like hf_…, without spaces."))
        try:
            if not token:
                self._file.unlink(missing_ok=True)
                return
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.unlink(missing_ok=True)
            with os.fdopen(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(token)
        except OSError as error:
            raise LibraryError(Text("The token cannot be kept: {reason}.", reason=error.strerror or error)) from error
