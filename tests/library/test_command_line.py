"""`python -m localchat_ui models …`, as it is typed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.server import clean_environment, without_starter
from tests.library.fake_hub import FakeHub
from tests.library.tiny import write_kind, write_llama


@pytest.fixture
def run(tmp_path: Path):
    (tmp_path / "models").mkdir()

    def run(*arguments: str, answer: str = "", status: int = 0, **environment: str) -> str:
        command = [sys.executable, "-m", "localchat_ui", "models", *arguments, "--models-dir", "models"]
        command += ["--data-dir", str(tmp_path / "data")]
        variables = clean_environment(**without_starter_once(tmp_path), **environment)
        done = subprocess.run(
            command, cwd=tmp_path, env=variables, input=answer, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    return run


def without_starter_once(folder: Path) -> dict[str, str]:
    package = folder / "nothing"
    if package.exists():
        return {"PYTHONPATH": os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])}
    return without_starter(folder)


def test_models_are_listed_told_of_and_removed(run, tmp_path: Path) -> None:
    models = tmp_path / "models"
    assert "There are no models" in run("list")

    write_llama(models / "mine.gguf", more={"general.license": "mit"}, template="{{ tools }}<think>")
    write_kind(models / "eyes.gguf", "mmproj")
    (models / "half.gguf").write_bytes((models / "mine.gguf").read_bytes()[:5000])
    said = run("list")
    assert "mine.gguf\n    " in said
    assert "projector of another model (mmproj)" in said
    assert "half.gguf is incomplete" in said

    said = run("info", "mine")
    for words in ("chat model", "llama", "32,768 tokens", "4,096 tokens", "mit", "calls tools, thinks before"):
        assert words in said
    assert "cannot chat" in run("info", "eyes")
    assert "There is no model nothing here" in run("info", "nothing", status=1)

    assert "Nothing was deleted" in run("remove", "mine", answer="n\n")
    assert "Nothing was deleted" in run("remove", "mine")
    assert "mine is gone" in run("remove", "mine", answer="y\n")
    assert "half is gone; 5 kB are free." in run("remove", "half", "--yes")
    assert [path.name for path in models.iterdir()] == ["eyes.gguf"]


def test_what_lies_elsewhere_is_not_removed(run, tmp_path: Path) -> None:
    elsewhere = write_llama(tmp_path / "elsewhere.gguf")
    assert "There is no model" in run("remove", str(elsewhere), "--yes", status=1)
    assert "chat model" in run("info", str(elsewhere))
    assert elsewhere.exists()


def test_a_model_is_found_and_pulled_and_found_again(run, tmp_path: Path, hub: FakeHub) -> None:
    hub.files["someone/Tiny-GGUF/tiny-Q4_K_M.gguf"] = write_llama(tmp_path / "t.gguf").read_bytes()
    at = {"HF_ENDPOINT": hub.endpoint, "LOCALCHAT_HUB_TOKEN": "hf_mine"}
    assert "someone/Tiny-GGUF\n    0 downloads" in run("search", "tiny", **at)
    assert "Nothing was found" in run("search", "huge", **at)
    said = run("pull", "someone/Tiny-GGUF:q4_k_m", **at)
    assert "tiny-Q4_K_M.gguf" in said
    assert (tmp_path / "models" / "someone" / "Tiny-GGUF" / "tiny-Q4_K_M.gguf").is_file()
    assert "tiny-Q4_K_M.gguf" in run("list")
    asked = [(path, headers.get("authorization")) for _, path, headers in hub.requests if "/storage/" not in path]
    assert {token for path, token in asked if path.startswith(("/api/models", "/someone"))} == {"Bearer hf_mine"}, asked
    assert "shows no repository someone/Other" in run("pull", "someone/Other", status=1, **at)
    assert "is no name of a repository" in run("pull", "tiny", status=1, **at)
    assert "private network" in run("pull", "https://127.0.0.1/m.gguf", status=1, **at)
    assert "hf_mine" not in run("pull", "someone/Tiny-GGUF:Q2_K", status=1, **at)
