"""What people do to conversations: send, settings, delete, branches."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from localchat_ui.chat import ChatError, ChatService, Reply
from localchat_ui.conversation import ChatOptions, Message, MessageState, Role
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.history import maintenance, trash
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.store import HistoryStore

from .house import MODEL, OPTIONS, STORY, House, begin_story, finished, said, shown, slow_journal, texts, turns


async def test_a_first_message_gets_a_reply_and_gives_the_conversation_its_title(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    engine.enqueue("Hello ", "there.")
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "\nHi, who are you?\nTell me all.\n"))
    question, reply = await texts(chat, conversation)
    assert question == (Role.USER, "Hi, who are you?\nTell me all.", MessageState.COMPLETE)
    assert reply == (Role.ASSISTANT, "Hello there.", MessageState.COMPLETE)
    [listed] = await chat.conversations()
    assert (listed.id, listed.title, listed.options) == (conversation.id, "Hi, who are you?", OPTIONS)


async def test_a_reply_is_kept_with_its_model_and_its_receipt(chat: ChatService, engine: ScriptedEngine) -> None:
    engine.enqueue("one ", "two")
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "Count"))
    reply = (await chat.messages(conversation.id))[0][-1]
    assert reply.model == "tiny"
    assert reply.stats is not None
    assert (reply.stats.reply_tokens, reply.stats.finish_reason) == (2, "stop")


async def test_only_the_first_message_names_the_conversation(chat: ChatService) -> None:
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "First"))
    await finished(await chat.send(conversation, "Second"))
    assert [listed.title for listed in await chat.conversations()] == ["First"]
    await chat.rename(conversation.id, "  My title\nand more ")
    await finished(await chat.send(conversation, "Third"))
    assert [listed.title for listed in await chat.conversations()] == ["My title"]


async def test_files_are_read_by_the_model_and_kept_through_edits_and_other_answers(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    conversation = chat.new_conversation()
    file = await chat.read_file("no\ntes.md", "Grüße\n```a```\n".encode("latin-1"))
    assert (file.name, file.size) == ("no tes.md", 14)
    await finished(await chat.send(conversation, "", attachments=[file]))
    assert turns(engine)[-1][1] == "no tes.md:\n````md\nGrüße\n```a```\n````"
    question, reply = await shown(chat, conversation)
    assert (question.text, question.attachments) == ("", (file,))
    assert [listed.title for listed in await chat.conversations()] == ["no tes.md"]
    await finished(await chat.regenerate(conversation, reply.id))
    await finished(await chat.edit_question(conversation, question.id, "What is it?"))
    assert (await shown(chat, conversation))[0].attachments == (file,)
    assert turns(engine)[-1][1].startswith("What is it?\n\nno tes.md:\n````md\n")
    with pytest.raises(ChatError, match=r"empty\.txt is empty"):
        await chat.read_file("empty.txt", b"")


@pytest.mark.parametrize("text", ["", "   ", "\n\n\t"])
async def test_an_empty_message_is_refused_and_nothing_is_kept(chat: ChatService, text: str) -> None:
    conversation = chat.new_conversation()
    with pytest.raises(ChatError, match="empty"):
        await chat.send(conversation, text)
    assert await chat.open(conversation.id) is None


async def test_two_sends_at_once_give_one_reply_and_one_error(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation = chat.new_conversation()
    results = await asyncio.gather(
        chat.send(conversation, "One"), chat.send(conversation, "Two"), return_exceptions=True
    )
    assert {type(result) for result in results} == {Reply, ChatError}
    [reply] = [result for result in results if isinstance(result, Reply)]
    await finished(reply)
    assert [role for role, _, _ in await texts(chat, conversation)] == [Role.USER, Role.ASSISTANT]
    assert len(engine.requests) == 1


async def test_while_a_reply_is_written_another_message_is_refused(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation, reply = await begin_story(chat, engine)
    for attempt in (chat.send(conversation, "And?"), chat.retry(conversation)):
        with pytest.raises(ChatError, match="still being written"):
            await attempt
    chat.stop(conversation.id)
    await finished(reply)
    await finished(await chat.send(conversation, "And?"))
    assert len(await texts(chat, conversation)) == 4


async def test_a_message_sent_while_the_reply_before_is_just_being_saved_waits_for_that(
    chat: ChatService, store: HistoryStore, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text is complete on the page by then, so nobody would understand a refusal."""
    saving = slow_journal(monkeypatch, store)
    conversation = chat.new_conversation()
    await chat.send(conversation, "Hi")
    await saving.wait()
    messages, writing = await chat.messages(conversation.id)
    assert (messages[-1].text, messages[-1].state, writing) == ("Hi", MessageState.COMPLETE, None)
    await finished(await chat.send(conversation, "And?"))
    assert [text for _, text, _ in await texts(chat, conversation)] == ["Hi", "Hi", "And?", "And?"]


async def test_two_conversations_are_written_at_the_same_time(chat: ChatService, engine: ScriptedEngine) -> None:
    first, first_reply = await begin_story(chat, engine)
    second, second_reply = await begin_story(chat, engine)
    assert chat.is_writing(first.id)
    assert chat.is_writing(second.id)
    for reply in (first_reply, second_reply):
        await finished(reply)
        assert reply.message.text == "".join(STORY)
    assert not chat.is_writing(first.id)


async def test_changed_settings_apply_from_the_next_reply_on(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation, reply = await begin_story(chat, engine)
    await chat.set_options(conversation, ChatOptions(system_prompt="Rhyme.", temperature=1.5, max_tokens=3))
    await finished(reply)
    assert reply.message.text == "".join(STORY)
    engine.enqueue(*STORY)
    await finished(await chat.send(conversation, "Go on"))
    assert turns(engine)[0] == ("system", "Rhyme.")
    assert [request.sampling.temperature for request in engine.requests] == [0.3, 1.5]
    assert (await texts(chat, conversation))[-1][1] == "".join(STORY[:3])


async def test_a_system_prompt_changed_while_the_model_loads_is_for_the_next_reply(empty_house: House) -> None:
    chat = empty_house.chat
    empty_house.models.choose(MODEL)
    conversation = chat.new_conversation()
    reply = await chat.send(conversation, "Hi")
    await chat.set_options(conversation, ChatOptions(system_prompt="Rhyme.", temperature=1.5))
    empty_house.engine.may_load.set()  # type: ignore[attr-defined]
    await finished(reply)
    assert turns(empty_house.engine)[0] == ("system", "Be brief.")
    assert empty_house.engine.requests[0].sampling.temperature == 1.5, "it acts from the next token on"


async def test_settings_and_a_first_message_may_arrive_at_once(chat: ChatService) -> None:
    for _ in range(5):
        conversation = chat.new_conversation()
        _, reply = await asyncio.gather(
            chat.set_options(conversation, ChatOptions(temperature=1)), chat.send(conversation, "Hi")
        )
        await finished(reply)
        kept = await chat.open(conversation.id)
        assert kept is not None
        assert kept.options.temperature == 1


async def test_settings_belong_to_their_conversation(chat: ChatService) -> None:
    conversation = chat.new_conversation()
    await chat.set_options(conversation, ChatOptions(temperature=1.5))
    assert chat.new_conversation().options == OPTIONS
    kept = await chat.open(conversation.id)
    assert kept is not None
    assert kept.options.temperature == 1.5
    assert await chat.conversations() == [], "settings alone are no conversation yet"


async def test_a_deleted_conversation_is_gone_and_comes_back_as_it_was(chat: ChatService) -> None:
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "Hi"))
    before = await texts(chat, conversation)
    await chat.delete(conversation.id)
    assert await chat.conversations() == []
    assert await chat.open(conversation.id) is None
    await chat.restore(conversation.id)
    assert await texts(chat, conversation) == before
    assert len(await chat.conversations()) == 1


async def test_a_deleted_conversation_is_not_written_to_and_says_so(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation = chat.new_conversation()
    await finished(await chat.send(conversation, "Hi"))
    await chat.delete(conversation.id)
    for attempt in (
        chat.send(conversation, "And?"),
        chat.retry(conversation),
        chat.set_options(conversation, ChatOptions(temperature=1)),
        chat.rename(conversation.id, "Mine"),
    ):
        with pytest.raises((ChatError, HistoryError), match="deleted"):
            await attempt
    assert len(engine.requests) == 1
    await chat.restore(conversation.id)
    assert len(await texts(chat, conversation)) == 2


async def test_deleting_ends_the_reply_and_undo_brings_its_text_back(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation, reply = await begin_story(chat, engine)
    await chat.delete(conversation.id)
    await finished(reply)
    assert not chat.is_writing(conversation.id)
    assert await chat.conversations() == []
    await chat.restore(conversation.id)
    [_, (_, text, state)] = await texts(chat, conversation)
    assert state is MessageState.STOPPED
    assert text == reply.message.text
    assert 0 < len(text) < len("".join(STORY))


async def test_what_was_deleted_survives_a_restart_for_a_while(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = house.chat.new_conversation()
    await finished(await house.chat.send(conversation, "Hi"))
    await house.chat.delete(conversation.id)
    async with House(tmp_path, ScriptedEngine()) as restarted:
        await restarted.chat.restore(conversation.id)
        await restarted.chat.delete(conversation.id)
    monkeypatch.setattr(trash, "RETENTION", timedelta(0))
    async with House(tmp_path, ScriptedEngine()) as restarted:
        await maintenance.Maintenance(restarted.store).run()
        with pytest.raises(HistoryError):
            await restarted.chat.restore(conversation.id)


async def test_another_answer_is_another_version_and_both_stay(chat: ChatService, engine: ScriptedEngine) -> None:
    engine.enqueue("One.")
    conversation = await said(chat, "Name a number.")
    engine.enqueue("Two.")
    first = (await shown(chat, conversation))[1]
    await finished(await chat.regenerate(conversation, first.id))

    messages = await shown(chat, conversation)
    assert [message.text for message in messages] == ["Name a number.", "Two."]
    version = (await chat.versions(messages))[messages[1].id]
    assert (version.number, version.count, version.previous_id) == (2, 2, first.id)

    await chat.select_version(conversation, first.id)
    assert [message.text for message in await shown(chat, conversation)] == ["Name a number.", "One."]


async def test_a_question_asked_differently_is_a_branch_and_the_old_one_is_a_step_away(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    conversation = await said(chat, "One?", "Two?")
    question = (await shown(chat, conversation))[0]
    await finished(await chat.edit_question(conversation, question.id, "Uno?"))
    assert [message.text for message in await shown(chat, conversation)] == ["Uno?", "Uno?"]
    assert [turn.text for turn in engine.requests[-1].turns] == ["Be brief.", "Uno?"]

    await chat.select_version(conversation, question.id)
    assert [message.text for message in await shown(chat, conversation)] == ["One?", "One?", "Two?", "Two?"]


async def test_an_edited_answer_is_what_the_model_reads_next(chat: ChatService, engine: ScriptedEngine) -> None:
    conversation = await said(chat, "One?")
    answer = (await shown(chat, conversation))[1]
    await chat.edit_answer(conversation, answer.id, "I said nothing.")
    await finished(await chat.send(conversation, "What did you say?"))
    assert [turn.text for turn in engine.requests[-1].turns[1:]] == ["One?", "I said nothing.", "What did you say?"]


async def test_an_edited_system_message_stays_one(chat: ChatService, store: HistoryStore) -> None:
    conversation = await said(chat, "One?")
    above = (await shown(chat, conversation))[-1]
    system = Message(conversation.id, Role.SYSTEM, "In rhyme.", parent_id=above.id)
    await store.add_message(system)
    await chat.edit_answer(conversation, system.id, "In prose.")
    last = (await shown(chat, conversation))[-1]
    assert (last.role, last.text) == (Role.SYSTEM, "In prose.")


async def test_a_reply_goes_on_where_it_ended(chat: ChatService, engine: ScriptedEngine) -> None:
    engine.enqueue("Once ", "upon")
    conversation = await said(chat, "A story.")
    before = (await shown(chat, conversation))[1]
    engine.enqueue(" a ", "time.")
    await finished(await chat.continue_reply(conversation))

    after = (await shown(chat, conversation))[1]
    assert (after.id, after.text, after.state) == (before.id, "Once upon a time.", MessageState.COMPLETE)
    assert [(turn.role, turn.text) for turn in engine.requests[-1].turns[1:]] == [
        (Role.USER, "A story."),
        (Role.ASSISTANT, "Once upon"),
    ]
    assert after.stats is not None
    assert after.stats.reply_tokens == 4


async def test_a_deleted_message_takes_what_follows_with_it_and_comes_back(chat: ChatService) -> None:
    conversation = await said(chat, "One?", "Two?")
    question = (await shown(chat, conversation))[2]
    await chat.delete_message(conversation, question.id)
    assert [message.text for message in await shown(chat, conversation)] == ["One?", "One?"]
    await chat.restore_message(conversation, question.id)
    assert [message.text for message in await shown(chat, conversation)] == ["One?", "One?", "Two?", "Two?"]


async def test_a_fork_goes_its_own_way(chat: ChatService) -> None:
    conversation = await said(chat, "One?", "Two?")
    forked = await chat.fork(conversation.id, (await shown(chat, conversation))[1].id)
    await finished(await chat.send(forked, "Three?"))
    assert [message.text for message in await shown(chat, forked)] == ["One?", "One?", "Three?", "Three?"]
    assert [message.text for message in await shown(chat, conversation)] == ["One?", "One?", "Two?", "Two?"]


async def test_nothing_is_changed_under_a_reply_that_is_being_written(
    chat: ChatService, engine: ScriptedEngine
) -> None:
    conversation = await said(chat, "One?")
    question, answer = await shown(chat, conversation)
    engine.seconds_per_token = 0.01
    engine.enqueue(*STORY)
    reply = await chat.send(conversation, "A story.")
    assert reply is not None
    attempts = [
        chat.regenerate(conversation, answer.id),
        chat.edit_question(conversation, question.id, "Uno?"),
        chat.edit_answer(conversation, answer.id, "No."),
        chat.continue_reply(conversation),
        chat.delete_message(conversation, question.id),
        chat.restore_message(conversation, question.id),
        chat.select_version(conversation, answer.id),
        chat.retry(conversation),
    ]
    for attempt in attempts:
        with pytest.raises(ChatError, match="still being written"):
            await attempt
    chat.stop(conversation.id)
    await finished(reply)


async def test_a_message_that_is_no_longer_shown_cannot_be_changed(chat: ChatService) -> None:
    conversation = await said(chat, "One?", "Two?")
    question = (await shown(chat, conversation))[2]
    await chat.delete_message(conversation, question.id)
    with pytest.raises(ChatError, match="no longer shown"):
        await chat.regenerate(conversation, question.id)
