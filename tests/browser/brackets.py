"""The program with languages whose texts stand in brackets: `python -m tests.browser.brackets` and the usual flags."""

from __future__ import annotations

import tempfile
from pathlib import Path

from localchat_ui.__main__ import main
from tests.languages import bracketed

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, bracketed(Path(folder), "ar", "de"):
        main()
