"""With the real starter model: what it thought of a text that stands there already, and going on from another token."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localchat_ui.chat import ChatError, ScoredToken
from localchat_ui.chat.token_scores import MAX_CHARACTERS, score_tokens
from localchat_ui.conversation import ChatOptions, Message, Role
from localchat_ui.engine.loader import LoadOptions
from localchat_ui.engine.worker import LlamaEngine
from localchat_ui.inference import Inference, ModelRef
from localchat_ui.inference.local import LocalBackend
from localchat_ui.library.catalog import Catalog
from tests.browser.server import starter
from tests.engine.templated import THINKER, templated

QUESTION = [Message("c", Role.USER, "What is the capital of France?")]


@pytest.fixture
async def inference(tmp_path: Path, smollm: Path) -> AsyncIterator[Inference]:
    engine = LlamaEngine(LoadOptions(n_ctx=2048, n_threads=1))
    engine.load(smollm, lambda share: None)
    local = LocalBackend(engine, Catalog(tmp_path, tmp_path / "models.json"))
    yield Inference(local)
    await local.close()


async def score(inference: Inference, text: str, thinking: str = "", model: Path | None = None) -> list[ScoredToken]:
    reply = Message("c", Role.ASSISTANT, text, thinking=thinking)
    return await score_tokens(inference, ModelRef.of_path(model or starter()), ChatOptions(), QUESTION, reply)


@pytest.mark.parametrize(
    "text",
    [
        "The capital of France is Paris.",
        'Say "x" \\ y\n\n- one\n\t- two\r\n',
        "你好 é 🦙 \b\f",
        "a",
        "<|im_end|> is text",
    ],
)
async def test_the_tokens_are_those_of_the_text(inference: Inference, text: str):
    tokens = await score(inference, text)
    assert "".join(token.text for token in tokens) == text
    assert all(0 <= token.probability <= 1 for token in tokens)


async def test_what_is_likely_is_told_from_what_is_not(inference: Inference):
    right = await score(inference, "The capital of France is Paris.")
    wrong = await score(inference, "The capital of France is Oslo.")
    place = next(n for n, (one, other) in enumerate(zip(right, wrong, strict=False)) if one.text != other.text)
    assert right[place].probability > 0.5
    assert wrong[place].probability < 0.05
    [paris] = [each for each in wrong[place].alternatives if each.text == right[place].text]
    assert paris.probability == pytest.approx(right[place].probability, rel=0.05)
    assert paris.opening == "The capital of France is Paris"
    likeliest = [each.probability for each in wrong[place].alternatives]
    assert likeliest == sorted(likeliest, reverse=True)


async def test_what_was_thought_counts(inference: Inference, smollm: Path, tmp_path: Path):
    thinker = templated(smollm, tmp_path, THINKER)
    inference.local.engine.load(thinker, lambda share: None)
    answer = "The capital of France is Bergen."
    thoughtless = await score(inference, answer, "I know that.", thinker)
    convinced = await score(
        inference, answer, "They changed it: the capital of France is Bergen now. Say Bergen.", thinker
    )
    assert "".join(token.text for token in convinced) == answer
    before, after = (math.prod(token.probability for token in each) for each in (thoughtless, convinced))
    assert after > 5 * before


async def test_what_cannot_be_scored_says_why(inference: Inference):
    with pytest.raises(ChatError, match="too long"):
        await score(inference, "x" * (MAX_CHARACTERS + 1))
    elsewhere = ModelRef("far/away", "away", engine="far")
    with pytest.raises(ChatError, match="on this machine"):
        await score_tokens(inference, elsewhere, ChatOptions(), QUESTION, Message("c", Role.ASSISTANT, "x"))
