from __future__ import annotations

import pytest

from localchat_ui.engine import pace


@pytest.fixture
def any_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts are read in whole blocks even when this machine is busy: smaller pieces are rounded in another way."""
    monkeypatch.setattr(pace, "BLOCK_SECONDS", 60)
