"""The same conversation gives the same text on this machine, whatever runs beside it and was kept from before."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from localchat_ui.engine.loader import LoadOptions
from localchat_ui.engine.worker import LlamaEngine
from tests.engine.harness import Collected, ask
from tests.engine.tiny import write_lfm2, write_mamba

TALKS = [
    ("What is a lighthouse?",),
    ("What is a lighthouse?", "A tower with a lamp.", "Who keeps it?"),
    ("Write a poem about the sea. " + "It must not rhyme. " * 20,),
    ("List five islands.", "Crete, Malta, Skye, Java, Cuba.", "And which of them is " + "far " * 40 + "away?"),
    ("Hi",),
    ("A question about " + ", ".join(f"ship {n}" for n in range(70)) + ". Which is the best?",),
]
OPTIONS: list[dict[str, Any]] = [{"temperature": 0}, {"temperature": 1.5, "seed": 7}]


@pytest.fixture(scope="session")
def mamba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mamba(tmp_path_factory.mktemp("tiny") / "mamba.gguf")


@pytest.fixture(scope="session")
def lfm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lfm2(tmp_path_factory.mktemp("tiny") / "lfm2.gguf")


@pytest.fixture(params=["smollm", "gemma", "mamba", "lfm2"])
def path(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture
def engine(path: Path) -> Iterator[LlamaEngine]:
    engine = LlamaEngine(LoadOptions(n_ctx=1024, parallel=4, n_threads=1))
    engine.load(path, lambda share: None)
    yield engine
    engine.close()


def alone_and_cold(path: Path, talk: Sequence[str], options: dict[str, Any]) -> str:
    engine = LlamaEngine(LoadOptions(n_ctx=1024, parallel=4, n_threads=1))
    try:
        engine.load(path, lambda share: None)
        return ask(engine, *talk, max_tokens=24, **options).wait().text
    finally:
        engine.close()


@pytest.mark.parametrize("seed", range(3))
def test_every_schedule_gives_the_same_texts(engine: LlamaEngine, path: Path, seed: int):
    """Requests come at any time, in any order, twice, beside others that are random, stopped, longer or shorter."""
    random_ = random.Random(seed)
    wanted: list[tuple[int, int, Collected]] = []
    for _ in range(16):
        talk, options = random_.randrange(len(TALKS)), random_.randrange(len(OPTIONS))
        asked = ask(engine, *TALKS[talk], max_tokens=24, **OPTIONS[options])
        wanted.append((talk, options, asked))
        if random_.random() < 0.5:
            beside = ask(engine, *random_.choice(TALKS), max_tokens=random_.randrange(1, 60), temperature=1)
            if random_.random() < 0.3:
                engine.cancel(beside.request.id)
        if random_.random() < 0.5:
            asked.first_token.wait(60)
        elif random_.random() < 0.5:
            asked.wait()
    found: dict[tuple[int, int], set[str]] = {}
    for talk, options, asked in wanted:
        found.setdefault((talk, options), set()).add(asked.wait().text)
    for (talk, options), texts in found.items():
        assert texts == {alone_and_cold(path, TALKS[talk], OPTIONS[options])}, (talk, options)


@pytest.mark.parametrize("name", ["smollm", "gemma"])
def test_with_flash_attention_company_changes_no_score(name: str, request: pytest.FixtureRequest):
    """Two threads divide a row's keys among them behind 256 tokens, but only where no other sequence is decoded."""
    options = LoadOptions(n_ctx=512, parallel=3, n_batch=16, n_threads=2, flash_attention=True)
    with closing(LlamaEngine(options)) as engine:
        engine.load(request.getfixturevalue(name), lambda share: None)
        # Behind few tokens company changes nothing, which is soon trusted.
        for asked in [ask(engine, f"Hello {n}", max_tokens=20) for n in range(3)]:
            asked.wait()
        # One stays short, one grows beyond that, one is beyond it from the start.
        talks = ["Hi", "The sea, " * 73, "A ship, " * 110]
        alone = [scores_of(ask(engine, talk, top_logprobs=0, max_tokens=16)) for talk in talks]
        together = [ask(engine, talk, top_logprobs=0, max_tokens=16) for talk in talks]
        assert [scores_of(asked) for asked in together] == alone


def scores_of(asked: Collected) -> list[float | None]:
    return [token.logprob for token in asked.wait().tokens]


def test_a_request_may_do_without(engine: LlamaEngine):
    """Then nothing is read again, and what repeats the prompt is guessed."""
    talk = ("Count: one, two, three, four, five, six, seven, eight, nine, ten. Again?",)
    first = ask(engine, *talk, max_tokens=20, deterministic=False).wait()
    next_turn = (*talk, first.text or "yes", "And now?")
    assert ask(engine, *next_turn, max_tokens=5).stats.reused_tokens % 16 == 0
    # The prompt and the reply were kept, but for what the template writes otherwise behind it.
    assert ask(engine, *next_turn, max_tokens=5, deterministic=False).stats.reused_tokens > 20


def test_only_one_thread_ever_computes(smollm: Path):
    """A second living OpenMP team makes every barrier a system call: decoding would lose a third of its speed."""
    program = f"""
import threading
import time
from pathlib import Path
from localchat_ui.engine.loader import LoadOptions
from localchat_ui.engine.worker import LlamaEngine
from tests.engine.harness import ask

def threads_of_the_process():
    return len(list(Path("/proc/self/task").iterdir()))

def threads_of_openmp():
    return threads_of_the_process() - threading.active_count()

engine = LlamaEngine(LoadOptions(n_ctx=512, parallel=2, n_threads=3))
engine.load(Path({str(smollm)!r}), lambda share: None)
time.sleep(0.5)  # what has loaded the model ends by and by
before = threads_of_openmp()
ask(engine, "Hello, you there", max_tokens=3).wait()
engine.embed(["a text", "and another"])
threading.Thread(target=engine.embed, args=(["from another thread"],)).start()
ask(engine, "Hello, you there", max_tokens=3).wait()
engine.embed(["the last"])
print(before, threads_of_openmp())
engine.close()
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    # Numpy's own threads were there before.
    before, after = map(int, said.stdout.split())
    assert after - before == 2, "the engine's thread and two that help it"
