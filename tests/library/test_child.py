from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import pytest

from localchat_ui.library.child import Child, running


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


async def test_a_child_is_gone_even_if_whoever_waits_for_its_end_is_cancelled_again() -> None:
    async def run() -> None:
        program = "import time; print(flush=True); time.sleep(60)"
        async with running([sys.executable, "-c", program]) as child:
            begun.set_result(child)
            await asyncio.sleep(60)

    begun: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run())
    await begun
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun.result()._process.returncode is not None
