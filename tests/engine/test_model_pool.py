"""Who leaves memory, on pretend models whose bytes and times are known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from localchat_ui.engine import model_pool as module
from localchat_ui.engine.base import LoadedModel
from localchat_ui.engine.load_changes import LoadChanges
from localchat_ui.engine.model_pool import ModelPool, PooledModel


class Closable:
    def close(self) -> None: ...


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def model(name: str, n_bytes: int = 10, used_at: float = 0.0) -> PooledModel:
    info = LoadedModel(Path(name), 100, 100, has_chat_template=True)
    return PooledModel(info, Closable(), Closable(), None, n_bytes, (0, 0, 0), used_at=used_at)  # type: ignore[arg-type]


def filled(pool: ModelPool, *members: PooledModel) -> ModelPool:
    for member in members:
        pool.add(member)
    return pool


def test_within_the_budget_everything_stays():
    pool = filled(ModelPool(budget=30), model("a"), model("b"), model("c"))
    assert pool.take_cold() == []


def test_beyond_it_the_least_recently_used_leave_first_and_no_more_than_necessary():
    old, older, new = model("old", used_at=2), model("older", used_at=1), model("new", used_at=3)
    pool = filled(ModelPool(budget=25), old, older, new)
    assert pool.take_cold() == [older]
    assert pool.take_cold(wanted=10) == [old]
    assert pool.all() == [new]


def test_who_is_leased_and_who_answers_next_stay_beyond_the_budget():
    leased, current = model("leased", used_at=1), model("current", used_at=2)
    pool = filled(ModelPool(budget=0), leased, current)
    pool.current = Path("current")
    assert pool.lease(Path("leased")) is leased
    assert pool.take_cold() == []
    pool.release(leased)
    assert pool.take_cold() == [leased]


def test_a_model_is_found_by_its_file_the_newest_first_and_its_old_self_leaves():
    before, after = model("a"), model("a")
    pool = filled(ModelPool(budget=0), before, after)
    pool.current = Path("a")
    assert pool.lease(Path("a")) is after
    assert pool.lease(Path("b")) is None
    assert pool.take_cold() == [before]


def test_a_file_that_changed_is_not_taken_for_the_one_that_was_loaded(tmp_path: Path):
    file = tmp_path / "model.gguf"
    file.write_bytes(b"one")
    pool = filled(ModelPool(), model(str(file)))
    assert pool.lease(file) is not None
    assert pool.lease(file, unchanged=True) is None
    assert not pool.holds(file)


def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time_is_another(tmp_path: Path):
    file, other = tmp_path / "model.gguf", tmp_path / "other.gguf"
    for each in (file, other):
        each.write_bytes(b"one")
        os.utime(each, (1, 1))
    loaded = model(str(file))
    loaded.stamp = module.stamp_of(file)
    pool = filled(ModelPool(), loaded)
    assert pool.holds(file)
    other.replace(file)
    assert not pool.holds(file)


def test_a_model_that_is_to_be_loaded_otherwise_is_another_and_its_old_self_leaves_at_once():
    before, after = model("a"), model("a")
    before.stamp = after.stamp = module.stamp_of(Path("a"))
    after.changes = LoadChanges(n_ctx=512)
    pool = filled(ModelPool(budget=100), before)
    pool.current = Path("a")
    assert pool.holds(Path("a"))
    pool.configure(Path("a"), after.changes)
    assert not pool.holds(Path("a"))
    assert pool.lease(Path("a"), unchanged=True) is None
    writing = pool.lease(Path("a"))
    assert writing is before, "until it is loaded anew it goes on as it is"
    filled(pool, after)
    assert pool.take_cold() == [], "a reply is finished as it began"
    pool.release(before)
    assert pool.take_cold() == [before]
    assert pool.lease(Path("a"), unchanged=True) is after


def test_who_would_leave_is_told_and_stays():
    old, current = model("old", used_at=1), model("current", used_at=2)
    pool = filled(ModelPool(budget=20), old, current)
    pool.current = Path("current")
    assert pool.leaving(Path("current")) == []
    assert pool.leaving(Path("nothing, which has no bytes")) == []
    small = filled(ModelPool(budget=15), old, current)
    assert small.leaving(Path("current")) == [old]
    assert pool.all() == [old, current]


def test_idle_models_leave_even_the_current_one(clock: Clock):
    pool = ModelPool(budget=100, idle_seconds=60)
    assert pool.seconds_to_idle() is None
    filled(pool, model("current", used_at=100), model("other", used_at=90))
    pool.current = Path("current")
    assert pool.seconds_to_idle() == 50
    clock.now = 150
    assert [gone.info.path.name for gone in pool.take_cold()] == ["other"]
    leased = pool.lease(Path("current"))
    clock.now = 1000
    assert pool.seconds_to_idle() is None
    assert pool.take_cold() == []
    assert leased is not None
    pool.release(leased)
    assert pool.take_cold() == [], "its time begins anew"
    clock.now = 1060
    assert pool.take_cold() == [leased]
