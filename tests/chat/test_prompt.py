"""What the model reads of a conversation."""

from __future__ import annotations

from localchat_ui.chat import ChatService
from localchat_ui.chat.prompt import request_for
from localchat_ui.conversation import ChatOptions, Conversation, Message, Role
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.engine.thinking_support import NO_SUPPORT, ThinkingSupport
from localchat_ui.history.store import HistoryStore
from localchat_ui.inference.model_ref import ModelRef

from .house import finished, said, shown, turns


async def test_the_model_reads_the_system_prompt_and_everything_said_so_far(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    engine.enqueue("Four.")
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "2 + 2?"))
    await finished(await chat.send(conversation, "Times 3?"))
    assert turns(engine) == [
        ("system", "Be brief."),
        ("user", "2 + 2?"),
        ("assistant", "Four."),
        ("user", "Times 3?"),
    ]
    assert engine.requests[-1].sampling.temperature == 0.3


async def test_without_a_system_prompt_none_is_sent(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation = Conversation(options=ChatOptions(system_prompt=" \n"))
    await finished(await chat.send(conversation, "Hi"))
    assert turns(engine) == [("user", "Hi")]


async def test_a_question_that_was_never_answered_is_read_before_the_next(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    engine.enqueue(error="The cache is full.")
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "First"))
    await finished(await chat.send(conversation, "Second"))
    assert turns(engine)[1:] == [("user", "First"), ("user", "Second")]


async def test_thinking_is_kept_apart_and_read_by_the_model_next_time(
    chat: ChatService, engine: ScriptedEngine, store: HistoryStore
) -> None:
    engine.enqueue("Four.", thinking="Two and two.")
    conversation = await said(chat, "2 + 2?")
    await finished(await chat.send(conversation, "Why?"))
    [_, answer, *_] = await store.branch(conversation.id)
    assert (answer.thinking, answer.text) == ("Two and two.", "Four.")
    assert answer.stats is not None
    assert answer.stats.thinking_seconds == 1.5
    assert engine.requests[-1].turns[2].thinking == "Two and two."


async def test_the_prompt_can_be_looked_at_with_the_tokens_of_each_message(chat: ChatService) -> None:
    conversation = await said(chat, "One two three?")
    view = await chat.preview(conversation)
    question, answer = await shown(chat, conversation)
    assert view.text == "Be brief.\nOne two three?\nOne two three?"
    assert view.message_tokens == {question.id: 3, answer.id: 3}
    assert (view.n_tokens, view.system_tokens, view.n_unseen) == (8, 2, 0)


def test_another_server_is_told_of_thinking_what_it_lets_be_chosen() -> None:
    options = ChatOptions(thinking=False, reasoning_effort="low")
    switch = ThinkingSupport(True, "enable_thinking", False, True)
    for support, expected in (
        (switch, {"enable_thinking": False}),
        (ThinkingSupport(True, efforts=("low", "high")), {"reasoning_effort": "low"}),
        (NO_SUPPORT, {}),
    ):
        model = ModelRef("box/one", "one", engine="box", remote_id="one", thinking=support)
        request, _ = request_for(options, [Message("c", Role.USER, "Hi")], model)
        assert request.template_arguments == expected
