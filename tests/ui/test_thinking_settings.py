"""What of a model's thinking can be chosen in the settings: only what its chat template knows."""

from __future__ import annotations

import pytest

from localchat_ui.conversation import ChatOptions
from localchat_ui.engine.base import LoadedModel
from localchat_ui.engine.thinking_support import NO_SUPPORT, ThinkingSupport
from tests.ui.conftest import Program, Visitor, until

SWITCH = ThinkingSupport(thinks=True, switch="enable_thinking", off=False, on=True)
OFF_BY_DEFAULT = ThinkingSupport(thinks=True, switch="thinking", off=False, on=True, on_by_default=False)
EFFORT = ThinkingSupport(thinks=True, efforts=("low", "medium", "high"))
ALWAYS = ThinkingSupport(thinks=True)


@pytest.mark.parametrize(
    ("support", "shown"),
    [
        (NO_SUPPORT, ()),
        (SWITCH, ("Thinking", "Thinking budget")),
        (EFFORT, ("Reasoning effort", "Thinking budget")),
        (ALWAYS, ("Thinking budget",)),
    ],
)
async def test_only_what_the_model_knows_is_offered(program: Program, support: ThinkingSupport, shown: tuple[str, ...]):
    program.engine.thinking = support
    async with program.running():
        me = await visit(program)
        names = ("Thinking", "Reasoning effort", "Thinking budget")
        assert tuple(name for name in names if me.sees(name)) == shown


async def test_it_is_kept_with_the_conversation_and_sent_to_the_model(program: Program, saved: list[ChatOptions]):
    program.engine.thinking = SWITCH
    async with program.running():
        me = await visit(program)
        assert me.find("Thinking").value is True
        me.find("Thinking budget").set_value(100)
        me.find("Thinking").set_value(False)
        assert not me.sees("Thinking budget")
        await until(lambda: saved)
        assert (saved[-1].thinking, saved[-1].thinking_budget) == (False, 100)
        me.say("Hi")
        await me.sees_reply("Hi")
        other = await visit(program)
        other.open_link("Hi")
        await until(lambda: other.find("Thinking").value is False)
        other.find("Thinking").set_value(True)
        assert other.find("Thinking budget").value == 100
    [request] = program.engine.requests
    assert request.template_arguments == {"enable_thinking": False}
    assert request.sampling.thinking_budget == 100


async def test_what_nobody_chose_is_left_to_the_model(program: Program, saved: list[ChatOptions]):
    program.engine.thinking = OFF_BY_DEFAULT
    async with program.running():
        me = await visit(program)
        assert me.find("Thinking").value is False
        me.find("Top k value").set_value(3)
        await until(lambda: saved)
        me.say("Hi")
        await me.sees_reply("Hi")
        me.find("Thinking").set_value(True)
        await until(lambda: saved[-1].thinking)
        me.press("Reset to defaults")
        await until(lambda: saved[-1].thinking is None)
        assert me.find("Thinking").value is False
    assert program.engine.requests[0].template_arguments == {}


async def test_an_effort_is_chosen_and_given_up(program: Program, saved: list[ChatOptions]):
    program.engine.thinking = EFFORT
    async with program.running():
        me = await visit(program)
        assert me.find("Reasoning effort").options == {
            "default": "Default",
            "low": "Low",
            "medium": "Medium",
            "high": "High",
        }
        me.find("Reasoning effort").set_value("low")
        await until(lambda: saved)
        me.say("Hi")
        await me.sees_reply("Hi")
        me.find("Reasoning effort").set_value("default")
        await until(lambda: saved[-1].reasoning_effort is None)
    assert program.engine.requests[0].template_arguments == {"reasoning_effort": "low"}


async def test_another_model_changes_what_is_offered_and_no_choice(program: Program, saved: list[ChatOptions]):
    program.engine.thinking = SWITCH
    async with program.running():
        me = await visit(program)
        me.find("Thinking").set_value(False)
        await until(lambda: saved)
        program.engine.thinking = NO_SUPPORT
        me.find("Model").set_value(next(key for key in me.find("Model").options if key.endswith("second.gguf")))
        await until(lambda: not me.sees("Thinking"))
        me.find("Top k value").set_value(3)
        await until(lambda: len(saved) == 2)
        assert saved[-1].thinking is False


async def test_what_the_model_read_differently_is_told_in_the_details(running: Program):
    running.engine.notes = ("“Hello” <b>follows</b> another message.",)
    me = await visit(running)
    me.say("Hi")
    await me.sees_reply("Hi")
    me.act("About this reply")
    await until(lambda: "“Hello” <b>follows</b> another message." in me.footer())


async def visit(program: Program) -> Visitor:
    await until(lambda: isinstance(program.engine.model, LoadedModel))
    me = program.visitor()
    await me.open()
    await me.open_settings()
    return me
