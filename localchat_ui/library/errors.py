"""What goes wrong in the library, in words that say what to do."""

from __future__ import annotations

from localchat_ui.text import PlainError


class LibraryError(PlainError):
    """The text is for people."""


class DownloadError(LibraryError):
    """The file did not arrive; the text says why and what to do."""


class ConnectionLostError(DownloadError):
    """The network failed, which another attempt may mend."""


class RemovalError(LibraryError):
    """The file stays; the text says why."""
