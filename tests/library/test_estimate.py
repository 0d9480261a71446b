"""The memory of a model: on numbers, against llama.cpp's own count, and against what real models take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localchat_ui.library.estimate import Shape, memory, shape_of
from localchat_ui.library.gguf_header import GgufHeader, Tensor, Value, read_header
from localchat_ui.library.speed import Observation, Work, decode_range, work_of
from tests.engine import tiny
from tests.library.tiny import write_gguf, write_llama

counts = st.integers(0, 10**5)
shapes = st.builds(Shape, counts, counts, counts, st.integers(0, 128), counts, counts)
tokens = st.integers(1, 10**6)

# In a process of its own, where nothing else comes and goes: memory for the weights alone, then with four conversations
# of 4,096 tokens, of which one reads a long prompt.
MEASURE = """
import json, sys, threading
from pathlib import Path
import psutil
from localchat_ui.engine.base import GenerationDone, GenerationRequest
from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.llama import Model
from localchat_ui.engine.loader import LoadOptions
from localchat_ui.engine.worker import LlamaEngine

def private():
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared

path, before = Path(sys.argv[1]), private()
model = Model(path)
weights = private() - before
model.close()
engine, done = LlamaEngine(LoadOptions(n_ctx=4096, parallel=4)), threading.Event()
engine.load(path, lambda share: None)
engine.submit(
    GenerationRequest([], prompt=[5] * 2000, sampling=RequestOptions(max_tokens=2)),
    lambda event: done.set() if isinstance(event, GenerationDone) else None,
)
assert done.wait(100)
print(json.dumps([weights, private() - before]))
engine.close()
"""


@given(shape=shapes, n_ctx=tokens, more=tokens, parallel=st.integers(1, 64))
def test_more_of_anything_takes_no_less(shape: Shape, n_ctx: int, more: int, parallel: int) -> None:
    base = memory(10**9, shape, n_ctx=n_ctx, parallel=parallel)
    assert base.total == base.weights + base.context + base.compute
    assert base.weights == 10**9
    assert memory(10**9, shape, n_ctx=n_ctx + more, parallel=parallel).total >= base.total
    assert memory(10**9, shape, n_ctx=n_ctx, parallel=parallel + more).total >= base.total
    assert memory(10**9 + more, shape, n_ctx=n_ctx, parallel=parallel).total > base.total
    assert memory(10**9, shape, n_ctx=n_ctx, parallel=parallel, kv_type="q8_0").total <= base.total


@given(shape=shapes, n_ctx=tokens, parallel=st.integers(1, 64))
def test_conversations_share_weights_and_nothing_of_their_context(shape: Shape, n_ctx: int, parallel: int) -> None:
    one, all_ = (memory(1, shape, n_ctx=n_ctx, parallel=number) for number in (1, parallel))
    assert all_.context == parallel * one.context
    assert all_.weights == one.weights


@given(n_ctx=tokens)
def test_a_recurrent_model_takes_the_same_however_long_the_conversation(n_ctx: int) -> None:
    shape = Shape(n_vocab=100, state_width=500)
    assert memory(1, shape, n_ctx=n_ctx, parallel=2).context == 2 * 4 * 500


@pytest.mark.parametrize(
    ("more", "width"),
    [
        ({}, 2 * 2 * (8 + 8)),
        ({"{arch}.attention.head_count_kv": [1, 3]}, (1 + 3) * (8 + 8)),
        ({"{arch}.attention.head_count_kv": [0, 3]}, 3 * (8 + 8)),
        ({"{arch}.attention.key_length": 16, "{arch}.attention.value_length": 4}, 2 * 2 * (16 + 4)),
        ({"{arch}.attention.shared_kv_layers": 1}, 2 * (8 + 8)),
        (
            {
                "{arch}.attention.key_length_swa": 4,
                "{arch}.attention.value_length_swa": 4,
                "{arch}.attention.sliding_window_pattern": [True, False],
            },
            2 * (4 + 4) + 2 * (8 + 8),
        ),
    ],
    ids=[
        "alike",
        "heads by layer",
        "a layer without",
        "sizes of their own",
        "shared layers",
        "other sizes in the window",
    ],
)
def test_what_a_token_keeps_is_counted_layer_by_layer(tmp_path: Path, more: dict[str, object], width: int) -> None:
    shape = shape_of(read_header(write_llama(tmp_path / "x.gguf", more=more)))
    assert (shape.n_vocab, shape.n_embd, shape.n_ff, shape.n_head) == (259, 32, 64, 4)
    assert shape.kv_width == width


def test_a_mamba_keeps_a_state_and_no_tokens(tmp_path: Path) -> None:
    shape = shape_of(read_header(tiny.write_mamba(tmp_path / "mamba.gguf")))
    assert shape.kv_width == 0
    assert shape.state_width == tiny.N_LAYER * tiny.N_INNER * (tiny.N_STATE + tiny.N_CONV - 1)


def test_a_file_that_says_nothing_has_no_shape(tmp_path: Path) -> None:
    header = read_header(write_gguf(tmp_path / "x.gguf", "llama", {"{arch}.block_count": 2}, {}))
    assert shape_of(header).kv_width == shape_of(header).state_width == 0
    assert shape_of(header).n_vocab == 259


KEYS = (
    "block_count", "embedding_length", "feed_forward_length", "attention.head_count", "attention.head_count_kv",
    "attention.key_length", "attention.value_length", "attention.key_length_swa", "attention.sliding_window_pattern",
    "attention.shared_kv_layers", "expert_count", "expert_used_count", "expert_feed_forward_length",
    "leading_dense_block_count", "full_attention_interval", "ssm.inner_size", "ssm.state_size", "ssm.group_count",
    "ssm.conv_kernel", "wkv.head_size", "token_shift_count", "shortconv.l_cache",
)  # fmt: skip
anything = st.one_of(
    st.integers(-(2**63), 2**64),
    st.floats(),
    st.booleans(),
    st.text(max_size=5),
    st.lists(st.integers(-5, 2**64)).map(tuple),
)
tensors = st.dictionaries(
    st.sampled_from(["token_embd.weight", "output.weight", "blk.0.ffn_up_exps.weight", "x"]),
    st.builds(Tensor, st.integers(0, 2**256), st.integers(0, 2**63)),
)


@given(
    values=st.dictionaries(st.sampled_from(KEYS), anything), tensors=tensors, size=st.integers(0, 2**62), n_ctx=tokens
)
def test_whatever_a_file_says_there_is_an_estimate(
    values: dict[str, Value], tensors: dict[str, Tensor], size: int, n_ctx: int
) -> None:
    values = {f"x.{key}": value for key, value in values.items()} | {"general.architecture": "x"}
    shape = shape_of(GgufHeader(values, tensors))
    assert 0 <= shape.read_share <= 1
    assert size <= memory(size, shape, n_ctx=n_ctx, parallel=4).total < 10**40
    work = work_of(size, shape, n_ctx=n_ctx)
    speed = decode_range([Observation("y", Work(10**8, 10**8, 10**8), [10.0])], work)
    assert 0 <= speed.low <= speed.high < 10**40
    assert decode_range([Observation("y", Work(10**8, 10**8, 10**8), [20.0])], work).high > speed.high


EXPERTS = {"{arch}.expert_count": 8, "{arch}.expert_used_count": 2}


def test_of_experts_only_those_in_use_are_read(tmp_path: Path) -> None:
    tensors = {f"blk.{layer}.ffn_{name}_exps.weight": (8, 64, 32) for layer in range(2) for name in ("gate", "up")}
    tensors |= {f"blk.{layer}.ffn_down_exps.weight": (8, 32, 64) for layer in range(2)}
    header = read_header(write_llama(tmp_path / "x.gguf", more=EXPERTS, more_tensors=tensors))
    counted = shape_of(header)
    dense = shape_of(read_header(write_llama(tmp_path / "y.gguf")))
    assert counted.active_weights - dense.active_weights == 2 * 2 * 3 * 64 * 32
    assert counted.read_share < 0.6 < dense.read_share
    # Without the tensors, as of a file on the hub, the same follows from the metadata (the dense layers are no more).
    told = shape_of(GgufHeader(header.values, {}))
    assert told.active_weights == pytest.approx(counted.active_weights - 2 * 3 * 64 * 32, rel=0.01)


@pytest.mark.parametrize("name", ["smollm", "gemma", "wide", "deep", "many words"])
def test_the_estimate_is_about_what_a_model_takes(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if name in ("smollm", "gemma"):
        path = request.getfixturevalue(name)
    else:
        path = write_llama(tmp_path / "x.gguf", **SYNTHETIC[name])
    size = path.stat().st_size
    expected = memory(size, shape_of(read_header(path)), n_ctx=4096, parallel=4).total
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True, timeout=200
    )
    weights, taken = json.loads(done.stdout.splitlines()[-1])
    # Where llama.cpp keeps no copy of them, the weights are pages of the file, which are not private to the process.
    taken += max(0, size - weights)
    print(f"{name}: estimated {expected / 1e6:.0f} MB, taken {taken / 1e6:.0f} MB")  # noqa: T201 - for the note
    # Flash attention takes less to compute than is estimated, which is the safe side.
    assert 0.8 * taken < expected < 1.35 * taken


SYNTHETIC = {
    "wide": {"n_layer": 4, "n_embd": 1024, "n_head": 8, "n_head_kv": 8, "n_ff": 4096},
    "deep": {"n_layer": 48, "n_embd": 256, "n_head": 8, "n_head_kv": 2, "n_ff": 1024},
    "many words": {"n_layer": 4, "n_embd": 256, "n_head": 4, "n_head_kv": 1, "n_ff": 1024, "n_vocab": 100_000},
}
