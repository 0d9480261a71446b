"""Reading metadata in a child process, the real one and children that misbehave."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from localchat_ui.library import child as child_module
from localchat_ui.library import metadata as metadata_module
from localchat_ui.library.estimate import Shape
from localchat_ui.library.kind import Kind
from localchat_ui.library.metadata import Metadata, read_metadata, try_load
from tests.library.tiny import KINDS, write_kind, write_llama

SMOLLM_SHAPE = Shape(n_vocab=49152, n_embd=576, n_ff=1536, n_head=9, kv_width=11520, active_weights=134515008)
GEMMA_SHAPE = Shape(n_vocab=262144, n_embd=640, n_ff=2048, n_head=4, kv_width=9216, active_weights=268098176)

CHILD = """
import os, pathlib, resource, sys, time
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
with open({log!r}, "a") as log:
    log.write(" ".join(pathlib.Path(file).name for file in sys.argv[1:]) + chr(10))
print(flush=True)
if "--load" in sys.argv: print(0.5, flush=True)
for file in sys.argv[1:]:
    if file == "--load": continue
    stem = pathlib.Path(file).stem
    if stem == "abort": os.abort()
    if stem == "hang": time.sleep(60)
    if stem == "quit": sys.exit(3)
    kind = stem if stem in ("base", "embedding", "adapter", "projector", "vocabulary") else "chat"
    print("rubbish" if stem == "rubbish" else '{{"name": "%s", "kind": "%s"}}' % (stem, kind), flush=True)
"""


class Child:
    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        script = folder / "child.py"
        script.write_text(CHILD.format(log=str(self.log)))
        self.command = (sys.executable, str(script))

    @property
    def runs(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def child(tmp_path: Path) -> Child:
    return Child(tmp_path)


@pytest.fixture(autouse=True)
def no_orphans() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def waits_for_a_writer(process: psutil.Process) -> bool:
    """Whether it is inside the system call that opens a named pipe: past its start, and deep in llama.cpp."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return any((task / "wchan").read_text() in ("wait_for_partner", "fifo_open") for task in tasks)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0.01)


async def test_two_real_models(smollm: Path, gemma: Path) -> None:
    of_smollm = ("Smollm2 135M 8k Lc100K Mix1 Ep2", Kind.CHAT, 134515008, "Q4_1", 8192, None, SMOLLM_SHAPE)
    of_gemma = ("Gemma 3 270m", Kind.BASE, 268098176, "Q4_K_M", 32768, None, GEMMA_SHAPE)
    assert await read_metadata([smollm, gemma]) == {
        smollm: Metadata(*of_smollm, architecture="llama", licence="apache-2.0"),
        gemma: Metadata(*of_gemma, architecture="gemma3", licence="gemma"),
    }


async def test_broken_files_say_what_is_wrong_and_do_not_stop_the_others(tmp_path: Path, smollm: Path) -> None:
    with smollm.open("rb") as file:
        whole = file.read()
    head = whole[:5_000_000]
    broken = {
        "empty.gguf": (b"", "is empty. Download it again."),
        "text.gguf": (b"# Not a model\n" * 100, "is not a GGUF file."),
        "random.gguf": (b"x" + os.urandom(100_000), "is not a GGUF file."),
        "header-only.gguf": (
            head[:1000],
            "is incomplete: it ends in the middle of its description. Download it again.",
        ),
        "truncated.gguf": (head, "is incomplete: it ends in the middle of its weights. Download it again."),
        "last-byte.gguf": (whole[:-1], "is incomplete: it ends in the middle of its weights."),
        "version.gguf": (head[:4] + b"\x63\0\0\0" + head[8:], "version 99"),
        "größe 模型 🦙.gguf": (b"GGUF", "größe 模型 🦙.gguf is incomplete"),
        os.fsdecode(b"caf\xe9.gguf"): (head, "caf?.gguf is incomplete"),
    }
    for name, (data, _) in broken.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.gguf").mkdir()
    broken["folder.gguf"] = (b"", "folder.gguf could not be read: Is a directory.")

    read = await read_metadata([*(tmp_path / name for name in broken), smollm])

    for name, (_, message) in broken.items():
        assert message in (read[tmp_path / name].error or ""), name
    assert read[smollm].error is None


async def test_what_its_maker_recommends_is_read_as_far_as_it_is_allowed(tmp_path: Path) -> None:
    said = {"temp": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 7.0, "penalty_repeat": 1.05, "mirostat": 2}
    file = write_llama(tmp_path / "m.gguf", more={f"general.sampling.{key}": value for key, value in said.items()})
    read = (await read_metadata([file]))[file]
    assert read.sampling == (("temperature", 0.6), ("top_p", 0.95), ("top_k", 20), ("repeat_penalty", 1.05))


async def test_every_kind_of_file_is_told_by_what_is_in_it(tmp_path: Path) -> None:
    files = {write_kind(tmp_path / f"{number}.gguf", name): name for number, name in enumerate(KINDS)}
    read = await read_metadata(list(files))
    assert {name: read[file].kind for file, name in files.items()} == {name: kind for name, (_, kind) in KINDS.items()}
    assert {read[file].error for file in files} == {None}


async def test_what_llama_cpp_does_not_know_is_told_in_plain_words(tmp_path: Path) -> None:
    strange = write_llama(tmp_path / "strange.gguf", architecture="llama99")
    lacking = write_llama(tmp_path / "lacking.gguf", n_layer=2, more={"{arch}.block_count": 3})
    read = await read_metadata([strange, lacking])
    assert "strange.gguf is of a family (“llama99”) that this version of llama.cpp does not know" in (
        read[strange].error or ""
    )
    assert read[lacking].error is None
    assert (await try_load(lacking, lambda share: None) or "").startswith(
        "lacking.gguf does not hold what its family of models needs. It is damaged, or made for another version"
    )


async def test_a_split_model_names_the_parts_that_are_missing(tmp_path: Path) -> None:
    first = write_llama(tmp_path / "big-00001-of-00003.gguf", more={"split.count": 3, "split.no": 0})
    (tmp_path / "big-00003-of-00003.gguf").touch()
    assert (await read_metadata([first]))[first].error == (
        "big-00001-of-00003.gguf is the first of 3 files, and these are not there: big-00002-of-00003.gguf."
    )


async def test_a_model_with_an_unusual_name_is_read(tmp_path: Path, smollm: Path) -> None:
    link = tmp_path / "größe 模型 🦙 'a' \"b\".gguf"
    link.symlink_to(smollm)
    assert (await read_metadata([link]))[link].quantisation == "Q4_1"


async def test_one_child_reads_all(child: Child) -> None:
    paths = [Path(f"/{name}.gguf") for name in "abc"]
    read = await read_metadata(paths, child.command)
    assert [read[path].name for path in paths] == ["a", "b", "c"]
    assert child.runs == ["a.gguf b.gguf c.gguf"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("abort", "abort.gguf could not be read: llama.cpp crashed (SIGABRT) on it."),
        ("quit", "quit.gguf could not be read: llama.cpp crashed (exit code 3) on it."),
        ("hang", "hang.gguf could not be read: llama.cpp hung on it."),
    ],
)
async def test_a_file_that_kills_the_child_does_not_stop_the_others(
    child: Child, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setattr(metadata_module, "SECONDS_PER_FILE", 0.5)
    bad = Path(f"/{name}.gguf")
    read = await read_metadata([Path("/a.gguf"), bad, Path("/b.gguf")], child.command)
    assert read == {Path("/a.gguf"): Metadata("a"), bad: Metadata(error=message), Path("/b.gguf"): Metadata("b")}
    assert child.runs == [f"a.gguf {bad.name} b.gguf", "b.gguf"]


async def test_a_child_that_talks_rubbish_is_not_believed(child: Child) -> None:
    bad = Path("/rubbish.gguf")
    read = await read_metadata([bad, Path("/a.gguf")], child.command)
    assert "llama.cpp crashed" in (read[bad].error or "")
    assert read[Path("/a.gguf")] == Metadata("a")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ((sys.executable, "-c", "raise SystemExit(5)"), r"exit code 5"),
        (("/no/such/program",), "No such file"),
        ((sys.executable, "-c", "import time; time.sleep(60)"), "it does not answer"),
    ],
)
async def test_a_child_that_does_not_start_is_tried_once(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], reason: str
) -> None:
    monkeypatch.setattr(child_module, "SECONDS_TO_START", 0.5)
    began = time.monotonic()
    read = await read_metadata([Path(f"/{number}.gguf") for number in range(50)], command)
    assert len(read) == 50
    for metadata in read.values():
        assert reason in (metadata.error or "")
        assert "`python -m localchat_ui.library.probe FILE` shows why" in (metadata.error or "")
    assert time.monotonic() - began < 5


async def test_what_llama_cpp_prints_is_not_taken_for_an_answer(smollm: Path) -> None:
    noisy = (
        "import os, sys; from localchat_ui.library import probe; read = probe.read_metadata;"
        "probe.read_metadata = lambda path: [os.write(1, b'noise'), print('noise', flush=True), read(path)][2];"
        "probe.main(sys.argv[1:])"
    )
    read = await read_metadata([smollm], (sys.executable, "-c", noisy))
    assert read[smollm].quantisation == "Q4_1"


async def test_many_files_are_shared_out_among_children(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_module, "FILES_PER_CHILD", 2)
    await read_metadata([Path(f"/{name}") for name in "abc"], child.command)
    assert child.runs == ["a b", "c"]


async def test_no_files_need_no_child(child: Child) -> None:
    assert await read_metadata([], child.command) == {}
    assert not child.log.exists()


async def test_a_cancelled_reader_leaves_no_child(child: Child) -> None:
    before = children()
    reading = asyncio.create_task(read_metadata([Path("/hang.gguf")], child.command))
    await until(child.log.exists)
    assert len(children() - before) == 1
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert children() <= before


async def test_the_child_ends_with_an_app_that_is_killed_even_while_llama_cpp_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    code = (
        "import asyncio, pathlib, sys; from localchat_ui.library.metadata import read_metadata;"
        "asyncio.run(read_metadata([pathlib.Path(sys.argv[1])]))"
    )
    app = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(tmp_path / "pipe.gguf"))
    await until(lambda: len(psutil.Process(app.pid).children()) == 1)
    [child] = psutil.Process(app.pid).children()
    try:
        await until(lambda: waits_for_a_writer(child))
        app.kill()
        await app.wait()
        await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    finally:
        with suppress(psutil.NoSuchProcess):
            child.kill()


# Loading for a trial


async def test_a_real_model_is_loaded_for_a_trial_with_progress(smollm: Path) -> None:
    shares: list[float] = []
    assert await try_load(smollm, shares.append) is None
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.fixture
def short(tmp_path: Path, smollm: Path) -> Path:
    """A file that is cut off in its weights."""
    file = tmp_path / "short.gguf"
    file.write_bytes(smollm.read_bytes()[:20_000_000])
    return file


async def test_a_file_that_is_cut_off_fails_its_trial(short: Path) -> None:
    error = await try_load(short, lambda share: None)
    assert error == "short.gguf is incomplete: it ends in the middle of its weights. Download it again."


@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        ("abort", "llama.cpp crashed (SIGABRT)"),
        ("quit", "llama.cpp crashed (exit code 3)"),
        ("hang", "llama.cpp hung"),
        ("rubbish", "llama.cpp said something strange"),
    ],
)
async def test_a_file_that_ends_its_trial_badly_is_told_and_ends_nothing_else(
    child: Child, name: str, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata_module, "SECONDS_WITHOUT_PROGRESS", 1)
    error = await try_load(Path(f"/{name}.gguf"), lambda share: None, child.command)
    assert error == f"{name}.gguf could not be loaded: {trouble} when it was tried in a process of its own."


async def test_a_trial_that_is_cancelled_leaves_no_child(child: Child) -> None:
    started = asyncio.Event()
    trial = asyncio.create_task(try_load(Path("/hang.gguf"), lambda share: started.set(), child.command))
    await started.wait()
    trial.cancel()
    with suppress(asyncio.CancelledError):
        await trial
