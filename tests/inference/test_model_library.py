"""Who may do what with the library."""

from __future__ import annotations

from pathlib import Path

import pytest

from localchat_ui.inference import ModelLibrary
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.library.checksums import Checksums
from localchat_ui.library.errors import LibraryError
from localchat_ui.library.hub import Hub
from localchat_ui.library.hub_token import HubToken
from localchat_ui.library.offers import Offer, RemoteFile
from localchat_ui.library.queue import DownloadQueue, Job, JobFile
from localchat_ui.library.source import Source


def new_download(*_: object) -> object:
    raise AssertionError("nothing may be downloaded")


@pytest.fixture
def plain(tmp_path: Path) -> ModelLibrary:
    """The library as somebody sees it who is no administrator."""
    token = HubToken("", tmp_path / "hub-token")
    queue = DownloadQueue(tmp_path, tmp_path / "downloads.json", new_download)  # type: ignore[arg-type]
    hub = Hub(token, "http://127.0.0.1:9")
    checksums = Checksums(tmp_path / "checksums.json")
    return ModelLibrary(None, None, queue, hub, token, checksums=checksums, is_admin=lambda: False)  # type: ignore[arg-type]


async def test_only_administrators_manage(plain: ModelLibrary, tmp_path: Path) -> None:
    job = Job("a/b", "a/b", (JobFile("m.gguf"),))
    model = ModelRef.of_path(tmp_path / "m.gguf")
    assert not plain.may_manage
    assert not plain.may_remove(model)
    for act in (
        lambda: plain.remove(model),
        lambda: plain.search("x"),
        lambda: plain.repository("a/b"),
        lambda: plain.pull(Source("a/b")),
        lambda: plain.pull(Source(url="https://example.org/m.gguf")),
        lambda: plain.download("a/b", Offer((RemoteFile("m.gguf", 1),))),
        lambda: plain.cancel(job),
    ):
        with pytest.raises(LibraryError, match="Only administrators manage the models here"):
            await act()
    for now in (lambda: plain.pause(job), lambda: plain.resume(job), lambda: plain.keep_token("hf_x")):
        with pytest.raises(LibraryError, match="Only administrators"):
            now()
    assert plain.queue.jobs == []


def test_a_token_is_kept_where_only_its_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "data" / "hub-token"
    token = HubToken("", file)
    assert token() == ""
    token.keep(" hf_mine\n")
    assert token() == "hf_mine"
    assert file.stat().st_mode & 0o777 == 0o600
    token.keep("")
    assert not file.exists()
    for bad in ("hf_\u00e4", "hf x"):
        with pytest.raises(LibraryError, match="is no token"):
            token.keep(bad)
    assert HubToken("hf_set", file).is_configured
