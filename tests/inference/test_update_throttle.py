from __future__ import annotations

from collections import namedtuple

import psutil
import pytest

from localchat_ui.inference import update_throttle
from localchat_ui.inference.update_throttle import CALM_SECONDS, QUICK_SECONDS, UpdateThrottle

Times = namedtuple("Times", "user system idle")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(psutil, "cpu_times", lambda: machine.times)
    monkeypatch.setattr(update_throttle.time, "monotonic", lambda: machine.now)
    return machine


class Machine:
    """Two cores and a clock."""

    now = 100.0
    times = Times(50.0, 10.0, 500.0)

    def goes_on(self, seconds: float, idle: float) -> None:
        user, system, rested = self.times
        self.now += seconds
        self.times = Times(user + seconds * 2 * (1 - idle), system, rested + seconds * 2 * idle)


def test_pieces_come_quickly_at_first_and_while_a_core_is_free(machine: Machine):
    rate = UpdateThrottle()
    assert rate.measure() == QUICK_SECONDS
    machine.goes_on(1, idle=0.4)
    assert rate.measure() == QUICK_SECONDS


def test_they_come_half_as_often_while_all_cores_are_busy_and_quickly_again_afterwards(machine: Machine):
    rate = UpdateThrottle()
    machine.goes_on(1, idle=0.02)
    assert rate.measure() == CALM_SECONDS
    machine.goes_on(1, idle=0.5)
    assert rate.measure() == QUICK_SECONDS


def test_a_moment_is_too_short_to_be_judged(machine: Machine):
    rate = UpdateThrottle()
    machine.goes_on(0.1, idle=0)
    assert rate.measure() == QUICK_SECONDS


def test_a_clock_that_stands_still_changes_nothing(machine: Machine):
    rate = UpdateThrottle()
    machine.now += 1
    assert rate.measure() == QUICK_SECONDS


def test_the_real_machine_can_be_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(update_throttle, "MEASURE_SECONDS", 0)
    assert UpdateThrottle().measure() in (QUICK_SECONDS, CALM_SECONDS)
