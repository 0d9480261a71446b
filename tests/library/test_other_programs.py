"""Models of other programs, in trees as those lay them out: the files in them are links to the real small one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from localchat_ui.inference.model_ref import refs_of
from localchat_ui.library import other_programs, scan
from localchat_ui.library.catalog import Catalog
from localchat_ui.library.errors import RemovalError
from localchat_ui.settings import OTHER_PROGRAMS
from tests.library.tiny import write_llama

HASH = "ab" * 32
OTHER = "cd" * 32


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's home folder, in which nothing is yet."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.setattr(scan, "STARTER_PACKAGE", "no_such_package")
    monkeypatch.setattr(other_programs, "OLLAMA_SERVICES", ())
    for name in ("OLLAMA_MODELS", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def link(smollm: Path) -> Callable[[Path], Path]:
    """Puts the small model somewhere, as a file of its own name and inode."""

    def link(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(smollm)
        return path

    return link


@pytest.fixture
def catalog(tmp_path: Path) -> Callable[..., Catalog]:
    (tmp_path / "models").mkdir()
    return lambda *programs: Catalog(
        tmp_path / "models", tmp_path / "cache.json", n_ctx=4096, programs=programs or OTHER_PROGRAMS
    )


def manifest(root: Path, place: str, digest: str = f"sha256:{HASH}") -> None:
    file = root / place
    file.parent.mkdir(parents=True, exist_ok=True)
    layers = [
        {"mediaType": "application/vnd.ollama.image.template", "digest": f"sha256:{OTHER}", "size": 1},
        {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": 98_362_432},
    ]
    file.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))


async def listed(catalog: Catalog) -> list[tuple[str, str]]:
    return [(model.name, model.origin) for model in await catalog.refresh()]


async def test_models_of_ollama_are_called_as_it_calls_them(home: Path, link, catalog, tmp_path: Path) -> None:
    root = home / ".ollama" / "models"
    blob = link(root / "blobs" / f"sha256-{HASH}")
    manifest(root, "manifests/registry.ollama.ai/library/smollm2/135m-instruct-q4_1")
    it = catalog("ollama")
    [model] = await it.refresh()
    assert (model.name, model.origin, model.path) == ("smollm2:135m-instruct-q4_1", "Ollama", blob)
    assert model.details == "135M · Q4_1 · 98 MB · 4k of 8k context · from Ollama"
    assert model.sheet["Belongs to"] == "Ollama"
    assert [ref.id for ref in refs_of([model], it.models_dir).values()] == ["smollm2:135m-instruct-q4_1"]
    assert it.find("smollm2:135m-instruct-q4_1") == model
    assert await it.try_load(model, lambda share: None) is None
    with pytest.raises(RemovalError, match="belongs to another program"):
        await it.remove(model)
    assert blob.exists()
    assert not list(catalog("lmstudio").models)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("manifests/registry.ollama.ai/library/llama3.2/3b", "llama3.2:3b"),
        ("manifests/registry.ollama.ai/mattw/pygmalion/latest", "mattw/pygmalion:latest"),
        ("manifests/hf.co/bartowski/Llama-3.2-3B-GGUF/Q4_K_M", "hf.co/bartowski/Llama-3.2-3B-GGUF:Q4_K_M"),
        ("manifests-v2/ollama.com/library/qwen3/8b", "qwen3:8b"),
        ("manifests/hub/qwen3/8b", "hub/qwen3:8b"),
    ],
)
def test_names_of_ollama(home: Path, link, tmp_path: Path, place: str, name: str) -> None:
    root = home / ".ollama" / "models"
    link(root / "blobs" / f"sha256-{HASH}")
    manifest(root, place)
    assert [file.label for file in scan.find_files(tmp_path / "models", programs=["ollama"])] == [name]


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "null", "{", '{"layers": 1}', '{"layers": [1]}', '{"layers": [{}]}', "[" * 100_000,
        json.dumps({"layers": [{"mediaType": other_programs.OLLAMA_MODEL, "digest": "sha256:../../secret"}]}),
        json.dumps({"layers": [{"mediaType": other_programs.OLLAMA_MODEL, "digest": f"sha256:{OTHER}"}]}),
        json.dumps({"layers": [{"mediaType": other_programs.OLLAMA_MODEL, "digest": None}]}),
    ],
)  # fmt: skip
def test_what_cannot_be_read_of_ollama_is_passed_over(home: Path, link, tmp_path: Path, content: str) -> None:
    root = home / ".ollama" / "models"
    link(root / "blobs" / f"sha256-{HASH}")
    manifest(root, "manifests/registry.ollama.ai/library/good/1")
    (root / "manifests" / "registry.ollama.ai" / "library" / "bad").mkdir()
    (root / "manifests" / "registry.ollama.ai" / "library" / "bad" / "1").write_text(content)
    (root / "manifests" / "lonely").write_text(content)
    (root / "manifests" / "circle").symlink_to("circle")
    assert [file.label for file in scan.find_files(tmp_path / "models", programs=["ollama"])] == ["good:1"]


async def test_lm_studio_and_the_cache_of_the_hub_are_found_where_they_are(home: Path, link, catalog) -> None:
    link(home / ".lmstudio" / "models" / "someone" / "Small-GGUF" / "small-Q4_1.gguf")
    assert await listed(catalog("lmstudio")) == [("small", "LM Studio")]
    # Where its settings say, and where its home was moved to.
    (home / ".lmstudio" / "settings.json").write_text(json.dumps({"downloadsFolder": str(home / "big disk")}))
    (home / ".lmstudio-home-pointer").write_text(str(home / "moved"))
    assert other_programs.PROGRAMS["lmstudio"].roots()[:2] == [home / "big disk", home / "moved" / "models"]

    cache = home / ".cache" / "huggingface" / "hub" / "models--someone--Small-GGUF"
    blob = link(cache / "blobs" / OTHER)
    snapshot = cache / "snapshots" / "0123abc" / "small-Q4_1.gguf"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(f"../../blobs/{blob.name}")
    assert await listed(catalog("huggingface")) == [("small", "Hugging Face")]


async def test_a_file_that_several_have_is_listed_once(home: Path, catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its inode, or by the hash that two of them keep it under; the user's own comes first."""
    store = home / ".ollama" / "models"
    (store / "blobs").mkdir(parents=True)
    write_llama(store / "blobs" / f"sha256-{HASH}")
    for tag in ("latest", "135m"):
        manifest(store, f"manifests/registry.ollama.ai/library/smollm2/{tag}")
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "elsewhere"))
    cache = home / "elsewhere" / "models--a--b"
    (cache / "blobs").mkdir(parents=True)
    (cache / "blobs" / HASH).write_bytes(b"a copy, which is never read")
    for commit in ("1", "2"):
        (cache / "snapshots" / commit).mkdir(parents=True)
        (cache / "snapshots" / commit / "b.gguf").symlink_to(f"../../blobs/{HASH}")
    it = catalog()
    assert await listed(it) == [("smollm2:135m", "Ollama")]
    (it.models_dir / "mine.gguf").symlink_to(store / "blobs" / f"sha256-{HASH}")
    assert await listed(it) == [("mine", "")]


async def test_a_folder_of_theirs_that_is_linked_into_ours_stays_theirs(home: Path, catalog) -> None:
    theirs = home / ".lmstudio" / "models" / "someone" / "Small-GGUF"
    theirs.mkdir(parents=True)
    write_llama(theirs / "small.gguf")
    it = catalog()
    (it.models_dir / "all").symlink_to(home / ".lmstudio" / "models")
    [model] = await it.refresh()
    assert not it.owns(model)
    # A link to a file of theirs is ours, and only the link goes.
    (it.models_dir / "all").unlink()
    (it.models_dir / "one.gguf").symlink_to(theirs / "small.gguf")
    [model] = await it.refresh()
    assert it.owns(model)
    assert await it.remove(model) == 0
    assert (theirs / "small.gguf").is_file()
