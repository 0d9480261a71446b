"""Titles that the model writes: when, with what, and which it may replace."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from localchat_ui.chat import ChatDefaults, ChatService, TitleWriter
from localchat_ui.chat import titles as titles_module
from localchat_ui.chat.title_text import title_from
from localchat_ui.conversation import ChatOptions
from localchat_ui.history.preferences import Preferences
from localchat_ui.inference import ModelRef

from .house import House, finished, said, until

QUESTION = "Why is the sky blue at noon and red in the evening?"


@pytest.fixture
async def naming(house: House, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """The house, in which an idle model names chats."""
    monkeypatch.setattr(titles_module, "IDLE_SECONDS", 0.01)
    titles = TitleWriter(house.inference, house.store, Preferences(house.store.database))
    defaults = ChatDefaults(ChatOptions(), Preferences(house.store.database))
    house.chat = ChatService(house.inference, house.store, house.models, defaults, titles=titles)
    yield house
    await house.chat.close()


async def title_of(house: House, conversation_id: str) -> str:
    conversation = await house.store.conversation(conversation_id)
    assert conversation is not None
    return conversation.title


async def settled(house: House) -> None:
    """Wait until no title is wanted any more."""
    titles = house.chat.titles
    assert titles is not None
    await until(lambda: titles._task is None or titles._task.done())


async def test_an_idle_model_names_a_new_chat_and_everybody_is_told(naming: House) -> None:
    told: list[str] = []
    naming.chat.conversation_changed.subscribe(told.append)
    naming.engine.enqueue("It scatters.")
    naming.engine.enqueue("Blue sky", " and red evening")
    conversation = await said(naming.chat, QUESTION)
    assert await title_of(naming, conversation.id) == QUESTION
    told.clear()
    await settled(naming)
    assert await title_of(naming, conversation.id) == "Blue sky and red evening"
    assert told == [conversation.id]
    asked = naming.engine.requests[-1]
    assert [turn.text for turn in asked.turns[1:3]] == [QUESTION, "It scatters."], "the cache begins with these"
    assert asked.ephemeral

    naming.engine.enqueue("More.")
    await finished(await naming.chat.send(conversation, "And more?"))
    await settled(naming)
    assert naming.engine.requests[-1].turns[-1].text == "And more?", "one title is enough"


async def test_a_title_of_a_person_stays_whenever_it_is_given(naming: House) -> None:
    conversation = await said(naming.chat, QUESTION)
    await naming.chat.rename(conversation.id, QUESTION)
    await settled(naming)
    assert len(naming.engine.requests) == 1
    assert await title_of(naming, conversation.id) == QUESTION

    naming.engine.seconds_per_token = 0.02
    naming.engine.enqueue("It scatters.")
    naming.engine.enqueue("Blue sky", *[" and red evening"] * 5)
    conversation = await said(naming.chat, QUESTION)
    await until(lambda: naming.engine.requests[-1].ephemeral)
    await naming.chat.rename(conversation.id, "Mine")
    await settled(naming)
    assert await title_of(naming, conversation.id) == "Mine"


async def test_a_title_lets_everything_else_go_first(naming: House) -> None:
    engine = naming.engine
    engine.enqueue("It scatters.")
    engine.enqueue(*["Blue sky "] * 50)
    await said(naming.chat, QUESTION)
    engine.seconds_per_token = 0.02
    await until(lambda: engine.requests[-1].ephemeral)
    interrupted = engine.requests[-1].id
    engine.enqueue(*["word "] * 10)
    engine.enqueue("Else something")
    engine.enqueue("Sky of blue")
    reply = await naming.chat.send(naming.chat.new_conversation(), "Something else")
    await until(lambda: interrupted in engine._cancelled)
    await finished(reply)
    assert not any(request.ephemeral for request in engine.requests[2:]), "it waits for the reply"
    await settled(naming)
    titles = {each.title for each in await naming.store.conversations()}
    assert titles == {"Sky of blue", "Else something"}, "the newest conversation was first, the other was not forgotten"


async def test_whoever_does_not_want_them_has_none_and_nobody_pays_for_one(naming: House) -> None:
    titles = naming.chat.titles
    assert titles is not None
    await titles.switch(False)
    await said(naming.chat, QUESTION)
    await settled(naming)
    await titles.switch(True)
    assert await titles.is_on()
    titles.want("any", ModelRef("far", "far", engine="box", leaves_machine=True))
    assert not titles._wanted
    assert len(naming.engine.requests) == 1


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ('Sky: why is it "blue"?', 'Sky: why is it "blue"?'),
        ("Title: Blue Sky.", "Blue Sky"),
        ('\n**"Blue evening skies"**\nBecause …', "Blue evening skies"),
        ("„Der blue sky“", "Der blue sky"),
        ("The Unsung Hero: A Tale of Two Cities", None),
        ("Here's a possible title for the conversation:", None),
        ("", None),
        ("#", None),
        ("blue sky " * 8, None),
    ],
)
def test_what_a_model_writes_is_cleaned_and_has_to_be_about_the_question(written: str, title: str | None) -> None:
    assert title_from(written, QUESTION) == title


@pytest.mark.parametrize(
    ("written", "said", "is_title"),
    [
        ("天空为什么是蓝色", "为什么天空是蓝色的？", True),
        ("两座城市的故事", "为什么天空是蓝色的？", False),
        ("Reversing linked lists", "Write a function that reverses a linked list", True),
        ("Kühlschrank erklärt", "Wie funktioniert ein Kühlschrank?", True),
        ("Холодильник", "Как работает холодильник?", True),
    ],
)
def test_titles_of_any_language_are_compared(written: str, said: str, is_title: bool) -> None:
    assert (title_from(written, said) is not None) is is_title
