from __future__ import annotations

from collections.abc import Iterator

import huggingface_hub
import pytest

from tests.library.fake_hub import FakeHub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HF_TOKEN", "secret")
    huggingface_hub.close_session()
    server = FakeHub()
    yield server
    server.close()
    huggingface_hub.close_session()
