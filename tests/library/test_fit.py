"""Whether models fit; whether the numbers are true is asked in test_estimate.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from localchat_ui.library import fit
from localchat_ui.library.estimate import Shape
from localchat_ui.library.fit import MemoryCheck, free_memory
from localchat_ui.library.model_file import ModelFile

GB = 10**9


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda size: monkeypatch.setattr(fit, "free_memory", lambda: size)


# Of a model of 7 billion parameters; 131,072 bytes for each token of context.
SHAPE = Shape(n_vocab=32000, n_embd=4096, n_ff=14336, n_head=32, kv_width=65536)


def model(name: str = "big", size: int = 4 * GB) -> ModelFile:
    return ModelFile(Path(f"{name}.gguf"), name, None, "", size, 32768, None, False, SHAPE)


def test_what_fits_is_not_refused(free: Callable[[int], None]):
    free(7 * GB)
    assert MemoryCheck(4096, 4).refusal(model()) is None


def test_models_that_may_leave_count_as_room(free: Callable[[int], None]):
    free(2 * GB)
    assert MemoryCheck(4096, 4).refusal(model()) is not None
    assert MemoryCheck(4096, 4).refusal(model(), reclaimable=5 * GB) is None


def test_two_that_fit_alone_may_not_fit_together(free: Callable[[int], None]):
    free(7 * GB)
    check = MemoryCheck(4096, 4)
    assert check.fit_together([model()])
    assert not check.fit_together([model(), model("other")])
    assert check.fit_together([model(), model("other")], reclaimable=7 * GB)


def test_a_refusal_tells_the_numbers_and_the_context_that_would_fit(free: Callable[[int], None]):
    free(8 * GB)
    assert MemoryCheck(32768, 4).refusal(model()) == (
        "big does not fit into memory: it needs about 22 GB (4 GB for the model, 17 GB for 4 × 32,768 tokens of"
        " context), and 8 GB are free. It would fit with N_CTX=4096."
    )


def test_when_no_context_helps_it_names_the_largest_model_that_would_fit(free: Callable[[int], None]):
    others = [model("tiny", GB // 10), model("small", GB), model("broken", GB * 2), model()]
    others[2] = ModelFile(Path("broken.gguf"), "broken", None, "", 2 * GB, 0, "it is broken", False)
    free(3 * GB)
    refusal = MemoryCheck(512, 1).refusal(model(), others)
    assert refusal is not None
    assert refusal.endswith("3 GB are free. small (1 GB) would fit.")


def test_when_nothing_fits_it_says_what_to_do(free: Callable[[int], None]):
    free(GB)
    refusal = MemoryCheck(512, 1).refusal(model(), [model()])
    assert refusal is not None
    assert refusal.endswith("Close other programs, or choose a smaller file.")


@pytest.mark.parametrize(("n_ctx", "tokens"), [(0, 32768), (4096, 4096), (100_000, 32768)])
def test_the_context_is_the_setting_or_what_the_model_can_do(n_ctx: int, tokens: int):
    assert MemoryCheck(n_ctx, 2).need(model()).context == 2 * tokens * 131072


def test_a_container_has_less_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert 0 < free_memory() <= psutil.virtual_memory().total
    monkeypatch.setattr(fit, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("500000000\n")
    (tmp_path / "memory.current").write_text("450000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 20000000\n")
    assert free_memory() == 70_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 70_000_000


@pytest.mark.parametrize(
    ("free", "text"),
    [
        (2_000_000_000, "fits well: about 1.1 GB of memory"),
        (1_200_000_000, "tight: about 1.1 GB of memory"),
        (1_000_000_000, "too big: about 1.1 GB of memory; fits with KV_TYPE=q8_0"),
        (800_000_000, "too big: about 1.1 GB of memory; fits with N_CTX="),
        (300_000_000, "too big: about 1.1 GB of memory; 300 MB are free; take a smaller"),
    ],
)
def test_a_verdict_says_what_would_make_it_fit(monkeypatch: pytest.MonkeyPatch, free: int, text: str) -> None:
    monkeypatch.setattr(fit, "free_memory", lambda: free)
    shape = Shape(n_vocab=32_000, n_embd=1024, n_ff=4096, n_head=16, kv_width=12_000)
    assert MemoryCheck(4096, 4).verdict(500_000_000, shape, 8192).text.startswith(text)


def test_of_an_unknown_shape_it_is_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "free_memory", lambda: 10**12)
    assert MemoryCheck(4096, 4).verdict(500_000_000).text.startswith("fits well: at least 5")
