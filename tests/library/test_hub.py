"""Looking around on a hub on loopback, with the real client."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from localchat_ui.library.errors import ConnectionLostError, DownloadError
from localchat_ui.library.estimate import shape_of
from localchat_ui.library.gguf_header import GgufHeader, read_header
from localchat_ui.library.hub import HEADER_BYTES, Hub
from localchat_ui.library.source import Source
from tests.library.fake_hub import FakeHub
from tests.library.tiny import write_llama

REPO = "someone/Tiny-GGUF"


@pytest.fixture
def looked(hub: FakeHub) -> Hub:
    hub.files |= {
        f"{REPO}/tiny-Q4_K_M.gguf": b"x" * 400,
        f"{REPO}/tiny-Q8_0.gguf": b"x" * 800,
        f"{REPO}/README.md": b"#",
        "other/Large-GGUF/large-Q4_K_M.gguf": b"x",
        "other/words/README.md": b"#",
    }
    hub.about["other/Large-GGUF"] = {"downloads": 1_234_567, "likes": 340, "gated": "manual"}
    hub.about[REPO] = {"downloads": 12, "tags": ["gguf", "license:apache-2.0"]}
    return Hub(lambda: "hf_mine", hub.endpoint)


async def test_a_search_tells_what_people_choose_by(looked: Hub, hub: FakeHub) -> None:
    found = await looked.search("gguf")
    assert [(each.id, each.details) for each in found] == [
        ("other/Large-GGUF", "1M downloads · 340 likes · terms to accept first"),
        (REPO, "12 downloads · 0 likes · licence apache-2.0"),
    ]
    assert await looked.search("no such thing") == []
    asked = hub.requests[0]
    assert "filter=gguf" in asked[1]
    assert asked[2]["authorization"] == "Bearer hf_mine"


async def test_a_repository_offers_its_quantisations(looked: Hub) -> None:
    repository = await looked.repository(REPO)
    assert [(offer.quantisation, offer.size) for offer in repository.offers] == [("Q4_K_M", 400), ("Q8_0", 800)]
    assert len(repository.offers[0].files[0].sha256) == 64
    for source, name in (
        (Source(REPO), "tiny-Q4_K_M.gguf"),
        (Source(REPO, quantisation="q8_0"), "tiny-Q8_0.gguf"),
        (Source(REPO, "tiny-Q8_0.gguf"), "tiny-Q8_0.gguf"),
    ):
        assert (await looked.offer(source))[1].name == name
    with pytest.raises(DownloadError, match=r"has no Q2_K\. Choose one of these: Q4_K_M, Q8_0\."):
        await looked.offer(Source(REPO, quantisation="Q2_K"))
    with pytest.raises(DownloadError, match="has no GGUF files"):
        await looked.repository("other/words")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "GatedRepo", "wants its terms accepted first"),
        (401, "", "set HF_TOKEN"),
        (403, "", "refuses access"),
        (404, "RepoNotFound", "shows no repository"),
        (429, "", "busy or broken"),
        (500, "", "busy or broken"),
        (418, "", "is broken"),
    ],
)
async def test_a_failure_says_which_it_is(looked: Hub, hub: FakeHub, status: int, code: str, words: str) -> None:
    hub.refusals[REPO] = (status, code)
    with pytest.raises(DownloadError, match=words) as caught:
        await looked.repository(REPO)
    assert isinstance(caught.value, ConnectionLostError) == (status in (429, 500))
    assert "hf_mine" not in str(caught.value)


async def test_without_network_it_says_so() -> None:
    with pytest.raises(ConnectionLostError, match=r"No connection to 127\.0\.0\.1:9 .*Check the network"):
        await Hub(endpoint="http://127.0.0.1:9").search("x")


async def test_a_name_that_is_none_is_the_name() -> None:
    with pytest.raises(DownloadError, match="not the name of a repository"):
        await Hub(endpoint="http://127.0.0.1:9").repository("a/b/c")


def beginning_of(path: Path) -> GgufHeader:
    """All that is known of a file before its tensors are."""
    return GgufHeader(read_header(path).values, {})


async def test_the_shape_of_a_remote_file_needs_its_beginning_alone(looked: Hub, hub: FakeHub, smollm: Path) -> None:
    hub.files[f"{REPO}/tiny-Q4_K_M.gguf"] = await asyncio.to_thread(smollm.read_bytes)
    _, offer = await looked.offer(Source(REPO))
    shape, context = await looked.shape(REPO, offer)
    assert (shape, context) == (shape_of(beginning_of(smollm)), 8192)
    assert hub.bytes_sent <= HEADER_BYTES


async def test_a_small_file_is_read_whole_and_one_that_is_none_is_said(looked: Hub, hub: FakeHub, tmp_path) -> None:
    tiny = write_llama(tmp_path / "m.gguf", n_ctx=2048)
    hub.files[f"{REPO}/tiny-Q4_K_M.gguf"] = tiny.read_bytes()
    repository = await looked.repository(REPO)
    assert await looked.shape(REPO, repository.offers[-1]) == (shape_of(beginning_of(tiny)), 2048)
    with pytest.raises(DownloadError, match="is not a GGUF file"):
        await looked.shape(REPO, repository.offers[0])
