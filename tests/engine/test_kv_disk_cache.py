from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from localchat_ui.engine.kv_disk_cache import KvDiskCache, SavedSequence, fingerprint
from localchat_ui.engine.loader import LoadOptions
from localchat_ui.engine.worker import LlamaEngine
from tests.engine.harness import ask

LONG = "Read this: " + ", ".join(f"ship {n} has {n * n} sails" for n in range(60)) + ". How many ships are there?"


def saved(*tokens: int, n_bytes: int = 1000) -> SavedSequence:
    return SavedSequence(list(tokens), 16, 300, np.full(n_bytes, tokens[0] % 256, np.uint8))


def written(folder: Path, *sequences: SavedSequence, budget: int = 100_000) -> KvDiskCache:
    cache = KvDiskCache(folder, budget)
    for sequence in sequences:
        cache.write(sequence)
    cache.close()
    return KvDiskCache(folder, budget)


def test_what_was_written_is_found_by_its_beginning_in_another_run(tmp_path: Path):
    cache = written(tmp_path / "model", saved(*range(400)), saved(7, *range(400)))
    found = cache.read([*range(300), 9, 9])
    assert found is not None
    assert (found.tokens, found.n_canonical, found.n_prompt) == (list(range(400)), 16, 300)
    assert cache.longest_prefix([*range(300), 9, 9]) == 300
    assert cache.longest_prefix([99]) == 0
    assert cache.read([99]) is None


def test_the_next_turn_takes_the_place_of_the_one_before(tmp_path: Path):
    written(tmp_path / "model", saved(*range(300)), saved(*range(400)))
    assert len(list(tmp_path.rglob("*.kv"))) == 1


def test_what_is_short_or_larger_than_all_room_is_not_written(tmp_path: Path):
    written(tmp_path / "model", saved(1, 2, 3), saved(*range(400), n_bytes=200_000))
    assert not list(tmp_path.rglob("*.kv"))


def test_the_least_recently_used_leaves_whatever_model_it_belongs_to(tmp_path: Path):
    written(tmp_path / "one", saved(1, *range(400), n_bytes=40_000), budget=100_000)
    written(tmp_path / "two", saved(2, *range(400), n_bytes=40_000), budget=100_000)
    cache = written(tmp_path / "two", saved(3, *range(400), n_bytes=40_000), budget=100_000)
    assert cache.longest_prefix([2, *range(400)]) == 401
    assert not list((tmp_path / "one").iterdir())


def test_a_damaged_file_is_as_none(tmp_path: Path):
    cache = written(tmp_path / "model", saved(*range(400)))
    [file] = tmp_path.rglob("*.kv")
    file.write_bytes(file.read_bytes()[:-100])
    assert cache.read(list(range(400))) is None
    cache.close()
    assert not file.exists()
    file.write_bytes(b"nonsense")
    assert KvDiskCache(tmp_path / "model", 1000).read(list(range(400))) is None


def test_a_full_disk_costs_the_cache_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "model").write_text("this is no folder")
    cache = KvDiskCache(tmp_path / "model", 100_000)
    cache.write(saved(*range(400)))
    cache.close()
    assert "could not be written" in caplog.text


def test_files_and_settings_that_differ_have_other_caches(tmp_path: Path):
    file = tmp_path / "model.gguf"
    file.write_bytes(b"a" * 3_000_000)
    first = fingerprint(file, "f16")
    assert fingerprint(file, "f16") == first != fingerprint(file, "q8_0")
    file.write_bytes(b"a" * 2_999_999 + b"b")
    assert fingerprint(file, "f16") != first


@pytest.mark.parametrize("name", ["smollm", "gemma"])
def test_a_conversation_of_yesterday_is_not_read_again(name: str, tmp_path: Path, request: pytest.FixtureRequest):
    texts, reused = [], []
    options = LoadOptions(n_ctx=2048, parallel=2, n_threads=1, kv_disk_folder=tmp_path, kv_disk_bytes=10**9)
    for _ in range(2):
        engine = LlamaEngine(options)
        engine.load(request.getfixturevalue(name), lambda share: None)
        reply = ask(engine, LONG, max_tokens=12).wait()
        engine.close()
        texts.append(reply.text)
        reused.append(reply.stats.reused_tokens)
    assert reused[0] == 0
    assert reused[1] > 400
    assert texts[0] == texts[1]
