from __future__ import annotations

import os
from pathlib import Path

import pytest

from localchat_ui.library import removal
from localchat_ui.library.errors import RemovalError
from localchat_ui.library.removal import remove_files


def write(path: Path, size: int = 10) -> Path:
    path.write_bytes(b"x" * size)
    return path


def test_a_file_is_gone_and_its_bytes_are_free(tmp_path: Path) -> None:
    assert remove_files(write(tmp_path / "a.gguf")) == 10
    assert not list(tmp_path.iterdir())


def test_all_parts_go_together_and_nothing_else(tmp_path: Path) -> None:
    first = write(tmp_path / "big-00001-of-00003.gguf", 1)
    write(tmp_path / "big-00002-of-00003.gguf", 2)
    write(tmp_path / "big-00003-of-00003.gguf", 3)
    others = ["big-00001-of-00002.gguf", "bigger-00002-of-00003.gguf", "big.gguf", "b.g-00002-of-00003.gguf"]
    for name in others:
        write(tmp_path / name)
    assert remove_files(first) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    target = write(tmp_path / "kept")
    (tmp_path / "soft.gguf").symlink_to(target)
    os.link(target, tmp_path / "hard.gguf")
    assert remove_files(tmp_path / "soft.gguf") == remove_files(tmp_path / "hard.gguf") == 0
    assert list(tmp_path.iterdir()) == [target]


def test_what_the_disk_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    file = write(tmp_path / "a.gguf")
    monkeypatch.setattr(removal.Path, "unlink", refuse)
    with pytest.raises(RemovalError, match=r"a\.gguf cannot be removed: Permission denied\."):
        remove_files(file)


def test_one_that_is_gone_already_frees_nothing(tmp_path: Path) -> None:
    assert remove_files(tmp_path / "a.gguf") == 0
