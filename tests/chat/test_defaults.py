"""What new conversations start with."""

from __future__ import annotations

from pathlib import Path

from localchat_ui.engine.scripted import ScriptedEngine

from .house import OPTIONS, House


async def test_own_defaults_are_for_new_conversations_and_survive_a_restart(house: House, tmp_path: Path) -> None:
    before = house.chat.new_conversation()
    await house.chat.defaults.set(OPTIONS.model_copy(update={"temperature": 1.25}))
    assert before.options == OPTIONS
    assert house.chat.new_conversation().options.temperature == 1.25
    engine = ScriptedEngine()
    async with House(tmp_path, engine) as again:
        await again.chat.defaults.read()
        assert again.chat.new_conversation().options.temperature == 1.25
        await again.chat.defaults.set(None)
        assert again.chat.new_conversation().options == OPTIONS
