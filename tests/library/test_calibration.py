"""What is learnt of this machine's speed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import psutil
import pytest

from localchat_ui.conversation import GenerationStats
from localchat_ui.library import calibration as module
from localchat_ui.library.calibration import Calibration
from localchat_ui.library.estimate import UNKNOWN
from localchat_ui.library.speed import Range, Speed, Work, work_of

NAMES = ("Q4_K", "Q8_0", "F16")
# Of eight billion weights in Q4_K_M and of one billion; of one billion with 16 bits each.
BIG, SMALL = Work(4.85e9, 8e9, 8e9), Work(0.6e9, 1e9, 1e9)
WIDE = Work(2e9, 1e9, 1e9)


def reply(speed: float, *, n_tokens: int = 50, n_read: int = 0, seconds: float = 1.0) -> GenerationStats:
    return GenerationStats(
        prompt_tokens=n_read, reply_tokens=n_tokens, tokens_per_second=speed, seconds_to_first_token=seconds
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "speed.json"


def test_of_nothing_nothing_is_told(file: Path) -> None:
    known = Calibration(file)
    assert not known.is_known
    assert known.forecast("x", BIG) is None
    known.learn("x", SMALL, reply(500, n_tokens=3))
    known.learn("x", SMALL, reply(0.0))
    known.learn("x", SMALL, reply(float("inf")))
    assert not known.is_known


def test_others_are_forecast_by_what_they_need(file: Path) -> None:
    known = Calibration(file)
    known.learn("small", SMALL, reply(40, n_read=500, seconds=2.5))
    speed = known.forecast("big", BIG)
    assert speed is not None
    assert speed.decode.low < 40 / 8 < speed.decode.high
    assert speed.decode.high < 2 * speed.decode.low
    assert speed.prompt is not None
    assert speed.prompt.low < 200 / 8 < speed.prompt.high
    # One that is packed otherwise may be bound by its bytes or by its weights.
    other = known.forecast("wide", WIDE)
    assert other is not None
    assert other.decode.low < 12
    assert other.decode.high > 40
    # One that is packed alike tells more than one that is not.
    known.learn("wide", WIDE, reply(30))
    assert known.forecast("big", BIG) == speed


def test_a_model_that_was_seen_is_what_it_was(file: Path) -> None:
    known = Calibration(file)
    for speed in (10, 40, 41, 42, 90):
        known.learn("small", SMALL, reply(speed))
    seen = known.forecast("small", SMALL)
    assert seen is not None
    assert seen.is_seen
    assert 35 < seen.decode.low < 41 < seen.decode.high < 50
    # Another file of that name is another model.
    other = known.forecast("small", BIG)
    assert other is not None
    assert not other.is_seen


def test_it_is_kept_for_this_machine_alone(file: Path) -> None:
    known = Calibration(file)
    for _ in range(100):
        known.learn("small", SMALL, reply(40))
    known.save()
    assert Calibration(file).forecast("small", SMALL) == known.forecast("small", SMALL)
    assert file.stat().st_size < 2000
    for other in (Calibration(file, n_threads=99), Calibration(file, kind="a graphics card")):
        assert not other.is_known
    for broken in (b"", b"[]", file.read_bytes().replace(b'"n_bytes":', b'"n_bytes":-'), b"\xff"):
        file.write_bytes(broken)
        assert not Calibration(file).is_known
    file.unlink()
    file.mkdir()
    Calibration(file).save()


async def test_a_moment_of_computing_is_enough(file: Path) -> None:
    known = Calibration(file, n_threads=1)
    await known.measure()
    assert not [child for child in psutil.Process().children() if "measure" in " ".join(child.cmdline())]
    for work in (BIG, WIDE):
        speed = known.forecast("x", work)
        assert speed is not None
        assert speed.prompt is not None
        assert 0 < speed.decode.low < speed.decode.high < speed.prompt.high
    assert Calibration(file, n_threads=1).is_known


async def test_a_measurement_that_fails_is_no_harm(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in (("/no/such/program",), ("sh", "-c", "echo; echo nonsense"), ("false",)):
        monkeypatch.setattr(module, "MEASURE", command)
        known = Calibration(file)
        await known.measure()
        assert not known.is_known


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (38.2, 61.7, "about 38–62 tokens per second"),
        (123, 187, "about 120–190 tokens per second"),
        (39.8, 40.2, "about 40 tokens per second"),
        (4, 7.26, "about 4–7.3 tokens per second"),
        (0.41, 1, "slow: about 0.4–1 tokens per second"),
    ],
)
def test_a_speed_is_told_in_numbers_nobody_takes_for_exact(low: float, high: float, text: str) -> None:
    assert Speed(Range(low, high)).text == text


def test_without_a_shape_a_file_counts_whole() -> None:
    work = work_of(10**9, UNKNOWN)
    assert (work.n_bytes, round(work.bits, 2)) == (10**9, 4.85)


async def test_a_machine_that_is_busy_is_measured_again_later(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def let_it_measure(share: float) -> None:
        trials = [{"name": name, "n_bytes": 10, "n_weights": 10, "decode": 50.0, "share": share} for name in NAMES]
        monkeypatch.setattr(module, "MEASURE", (sys.executable, "-c", f"print(); print({json.dumps(trials)!r})"))

    known = Calibration(file)
    let_it_measure(0.5)
    await known.measure()
    assert not known.is_known
    let_it_measure(0.95)
    await known.measure()
    assert known.is_measured

    # Where that is always so it is how fast this machine is.
    await asyncio.to_thread(file.unlink)
    known = Calibration(file)
    let_it_measure(0.5)
    for _ in range(3):
        assert not known.is_measured
        await known.measure()
    assert known.is_measured
