"""What a button does when it is pressed once too often."""

from __future__ import annotations

import asyncio

import pytest

from localchat_ui.ui.components import element
from localchat_ui.ui.components.element import one_press


async def test_a_double_click_asks_for_one_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(element, "DOUBLE_CLICK_SECONDS", 0.02)
    kept: list[str] = []

    async def keep(name: str) -> None:
        await asyncio.sleep(0)
        kept.append(name)

    press = one_press(keep)
    await asyncio.gather(press("first"), press("while it is at work"))
    await press("right after")
    await asyncio.sleep(0.05)
    await press("later")

    assert kept == ["first", "later"]
