from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from localchat_ui.library.child import Child


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancellation_that_comes_together_with_a_line_is_not_lost(turns: int) -> None:
    reader = asyncio.StreamReader()
    waiting = asyncio.create_task(Child(SimpleNamespace(stdout=reader)).line(10))  # type: ignore[arg-type]
    for _ in range(4):
        await asyncio.sleep(0)
    reader.feed_data(b"line\n")
    for _ in range(turns):
        await asyncio.sleep(0)
    if waiting.cancel():
        with pytest.raises(asyncio.CancelledError):
            await waiting
    else:
        assert waiting.result() == b"line\n"
