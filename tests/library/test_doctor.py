from __future__ import annotations

import re
from pathlib import Path

import pytest

from localchat_ui.library import doctor, scan
from localchat_ui.settings import Settings
from tests.library.tiny import write_kind, write_llama


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(scan, "STARTER_PACKAGE", "no_such_package")
    (tmp_path / "secret-folder").mkdir()
    return Settings(
        _env_file=None,
        models_dir=tmp_path / "secret-folder",
        data_dir=tmp_path / "data",
        hub_token="hf_secret",
        access_token="secret-secret-secret",
    )


async def told(settings: Settings) -> str:
    return "\n".join(await doctor.report(settings))


async def test_a_machine_without_models_says_how_to_get_one(settings: Settings) -> None:
    said = await told(settings)
    assert re.search(r"Memory: .* free of ", said)
    assert "llama-cpp-python" in said
    assert "! No model can chat here. Get one: python -m localchat_ui models pull" in said


async def test_models_are_judged_and_nothing_private_is_told(settings: Settings) -> None:
    write_llama(settings.models_dir / "mine.gguf")
    said = await told(settings)
    assert "  mine: " in said
    assert "fits well: about" in said
    assert said.endswith("Problems\n  none")
    assert "secret" not in said
    assert str(settings.data_dir) not in said


async def test_what_is_wrong_is_listed_with_what_to_do(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write_kind(settings.models_dir / "base.gguf", "base model")
    (settings.models_dir / "half.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(doctor, "_disk", lambda folder: 10**8)
    wrong = {"n_threads": 1000, "model": "gone.gguf", "host": "0.0.0.0"}
    said = await told(settings.model_copy(update=wrong))
    problems = [line for line in said.splitlines() if line.startswith("! ")]
    assert len(problems) == 5
    for words in ("half.gguf is incomplete", "nearly full", "N_THREADS=1000", "MODEL names a file", "without TLS"):
        assert words in said
