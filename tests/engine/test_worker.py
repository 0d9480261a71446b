"""The engine on real models."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import psutil
import pytest

from localchat_ui.conversation import Role
from localchat_ui.engine import embedding as embedding_module
from localchat_ui.engine import worker as worker_module
from localchat_ui.engine.base import (
    EngineError,
    GenerationFailed,
    GenerationRequest,
    ModelLoadError,
    NoModelError,
    PromptBuilt,
    PromptTooLongError,
    Turn,
)
from localchat_ui.engine.load_changes import LoadChanges
from localchat_ui.engine.loader import SHUTTING_DOWN, LoadOptions
from localchat_ui.engine.prompt import Prompt, build_prompt
from localchat_ui.engine.scheduler import Scheduler
from localchat_ui.engine.thinking import ThinkingMarks
from localchat_ui.engine.worker import LlamaEngine
from tests.engine.harness import ask


@pytest.fixture(scope="module")
def engine(smollm: Path) -> Iterator[LlamaEngine]:
    engine = LlamaEngine(LoadOptions(n_ctx=1024, parallel=3))
    engine.load(smollm, lambda share: None)
    yield engine
    engine.close()


@pytest.fixture
def empty_engine() -> Iterator[LlamaEngine]:
    engine = LlamaEngine(LoadOptions(n_ctx=512, parallel=2))
    yield engine
    engine.close()


def test_real_model_answers_token_by_token(engine: LlamaEngine):
    reply = ask(engine, "What is 2 + 2?", max_tokens=30)
    stats = reply.stats
    assert "4" in reply.text
    assert "<|im_end|>" not in reply.text
    assert len(reply.tokens) == stats.reply_tokens > 3
    assert stats.prompt_tokens > 10
    assert stats.tokens_per_second > 0


def test_reply_ends_at_its_limit(engine: LlamaEngine):
    reply = ask(engine, "Tell me a very long story.", max_tokens=7)
    assert reply.stats.finish_reason == "length"
    assert reply.stats.reply_tokens == 7


def test_reply_that_reaches_the_end_of_the_context_ends_as_length(engine: LlamaEngine):
    # All but random text, so that the model does not end it by itself.
    reply = ask(engine, "word " * 700, max_tokens=500, temperature=2, top_k=0, top_p=1, min_p=0, seed=1)
    stats = reply.stats
    assert stats.prompt_tokens > 700
    assert stats.finish_reason == "length"
    assert stats.context_tokens == 1024


@pytest.mark.parametrize("model", ["smollm", "gemma"])
def test_same_seed_same_text(model: str, request: pytest.FixtureRequest):
    """Whether the prompt was read before or not."""
    question = "Which of these do you like best? " + ", ".join(f"{n} ships" for n in range(200))
    with running(n_ctx=1536) as engine:
        engine.load(request.getfixturevalue(model), lambda share: None)
        options = {"temperature": 2, "top_k": 0, "min_p": 0, "top_p": 1, "max_tokens": 12, "top_logprobs": 0}
        replies = [ask(engine, question, seed=7, **options).wait() for _ in range(4)]
        assert replies[-1].stats.reused_tokens > 500
        # To the last digit: a text may stay the same by luck.
        assert len({tuple((token.id, token.logprob) for token in reply.tokens) for reply in replies}) == 1
        assert ask(engine, question, seed=8, **options).wait().text != replies[0].text


def test_a_random_seed_is_told_so_that_it_can_be_used_again(smollm: Path):
    with running() as engine:
        engine.load(smollm, lambda share: None)
        first = ask(engine, "Invent a name.", temperature=1.5, max_tokens=12)
        again = ask(engine, "Invent a name.", temperature=1.5, max_tokens=12, seed=first.stats.seed)
        assert again.wait().text == first.text


def test_stop_string_ends_the_reply(engine: LlamaEngine):
    whole = ask(engine, "Count from 1 to 9.", max_tokens=40).wait().text
    marker = whole[10:14]
    cut = ask(engine, "Count from 1 to 9.", max_tokens=40, stop=(marker,))
    assert cut.stats.finish_reason == "stop"
    assert cut.text == whole[: whole.index(marker)]


def test_more_requests_than_sequences_all_end(engine: LlamaEngine):
    replies = [ask(engine, f"Tell a story about {n} cats.", max_tokens=20) for n in range(2, 9)]
    assert [reply.stats.reply_tokens for reply in replies] == [len(reply.tokens) for reply in replies]
    assert all(reply.tokens for reply in replies)


def test_two_requests_stream_at_once(engine: LlamaEngine):
    """Neither waits for the other: each has begun before either is finished."""
    replies = [ask(engine, f"Write a long story about the number {n}.", max_tokens=80) for n in (1, 2)]
    begun = [reply.first_token.wait(30) for reply in replies]
    assert all(begun)
    assert not any(reply.ended.is_set() for reply in replies)
    assert all(reply.stats.reply_tokens for reply in replies)


def test_cancel_ends_a_running_reply_and_keeps_its_text(engine: LlamaEngine):
    reply = ask(engine, "Tell me a very long story about the sea.", max_tokens=900)
    assert reply.first_token.wait(30)
    engine.cancel(reply.request.id)
    stats = reply.stats
    assert stats.finish_reason == "cancelled"
    assert 0 < stats.reply_tokens < 900


def test_cancel_takes_effect_while_the_prompt_is_read(smollm: Path):
    engine = LlamaEngine(LoadOptions(n_ctx=8192, parallel=1))
    try:
        engine.load(smollm, lambda share: None)
        reply = ask(engine, "Summarise: " + "The cat sat on the mat. " * 1000)
        while not reply.progress:
            time.sleep(0.01)
        engine.cancel(reply.request.id)
        assert reply.stats.finish_reason == "cancelled"
        assert reply.progress[-1].read < reply.progress[-1].total
        assert not reply.tokens
    finally:
        engine.close()


def test_waiting_request_knows_its_place_and_frees_it_when_cancelled(engine: LlamaEngine):
    running = [ask(engine, f"Tell a long story, number {n}.", max_tokens=200) for n in range(3)]
    first, second = ask(engine, "And you?", max_tokens=5), ask(engine, "And I?", max_tokens=5)
    while not second.places:
        time.sleep(0.01)
    engine.cancel(first.request.id)
    assert first.stats.finish_reason == "cancelled"
    assert not first.tokens
    for reply in running:
        engine.cancel(reply.request.id)
        reply.wait()
    second.wait()
    assert second.places == [2, 1]
    assert second.tokens


def test_next_turn_reuses_what_was_read(engine: LlamaEngine):
    question = "Remember these words: apple, river, stone. What is the second word?"
    first = ask(engine, question, max_tokens=20)
    prompt = first.stats.prompt_tokens
    second = ask(engine, question, first.text, "And the third?", max_tokens=5, deterministic=False)
    assert second.stats.reused_tokens >= prompt - 5


def test_message_longer_than_the_context_is_refused_with_both_numbers(engine: LlamaEngine):
    with pytest.raises(PromptTooLongError, match=r"1,5\d\d tokens .* 1,024"):
        ask(engine, "word " * 1500)


def test_conversation_longer_than_the_context_loses_its_oldest_turns_and_says_so(engine: LlamaEngine):
    turns = [f"{'Question' if n % 2 == 0 else 'Answer'} number {n}. " + "All about it. " * 20 for n in range(30)]
    reply = ask(engine, *turns, "What did I ask last?", system="Be brief.", max_tokens=30).wait()
    built = reply.events[0]
    assert isinstance(built, PromptBuilt)
    assert len(built.turn_tokens) == 1 + len(turns) + 1
    assert 0 < built.n_dropped < len(turns)
    assert built.n_tokens == reply.stats.prompt_tokens <= 1024 - 30
    assert sum(built.turn_tokens) - sum(built.turn_tokens[1 : 1 + built.n_dropped]) == pytest.approx(
        built.n_tokens, abs=built.n_dropped
    )


def test_emoji_and_special_tokens_survive(engine: LlamaEngine):
    reply = ask(engine, "Repeat exactly: 🦙 grüße 你好", max_tokens=30).wait()
    assert "\ufffd" not in reply.text
    assert "<|" not in reply.text


def test_without_a_model_requests_are_refused(empty_engine: LlamaEngine):
    assert empty_engine.model is None
    with pytest.raises(NoModelError):
        ask(empty_engine, "Hello?")


def test_base_model_answers_through_the_plain_fallback_template(empty_engine: LlamaEngine, gemma: Path):
    info = empty_engine.load(gemma, lambda share: None)
    assert not info.has_chat_template
    reply = ask(empty_engine, "What is the capital of France?", max_tokens=30)
    assert "Paris" in reply.wait().text
    assert "User:" not in reply.text


def test_swap_lets_the_old_model_finish_and_then_frees_it(empty_engine: LlamaEngine, smollm: Path, gemma: Path):
    shares: list[float] = []
    empty_engine.load(smollm, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    old = ask(empty_engine, "Tell me a long story.", max_tokens=300)
    assert old.first_token.wait(30)
    empty_engine.load(gemma, lambda share: None)
    assert empty_engine.model is not None
    assert empty_engine.model.path == gemma
    new = ask(empty_engine, "What is the capital of France?", max_tokens=8)
    assert "Paris" in new.wait().text
    assert old.stats.finish_reason in ("length", "stop")
    # Without a budget nothing stays warm.
    deadline = time.monotonic() + 5
    while len(empty_engine.figures.models) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert empty_engine.figures.models == (gemma,)


def test_swap_back_to_a_warm_model_costs_no_load(smollm: Path, gemma: Path):
    engine = LlamaEngine(LoadOptions(n_ctx=256, parallel=1), memory_budget=10**10)
    try:
        question = "Remember these words: apple, river, stone. What is the second word?"
        engine.load(smollm, lambda share: None)
        before = ask(engine, question, max_tokens=5).stats
        engine.load(gemma, lambda share: None)
        shares: list[float] = []
        assert engine.load(smollm, shares.append).path == smollm
        assert not shares, "nothing was loaded"
        after = ask(engine, question, max_tokens=5).stats
        assert (before.reused_tokens, after.reused_tokens) == (0, after.prompt_tokens)
    finally:
        engine.close()


def test_models_beyond_the_budget_leave_least_recently_used_first(smollm: Path, gemma: Path, tmp_path: Path):
    copy = tmp_path / "copy.gguf"
    copy.symlink_to(smollm)
    engine = LlamaEngine(LoadOptions(n_ctx=256, parallel=1), memory_budget=370_000_000)
    try:
        for path in (smollm, gemma, copy):
            engine.load(path, lambda share: None)
        deadline = time.monotonic() + 5
        while len(engine.figures.models) > 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert engine.figures.models == (gemma, copy)
    finally:
        engine.close()


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"GGUF\x03\x00\x00\x00" + b"\xff" * 64])
def test_file_that_fails_to_load_leaves_the_old_model_in_use(
    empty_engine: LlamaEngine, smollm: Path, tmp_path: Path, content: bytes
):
    empty_engine.load(smollm, lambda share: None)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"broken\.gguf could not be loaded: .+"):
        empty_engine.load(broken, lambda share: None)
    assert empty_engine.model is not None
    assert empty_engine.model.path == smollm
    assert ask(empty_engine, "Hi", max_tokens=3).stats.reply_tokens > 0


def test_truncated_model_says_so(empty_engine: LlamaEngine, smollm: Path, tmp_path: Path):
    short = tmp_path / "short.gguf"
    short.write_bytes(smollm.read_bytes()[:20_000_000])
    with pytest.raises(ModelLoadError, match="corrupted or incomplete"):
        empty_engine.load(short, lambda share: None)


def test_close_in_mid_reply_ends_it_and_the_thread(smollm: Path):
    engine = LlamaEngine(LoadOptions(n_ctx=512, parallel=1))
    engine.load(smollm, lambda share: None)
    reply = ask(engine, "Tell me a very long story.", max_tokens=400)
    assert reply.first_token.wait(30)
    engine.close()
    assert isinstance(reply.wait().events[-1], GenerationFailed)
    assert not any(thread.name == "engine" and thread is engine._thread for thread in threading.enumerate())
    with pytest.raises(NoModelError):
        ask(engine, "Anybody there?")


@pytest.mark.parametrize(("n_ctx", "expected"), [(0, 8192), (100_000, 8192), (300, 300)])
def test_a_context_is_as_long_as_was_asked_for_and_never_longer_than_the_model_was_trained_for(
    smollm: Path, n_ctx: int, expected: int
):
    with running(n_ctx=n_ctx, parallel=1) as engine:
        assert engine.load(smollm, lambda share: None).n_ctx == expected
        assert ask(engine, "Hi", max_tokens=3).stats.reply_tokens > 0


def test_a_model_is_loaded_anew_as_it_is_configured_and_a_reply_ends_as_it_began(smollm: Path, tmp_path: Path):
    engine = LlamaEngine(LoadOptions(n_ctx=512, parallel=2, n_threads=1), memory_budget=10**12)
    try:
        engine.load(smollm, lambda share: None)
        reply = ask(engine, "Count to fifty.", max_tokens=60)
        template = "{% for message in messages %}{{ message.content }}!{% endfor %}"
        engine.configure(smollm, LoadChanges(n_ctx=1024, parallel=3, kv_type="q8_0", chat_template=template))
        assert not engine.holds(smollm)
        loaded = engine.load(smollm, lambda share: None)
        assert (loaded.n_ctx, loaded.parallel, loaded.n_threads) == (1024, 3, 1)
        assert reply.stats.reply_tokens == 60
        assert engine.preview(GenerationRequest([Turn(Role.USER, "Hello")])).text == "Hello!"
        deadline = time.monotonic() + 10
        while len(engine.figures.models) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert engine.figures.kv_cells == 3 * 1024
        engine.make_room(tmp_path / "other.gguf")
        assert engine.figures.models == (smollm,)
        engine.make_room(smollm)
        assert engine.figures.models == ()
    finally:
        engine.close()


def test_a_tiny_context_still_answers_and_ends_where_it_does(smollm: Path):
    with running(n_ctx=64, parallel=2) as engine:
        engine.load(smollm, lambda share: None)
        stats = ask(engine, "Count to one hundred.", max_tokens=500, logit_bias={2: -100.0, 0: -100.0}).stats
        assert stats.finish_reason == "length"
        assert stats.context_tokens == 64
        with pytest.raises(PromptTooLongError, match="the context holds 64"):
            ask(engine, "Hi", system="Be brief. " * 40)


# Several models


def test_a_request_may_name_another_model_and_the_one_in_use_stays(smollm: Path, gemma: Path):
    with running(memory_budget=10**10) as engine:
        engine.load(smollm, lambda share: None)
        named = ask(engine, "What is the capital of France?", model=gemma, max_tokens=8)
        assert "Paris" in named.wait().text
        assert engine.model is not None
        assert engine.model.path == smollm
        assert set(engine.figures.models) == {smollm, gemma}


def test_two_models_write_at_the_same_time(smollm: Path, gemma: Path):
    with running(memory_budget=10**10) as engine:
        engine.load(smollm, lambda share: None)
        engine.load(gemma, lambda share: None)
        replies = [ask(engine, "Tell a long story.", model=path, max_tokens=80) for path in (smollm, gemma)]
        begun = [reply.first_token.wait(30) for reply in replies]
        assert all(begun)
        assert engine.figures.running == 2
        assert all(reply.stats.reply_tokens > 10 for reply in replies)


def test_a_model_that_nobody_uses_leaves_and_comes_back_with_the_next_request(smollm: Path):
    with running(idle_seconds=0.3) as engine:
        engine.load(smollm, lambda share: None)
        long = ask(engine, "Tell a very long story.", max_tokens=100)
        assert long.stats.reply_tokens == 100, "it does not leave in mid-reply"
        _wait_until(lambda: not engine.figures.models)
        assert engine.model is not None, "it is still the one in use"
        assert ask(engine, "Hi", max_tokens=3).stats.reply_tokens > 0


def test_fifty_swaps_leave_no_memory_behind(smollm: Path, gemma: Path):
    process = psutil.Process()

    def swap() -> None:
        engine.load(gemma, lambda share: None)
        ask(engine, "Hi", max_tokens=1).wait()
        engine.load(smollm, lambda share: None)
        ask(engine, "Hi", max_tokens=1).wait()
        _wait_until(lambda: engine.figures.models == (smollm,))

    with running(n_ctx=256, parallel=1) as engine:
        swap()
        before = process.memory_info().rss
        for _ in range(25):
            swap()
        assert process.memory_info().rss - before < gemma.stat().st_size


# Thinking


def test_thinking_comes_apart_from_the_answer_and_is_timed(smollm: Path):
    """The model does not think by itself; a grammar makes it write the marks of those that do."""
    grammar = 'root ::= "<think>\\n" [a-z]{5,20} "\\n</think>\\n\\n" "Yes" [a-z. ]{1,20}'
    with running() as engine:
        engine.load(smollm, lambda share: None)
        [pooled] = engine._pool.all()
        pooled.model.thinking_marks = ThinkingMarks("<think>", "</think>")
        reply = ask(engine, "Is the sky blue?", grammar=grammar, max_tokens=60).wait()
        assert re.fullmatch(r"[a-z]{5,20}\n", reply.thinking)
        assert reply.text.startswith("Yes")
        assert "think" not in reply.text
        assert 0 < reply.stats.thinking_seconds < 60


# When something goes wrong


def test_when_the_engine_fails_everybody_is_told_and_it_begins_anew(
    smollm: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    with running(parallel=1) as engine:
        engine.load(smollm, lambda share: None)
        replies = [ask(engine, "Tell a very long story.", max_tokens=400) for _ in range(3)]
        assert replies[0].first_token.wait(30)
        with monkeypatch.context() as patch:
            patch.setattr(Scheduler, "step", fail_with(SystemExit("the thread is killed")))
            for reply in replies:
                assert isinstance(reply.wait().events[-1], GenerationFailed)
        assert "begins anew" in caplog.text
        assert ask(engine, "Hi", max_tokens=3).stats.reply_tokens > 0


def test_a_model_is_not_closed_under_somebody_who_uses_it(smollm: Path, monkeypatch: pytest.MonkeyPatch):
    """A prompt is being made in another thread while the program ends."""
    inside, ended = threading.Event(), threading.Event()

    def slowly(*arguments: Any, **options: Any) -> Prompt:
        inside.set()
        assert ended.wait(60)
        return build_prompt(*arguments, **options)

    monkeypatch.setattr(worker_module, "build_prompt", slowly)
    engine = LlamaEngine(LoadOptions(n_ctx=256, parallel=1))
    engine.load(smollm, lambda share: None)
    [pooled] = engine._pool.all()
    seen: list[PromptBuilt] = []
    thread = threading.Thread(
        target=lambda: seen.append(engine.preview(GenerationRequest([Turn(Role.USER, "What is 2 + 2?")])))
    )
    thread.start()
    assert inside.wait(60)
    engine.close()
    assert pooled.model.handle
    ended.set()
    thread.join()
    assert seen[0].n_tokens > 10
    assert pooled.model.handle is None


def test_a_prompt_can_be_looked_at_without_being_read(engine: LlamaEngine):
    turns = [Turn(Role.SYSTEM, "Be brief."), Turn(Role.USER, "What is 2 + 2?")]
    seen = engine.preview(GenerationRequest(turns))
    assert "<|im_start|>user\nWhat is 2 + 2?<|im_end|>" in seen.text
    assert (
        seen.n_tokens == sum(seen.turn_tokens) == ask(engine, "What is 2 + 2?", system="Be brief.").stats.prompt_tokens
    )


def test_embeddings_beside_a_reply_hold_it_up_only_for_a_batch(engine: LlamaEngine):
    reply = ask(engine, "Tell me a very long story about the sea.", max_tokens=200, grammar="root ::= [a-z ]{800}")
    assert reply.first_token.wait(30)
    before = len(reply.tokens)
    vectors = engine.embed(["A lighthouse stands on a rock. " * 60] * 3).vectors
    assert not reply.ended.is_set()
    assert len(reply.tokens) - before >= 9, "a token between any two batches"
    assert vectors[0] == pytest.approx(vectors[2], abs=1e-6)
    engine.cancel(reply.request.id)


def test_embeddings_of_a_long_text_are_those_of_its_parts_together(engine: LlamaEngine):
    """A text that is computed in several batches has the vector it would have in one."""
    text = "The keeper writes the weather into his book. " * 40
    [whole] = engine.embed([text]).vectors
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding_module, "BATCH", 16)
        [in_parts] = engine.embed([text]).vectors
    # Both are of length 1; a batch of another width rounds in another way.
    assert float(np.dot(in_parts, whole)) > 0.999


def test_embeddings_are_cancelled_by_their_id_and_at_the_end(smollm: Path):
    with running(n_ctx=1024) as engine:
        engine.load(smollm, lambda share: None)
        said: list[str] = []

        def embed() -> None:
            try:
                engine.embed(["A lighthouse stands on a rock. " * 100] * 200, request_id="one")
            except EngineError as error:
                said.append(str(error))

        for end in (lambda: engine.cancel("one"), engine.close):
            thread = threading.Thread(target=embed)
            thread.start()
            _wait_until(lambda: engine.figures.running == 1)
            end()
            thread.join(20)
            assert not thread.is_alive()
    assert said == ["The request was cancelled.", SHUTTING_DOWN]


def fail_with(error: BaseException) -> Callable[[], NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


@contextmanager
def running(*, n_ctx: int = 512, parallel: int = 2, **options: Any) -> Iterator[LlamaEngine]:
    engine = LlamaEngine(LoadOptions(n_ctx=n_ctx, parallel=parallel), **options)
    try:
        yield engine
    finally:
        engine.close()


def _wait_until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
