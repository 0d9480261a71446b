"""Flash attention is chosen by what is faster here, once for each model."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from localchat_ui.engine import flash_trial
from localchat_ui.engine.flash_trial import Speed, Verdict, judge
from localchat_ui.engine.loader import LoadOptions
from localchat_ui.engine.worker import LlamaEngine


@pytest.mark.parametrize(
    ("without", "with_it", "chosen"),
    [
        (Speed(0.0130, 0.041, 4), Speed(0.0119, 0.035, 4), True),  # AMD EPYC
        (Speed(0.0075, 0.026, 8), Speed(0.0185, 0.039, 8), False),  # Intel with AMX
        (Speed(0.0100, 0.040, 4), Speed(0.0130, 0.020, 4), True),  # many gain more than one loses
        (Speed(0.0100, 0.040, 4), Speed(0.0150, 0.030, 4), False),
        (Speed(0.0100, 0.040, 4), Speed(0.0100, 0.040, 4), False),
    ],
)
def test_one_reply_and_many_count_the_same(without: Speed, with_it: Speed, chosen: bool):
    assert judge(without, with_it).flash_attention is chosen


def test_a_model_is_tried_at_its_first_load_alone(smollm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flash_trial, "SECONDS", 1e9)
    monkeypatch.setattr(flash_trial, "STEADY", 1e9)
    monkeypatch.setattr(flash_trial, "MOST_ROUNDS", 2)
    assert "ms without" in verdict(smollm, tmp_path).reason
    first = verdict(smollm, tmp_path)
    monkeypatch.setattr(flash_trial, "_try", lambda *_: (Verdict(not first.flash_attention, "again"), True))
    assert verdict(smollm, tmp_path) == first
    assert verdict(smollm, tmp_path, n_threads=3).reason == "again"


def test_what_other_work_disturbed_is_tried_again(smollm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for reason in ("once", "twice"):
        monkeypatch.setattr(flash_trial, "_try", lambda *_, reason=reason: (Verdict(True, reason), False))
        assert verdict(smollm, tmp_path).reason == reason


def test_a_damaged_file_is_no_hindrance(smollm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flash_trial, "_try", lambda *_: (Verdict(True, "tried"), True))
    (tmp_path / "trials.json").write_text('{"x": [1]')
    assert verdict(smollm, tmp_path).reason == "tried"
    monkeypatch.setattr(flash_trial, "_try", None)
    assert verdict(smollm, tmp_path).reason == "tried"


def verdict(model: Path, folder: Path, n_threads: int = 1) -> Verdict:
    """What a load of this model was decided by; it does what was decided."""
    file, made = folder / "trials.json", list[Verdict]()
    decide = flash_trial.FlashTrials.verdict
    with pytest.MonkeyPatch.context() as patch, closing(LlamaEngine(LoadOptions(
        n_ctx=256, parallel=2, n_threads=n_threads, trials=file
    ))) as engine:  # fmt: skip
        patch.setattr(flash_trial.FlashTrials, "verdict", lambda *given: made.append(decide(*given)) or made[-1])
        engine.load(model, lambda share: None)
        (loaded,) = engine._pool.all()
        assert loaded.context.block == (64 if made[0].flash_attention else 16)
    return made[0]
