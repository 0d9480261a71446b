"""What is told of a model before it is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localchat_ui.conversation import GenerationStats
from localchat_ui.library import forecast as module
from localchat_ui.library.calibration import Calibration
from localchat_ui.library.estimate import Shape
from localchat_ui.library.fit import MemoryCheck
from localchat_ui.library.forecast import Forecast, Forecaster
from localchat_ui.library.model_file import ModelFile

GB = 10**9
SHAPE = Shape(n_vocab=32_000, n_embd=4096, n_ff=14_336, n_head=32, kv_width=65_536, active_weights=7 * GB)
BIG = ModelFile(Path("big.gguf"), "big", 7 * GB, "Q4_K_M", 4 * GB, 32_768, None, False, SHAPE)


@pytest.fixture
def forecaster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forecaster:
    monkeypatch.setattr(module, "free_memory", lambda: 6 * GB)
    return Forecaster(
        MemoryCheck(4096, 4), Calibration(tmp_path / "speed.json"), n_ctx=4096, reclaimable=lambda: 2 * GB
    )


def test_it_says_what_is_known(forecaster: Forecaster) -> None:
    assert forecaster.of_file(BIG).text == "tight: about 6.6 GB of memory"
    for _ in range(2):
        forecaster.learn(BIG, GenerationStats(reply_tokens=50, tokens_per_second=10))
    assert forecaster.of_file(BIG).text == "tight: about 6.6 GB of memory · about 9–11 tokens per second"
    assert forecaster.of_file(BIG).short == "tight · about 9–11 tokens per second"
    assert forecaster.of_file(BIG, is_loaded=True).text == "about 9–11 tokens per second"
    assert forecaster.of_file(BIG).sheet["Speed here"] == "about 9–11 tokens per second, as measured here"
    # Of one that does not fit no speed is told: it would be another one.
    assert forecaster.of(40 * GB, SHAPE).short == "too big"
    assert "per second" not in forecaster.of(40 * GB, SHAPE).text
    assert Forecast().text == Forecast().short == ""


@given(
    weights=st.integers(10**8, 10**10),
    kv_width=st.integers(0, 10**5),
    free=st.integers(10**8, 10**10),
    n_ctx=st.sampled_from([512, 4096, 32_768, 131_072]),
)
def test_what_would_make_it_fit_does(weights: int, kv_width: int, free: int, n_ctx: int) -> None:
    shape = Shape(n_vocab=32_000, n_embd=1024, n_ff=4096, n_head=16, kv_width=kv_width)
    verdict = MemoryCheck(n_ctx, 4).verdict(weights, shape, free=free)
    if verdict.fits:
        assert not verdict.advice
        return
    tokens = re.search(r"N_CTX=(\d+)", verdict.advice)
    kv_type = "q8_0" if "KV_TYPE=q8_0" in verdict.advice else "f16"
    if tokens or kv_type == "q8_0":
        changed = MemoryCheck(int(tokens[1]) if tokens else n_ctx, 4, kv_type)  # type: ignore[arg-type]
        assert changed.verdict(weights, shape, free=free).fits
    else:
        assert "take a smaller quantisation or model" in verdict.advice
