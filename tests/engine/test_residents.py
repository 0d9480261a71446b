"""Who leaves memory, on pretend models whose bytes and times are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from localchat_ui.engine import residents as module
from localchat_ui.engine.base import LoadedModel
from localchat_ui.engine.residents import Resident, Residents


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


def resident(name: str, n_bytes: int = 10, used_at: float = 0.0) -> Resident:
    info = LoadedModel(Path(name), 100, 100, has_chat_template=True)
    return Resident(info, Closable(), Closable(), None, n_bytes, (0, 0), used_at=used_at)  # type: ignore[arg-type]


def filled(residents: Residents, *members: Resident) -> Residents:
    for member in members:
        residents.add(member)
    return residents


def test_within_the_budget_everything_stays():
    residents = filled(Residents(budget=30), resident("a"), resident("b"), resident("c"))
    assert residents.take_cold() == []


def test_beyond_it_the_least_recently_used_leave_first_and_no_more_than_necessary():
    old, older, new = resident("old", used_at=2), resident("older", used_at=1), resident("new", used_at=3)
    residents = filled(Residents(budget=25), old, older, new)
    assert residents.take_cold() == [older]
    assert residents.take_cold(wanted=10) == [old]
    assert residents.all() == [new]


def test_who_is_leased_and_who_answers_next_stay_beyond_the_budget():
    leased, current = resident("leased", used_at=1), resident("current", used_at=2)
    residents = filled(Residents(budget=0), leased, current)
    residents.current = Path("current")
    assert residents.lease(Path("leased")) is leased
    assert residents.take_cold() == []
    residents.release(leased)
    assert residents.take_cold() == [leased]


def test_a_model_is_found_by_its_file_the_newest_first_and_its_old_self_leaves():
    before, after = resident("a"), resident("a")
    residents = filled(Residents(budget=0), before, after)
    residents.current = Path("a")
    assert residents.lease(Path("a")) is after
    assert residents.lease(Path("b")) is None
    assert residents.take_cold() == [before]


def test_a_file_that_changed_is_not_taken_for_the_one_that_was_loaded(tmp_path: Path):
    file = tmp_path / "model.gguf"
    file.write_bytes(b"one")
    residents = filled(Residents(), resident(str(file)))
    assert residents.lease(file) is not None
    assert residents.lease(file, unchanged=True) is None


def test_idle_models_leave_even_the_current_one(clock: Clock):
    residents = Residents(budget=100, idle_seconds=60)
    assert residents.seconds_to_idle() is None
    filled(residents, resident("current", used_at=100), resident("other", used_at=90))
    residents.current = Path("current")
    assert residents.seconds_to_idle() == 50
    clock.now = 150
    assert [gone.info.path.name for gone in residents.take_cold()] == ["other"]
    leased = residents.lease(Path("current"))
    clock.now = 1000
    assert residents.seconds_to_idle() is None
    assert residents.take_cold() == []
    assert leased is not None
    residents.release(leased)
    assert residents.take_cold() == [], "its time begins anew"
    clock.now = 1060
    assert residents.take_cold() == [leased]
