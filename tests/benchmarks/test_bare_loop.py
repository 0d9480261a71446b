"""The bare loop, in its process, on both real models."""

from __future__ import annotations

from pathlib import Path

from benchmarks import bare_loop
from benchmarks.client import conversation
from benchmarks.models import find


def test_it_writes_with_many_sequences(smollm: Path, gemma: Path) -> None:
    for path, chats in ((smollm, True), (gemma, False)):
        model = find(str(path))
        assert model.chats is chats
        said = [conversation(f"Tell me of lighthouse {number}.") for number in range(3)]

        figures = bare_loop.measure(model, *said, n_tokens=4, n_threads=1)

        assert figures["tokens_per_second"] > 0
        assert figures["characters_per_second"] > 0
