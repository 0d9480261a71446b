"""The page as people use it, with everything behind it but the model and the browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nicegui import ui
from nicegui.testing import UserInteraction

from localchat_ui.conversation import ChatOptions, Message, Role, title_of
from localchat_ui.engine.base import PromptTooLongError
from localchat_ui.history.database import Database
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.journal import Journal
from localchat_ui.history.store import HistoryStore
from localchat_ui.ui.components import conversation_list
from tests.inference.test_registry import UNREADABLE
from tests.markdown.test_stream import assert_harmless
from tests.ui.conftest import Program, Visitor, until

STORY = [f"word{n} " for n in range(200)]
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</textarea></title><b>bold</b>",
    "${alert(1)} `alert(1)` {{ 7 * 7 }} </script><script>alert(1)",
    "\\u003cscript\\u003e \u2028 ' onmouseover='alert(1)",
]


# The first message


async def test_a_first_message_is_shown_with_its_reply_and_named_in_the_list(running: Program) -> None:
    running.engine.enqueue("Hello, ", "**friend**.")
    me = await visit(running)
    assert me.articles == []
    assert me.titles == []

    me.say("Hi there\nHow are you?")
    await me.sees_reply("Hello, friend.")

    assert me.articles[0] == ("You", "Hi there\nHow are you?")
    await until(lambda: me.titles == ["Hi there"])
    await until(lambda: me.selected == ["Hi there"])
    await until(lambda: 'document.title = "Hi there · LocalChat"' in me.scripts)
    assert me.alerts == []


async def test_the_address_becomes_that_of_the_conversation_and_can_be_opened_again(running: Program) -> None:
    me = await visit(running)
    me.say("Hi there")
    await me.sees_reply("Hi there")
    again = await visit(running, address_of(me))
    assert again.articles == me.articles
    await until(lambda: again.selected == ["Hi there"])


async def test_the_reply_grows_while_it_is_written_and_stop_takes_the_place_of_send(running: Program) -> None:
    me = await visit(running)
    assert me.sees("Send")
    assert not me.sees("Stop")

    await begin_story(running, me)
    assert me.is_busy
    assert me.sees("Stop")
    assert not me.sees("Send")
    first = me.articles[-1][1]
    await until(lambda: len(me.articles[-1][1]) > len(first))
    assert me.articles[-1][1].startswith(first)

    await me.sees_reply("".join(STORY).strip())
    assert me.sees("Send")
    assert not me.sees("Stop")


async def test_stop_keeps_what_was_written(running: Program) -> None:
    me = await visit(running)
    await begin_story(running, me)
    me.press("Stop")
    await until(lambda: not me.is_busy and "Stopped." in me.footer())
    assert "".join(STORY).startswith(me.articles[-1][1].strip())
    assert me.sees("Send")


async def test_the_invitation_goes_with_the_first_message_and_comes_back_with_a_new_chat(running: Program) -> None:
    me = await visit(running)
    await me.user.should_see("What is on your mind?")
    me.say("Hi")
    await me.sees_reply("Hi")
    await me.user.should_not_see("What is on your mind?")
    me.press("New chat")
    await me.user.should_see("What is on your mind?")
    assert me.articles == []
    await until(lambda: me.titles == ["Hi"])
    assert me.selected == []
    assert me.scripts.count('history.pushState({}, "", "/");') == 1


async def test_a_reply_that_fails_says_why_and_can_be_tried_again(running: Program) -> None:
    running.engine.seconds_per_token = 0.1
    running.engine.enqueue("Half", error="The context has no room left.")
    running.engine.enqueue("A whole answer.")
    me = await visit(running)
    me.say("Hi")
    await until(lambda: me.alerts == ["The context has no room left."])
    assert me.articles[-1][1].startswith("Half")
    me.act("Retry")
    await me.sees_reply("A whole answer.")
    assert len(me.articles) == 2
    assert me.alerts == []


async def test_a_reply_that_fails_at_once_says_why_too(running: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PromptTooLongError("9,999 tokens do not fit.")

    me = await visit(running)
    for n in range(1, 6):
        if n % 2:
            running.engine.enqueue(error="9,999 tokens do not fit.")
            me.say("Hi")
        else:
            with monkeypatch.context() as refusing:
                refusing.setattr(running.engine, "submit", refuse)
                me.say("Hi")
                await until(lambda: not me.is_busy and len(me.articles) == 2 * n)  # noqa: B023
        await until(lambda: not me.is_busy and len(me.alerts) == n)  # noqa: B023
        assert "9,999 tokens do not fit." in me.footer()


async def test_a_reply_that_is_not_saved_yet_says_so_until_it_is(
    running: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise HistoryError("The disk is full.")

    running.engine.enqueue("A whole answer.")
    me = await visit(running)
    with monkeypatch.context() as broken:
        broken.setattr(Journal, "_write", fail)
        me.say("Hi")
        await until(lambda: me.articles and "Not saved yet: The disk is full." in me.footer())
        assert "A whole answer." in me.articles[-1][1]
    await until(lambda: "Not saved yet" not in me.footer())
    assert me.alerts == []


async def test_a_message_is_given_back_when_it_cannot_be_sent(
    running: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise HistoryError("The disk is full.")

    me = await visit(running)
    text = 'And "you"?</script>\n\u2028'
    with monkeypatch.context() as broken:
        broken.setattr(HistoryStore, "add_message", fail)
        me.say(text)
        await until(lambda: me.alerts != [])
    assert me.alerts == ["The disk is full."]
    assert f"localchat.composer.restore(...{json.dumps([text, []])})" in me.scripts
    me.press("Dismiss")
    assert me.alerts == []
    assert me.articles == []


async def test_what_cannot_be_read_is_told_and_what_stands_there_stays(
    running: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise HistoryError("The database is locked.")

    me, friend = await visit(running), await visit(running)
    me.say("Hi")
    await me.sees_reply("Hi")
    await friend.open(address_of(me))
    before = friend.articles
    with monkeypatch.context() as broken:
        broken.setattr(HistoryStore, "branch", fail)
        me.rename("Hi", "Another")
        await until(lambda: friend.alerts == ["The database is locked."])
    assert friend.articles == before


# What can be done with a message


async def test_another_answer_and_the_way_back_to_the_first(running: Program) -> None:
    running.engine.enqueue("One.")
    running.engine.enqueue("Two.")
    me = await visit(running)
    me.say("A number")
    await me.sees_reply("One.")
    me.act("Regenerate")
    await me.sees_reply("Two.")
    await until(lambda: "2 / 2" in me.footer())
    me.act("Previous version")
    await me.sees_reply("One.")
    assert "1 / 2" in me.footer()


async def test_a_question_is_asked_differently(running: Program) -> None:
    me, friend = await visit(running), await visit(running)
    me.say("One")
    await me.sees_reply("One")
    await friend.open(address_of(me))
    me.act("Edit", 0)
    await until(lambda: me.edited == ["One"])
    me.tell_log("save", {"id": me.log.views[0].message.id, "text": "Uno"})
    await me.sees_reply("Uno")
    assert me.articles == [("You", "Uno"), ("Assistant", "Uno")]
    await friend.sees_reply("Uno")
    assert "2 / 2" in friend.footer(0)


async def test_an_edit_that_cannot_be_kept_stays_to_be_tried_again(
    running: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise HistoryError("The disk is full.")

    me = await visit(running)
    me.say("One")
    await me.sees_reply("One")
    edit = {"id": me.log.views[0].message.id, "text": "Uno"}
    with monkeypatch.context() as broken:
        broken.setattr(HistoryStore, "add_message", fail)
        me.tell_log("save", edit)
        await until(lambda: me.alerts == ["The disk is full."])
    assert me.edited == ["Uno"]
    me.tell_log("save", edit)
    await me.sees_reply("Uno")
    assert me.alerts == []


async def test_the_text_of_an_edit_is_kept_when_its_message_is_gone(running: Program) -> None:
    me = await visit(running)
    me.say("One")
    await me.sees_reply("One")
    edit = {"id": me.log.views[0].message.id, "text": "Uno"}
    me.press("New chat")
    await until(lambda: me.articles == [])
    me.tell_log("save", edit)
    await until(lambda: me.alerts)
    assert 'localchat.composer.restore(...["Uno", []])' in me.scripts


async def test_a_stopped_reply_goes_on(running: Program) -> None:
    me = await visit(running)
    await begin_story(running, me)
    me.press("Stop")
    await until(lambda: "Stopped." in me.footer())
    begun = me.articles[-1][1]
    running.engine.enqueue(" and so on.")
    me.act("Continue")
    await until(lambda: not me.is_busy and me.articles[-1][1].endswith("and so on."))
    assert me.articles[-1][1].startswith(begun)
    assert len(me.articles) == 2


async def test_a_message_is_deleted_and_brought_back(running: Program) -> None:
    me = await visit(running)
    for text in ("One", "Two"):
        me.say(text)
        await me.sees_reply(text)
    me.act("Delete", 2)
    await until(lambda: len(me.articles) == 2)
    me.press("Undo")
    await until(lambda: len(me.articles) == 4)


async def test_a_fork_opens_as_a_conversation_of_its_own(running: Program) -> None:
    me = await visit(running)
    for text in ("One", "Two"):
        me.say(text)
        await me.sees_reply(text)
    me.act("Fork from here", 1)
    await until(lambda: len(me.articles) == 2 and len(me.titles) == 2)


async def test_a_receipt_tells_how_a_reply_was_made(running: Program) -> None:
    me = await visit(running)
    me.say("One two")
    await me.sees_reply("One two")
    me.act("About this reply")
    await until(lambda: "Temperature" in me.footer())
    assert "Reply2 tokens" in me.footer()
    me.act("About this reply")
    await until(lambda: "Temperature" not in me.footer())


async def test_what_is_copied_is_what_was_written(running: Program) -> None:
    running.engine.enqueue("**bold** </script> \u2028")
    me = await visit(running)
    me.say("Hi")
    await until(lambda: not me.is_busy and len(me.articles) == 2)
    me.act("Copy")
    await until(lambda: 'localchat.clipboard.deliver("**bold** </script> \\u2028")' in me.scripts)


async def test_a_message_sent_while_a_reply_is_written_waits_and_is_answered(running: Program) -> None:
    me = await visit(running)
    running.engine.seconds_per_token = 0.01
    running.engine.enqueue(*STORY[:30])
    me.say("A story")
    await until(lambda: me.is_busy and "word1" in me.articles[-1][1])
    me.say("And then?")
    await until(lambda: len(me.articles) == 3)
    assert me.footer().startswith("Waits for the reply above.")
    await me.sees_reply("And then?")
    assert [who for who, _ in me.articles] == ["You", "Assistant", "You", "Assistant"]


async def test_a_waiting_message_can_be_taken_back(running: Program) -> None:
    me = await visit(running)
    await begin_story(running, me)
    me.say("And then?")
    await until(lambda: len(me.articles) == 3)
    me.act("Take back")
    await until(lambda: len(me.articles) == 2)
    me.press("Stop")
    await until(lambda: not me.is_busy)
    assert len(me.articles) == 2


async def test_thinking_is_folded_and_timed(running: Program) -> None:
    running.engine.enqueue("Four.", thinking="Two and two.")
    me = await visit(running)
    me.say("2 + 2?")
    await until(lambda: not me.is_busy and len(me.articles) == 2)
    assert me.articles[-1][1] == "Thought for 2 sTwo and two.Four."


async def test_the_context_shows_the_tokens_of_each_message_and_the_prompt(running: Program) -> None:
    me = await visit(running)
    me.say("One two three")
    await me.sees_reply("One two three")
    assert me.status_line.state["context"].startswith("Context: ")
    UserInteraction(me.user, {me.status_line}, None).trigger("context")
    await me.user.should_see("The exact prompt")
    tables = [each.content for each in me._elements() if isinstance(each, ui.html) and "tokens" in each.content]
    assert "<tr><td>You: One two three</td><td>3</td></tr>" in tables[0]


async def test_a_long_conversation_opens_with_its_end_and_shows_more_on_demand(running: Program) -> None:
    me = await visit(running)
    me.say("Hi")
    await me.sees_reply("Hi")
    address = address_of(me)
    store = HistoryStore(await Database(running.database_url).open())
    parent = (await store.branch(address.rpartition("/")[2]))[-1]
    for number in range(100):
        role = (Role.USER, Role.ASSISTANT)[number % 2]
        message = Message(parent.conversation_id, role, f"text {number}", parent_id=parent.id)
        await store.add_message(message)
        parent = message
    await store.database.close()
    await me.open(address)
    assert len(me.articles) == 40
    assert me.articles[-1] == ("Assistant", "text 99")
    me.press("Show earlier messages")
    await until(lambda: len(me.articles) == 80)
    me.press("Show earlier messages")
    await until(lambda: len(me.articles) == 102)
    assert me.articles[0] == ("You", "Hi")
    assert not me.sees("Show earlier messages")
    me.say("And now?")
    await me.sees_reply("And now?")
    assert len(me.articles) == 104


# Several people


async def test_a_second_visitor_sees_the_list_and_joins_while_the_reply_grows(running: Program) -> None:
    me = await visit(running)
    await begin_story(running, me)
    friend = await visit(running)
    await until(lambda: friend.titles == ["Tell me a story"])
    assert friend.articles == []

    friend.open_link("Tell me a story")
    await until(lambda: friend.is_busy and friend.articles != [])
    joined_at = friend.articles[-1][1]
    assert 0 < len(joined_at) < len("".join(STORY).strip())
    for visitor in (me, friend):
        await visitor.sees_reply("".join(STORY).strip())
    assert friend.articles == me.articles
    assert friend.selected == ["Tell me a story"]


async def test_a_list_that_is_open_elsewhere_grows_and_tells_what_is_being_written(running: Program) -> None:
    me, friend = await visit(running), await visit(running)
    await begin_story(running, me)
    await until(lambda: friend.titles == ["Tell me a story"])
    assert friend.being_written == friend.titles
    await until(lambda: not friend.being_written)
    assert friend.articles == [], "what somebody else opens stays with them"


async def test_a_message_of_one_visitor_reaches_the_other(running: Program) -> None:
    me, friend = await visit(running), await visit(running)
    me.say("Hi")
    await me.sees_reply("Hi")
    await friend.open(address_of(me))
    friend.say("Welcome")
    for visitor in (me, friend):
        await visitor.sees_reply("Welcome")
    assert me.articles == friend.articles
    assert len(me.articles) == 4


async def test_a_visitor_who_leaves_does_not_end_the_reply(running: Program) -> None:
    me = await visit(running)
    await begin_story(running, me)
    address = address_of(me)
    assert me.user.client is not None
    me.user.client.delete()
    friend = await visit(running, address)
    await friend.sees_reply("".join(STORY).strip())


# Settings


async def test_settings_of_one_conversation_do_not_leak_into_a_new_chat(running: Program) -> None:
    me = await visit(running)
    await me.open_settings()
    me.say("First")
    await me.sees_reply("First")
    me.find("Temperature value").set_value(1.5)
    me.find("System prompt").set_value("Rhyme.")
    me.press("New chat")
    await until(lambda: me.find("Temperature value").value == 0.7)
    assert me.find("System prompt").value.startswith("You are a calm")
    me.say("Second")
    await me.sees_reply("Second")
    assert running.engine.requests[-1].sampling.temperature == 0.7

    me.open_link("First")
    await until(lambda: me.find("Temperature value").value == 1.5)
    me.say("Again")
    await me.sees_reply("Again")
    assert running.engine.requests[-1].sampling.temperature == 1.5
    assert running.engine.requests[-1].turns[0].text == "Rhyme."


async def test_settings_of_a_new_chat_apply_to_its_first_reply(running: Program, saved: list[ChatOptions]) -> None:
    me = await visit(running)
    await me.open_settings()
    me.find("Seed").set_value(7)
    me.find("Top k value").set_value(3)
    await until(lambda: saved)
    me.say("Hi")
    await me.sees_reply("Hi")
    assert (running.engine.requests[-1].sampling.seed, running.engine.requests[-1].sampling.top_k) == (7, 3)


async def test_settings_changed_just_before_sending_apply_to_the_reply(running: Program) -> None:
    me = await visit(running)
    await me.open_settings()
    me.say("Hi")
    await me.sees_reply("Hi")
    me.find("Temperature value").set_value(1.5)
    me.say("Again")
    await me.sees_reply("Again")
    assert running.engine.requests[-1].sampling.temperature == 1.5


async def test_reset_brings_the_defaults_back(running: Program, saved: list[ChatOptions]) -> None:
    me = await visit(running)
    await me.open_settings()
    me.say("Hi")
    await me.sees_reply("Hi")
    me.find("Temperature value").set_value(1.5)
    me.find("Seed").set_value(3)
    await until(lambda: saved)
    me.press("Reset to defaults")
    assert me.find("Temperature value").value == 0.7
    assert me.find("Seed").value is None
    await until(lambda: saved[-1].temperature == 0.7)
    me.say("Again")
    await me.sees_reply("Again")
    assert running.engine.requests[-1].sampling.temperature == 0.7


async def test_slider_and_number_show_the_same(running: Program, saved: list[ChatOptions]) -> None:
    me = await visit(running)
    await me.open_settings()
    me.trigger("Temperature", "update:model-value", 1.2)
    assert me.find("Temperature value").value == 1.2
    me.find("Max tokens value").set_value(20_000)
    assert me.find("Max tokens").value == 4096, "the slider ends where people seldom go on"
    await until(lambda: saved)
    me.say("Hi")
    await me.sees_reply("Hi")
    assert running.engine.requests[-1].sampling.temperature == 1.2
    assert running.engine.requests[-1].sampling.max_tokens == 20_000


async def test_a_value_that_is_not_allowed_does_not_keep_others_from_being_saved(
    running: Program, saved: list[ChatOptions]
) -> None:
    me = await visit(running)
    await me.open_settings()
    me.find("Temperature value").set_value(5)
    me.find("Top k value").set_value(5)
    await until(lambda: saved)
    me.find("Temperature value").set_value(0.9)
    await until(lambda: len(saved) > 1)
    assert [(options.temperature, options.top_k) for options in saved] == [(0.7, 5), (0.9, 5)]


# The list


async def test_a_conversation_is_deleted_and_brought_back(running: Program) -> None:
    me, friend = await visit(running), await visit(running)
    me.say("Hi there")
    await me.sees_reply("Hi there")
    before = me.articles
    await until(lambda: me.titles == friend.titles == ["Hi there"])
    me.choose_from_menu("Hi there", "Delete")
    await until(lambda: me.articles == me.titles == friend.titles == [])
    assert [notice["text"] for notice in me.notices] == ["Moved to the Trash: “Hi there”"]
    await me.user.should_see("What is on your mind?")
    me.press("Undo")
    await until(lambda: me.articles == before and me.titles == friend.titles == ["Hi there"])
    await until(lambda: me.selected == ["Hi there"])
    assert me.notices == []


async def test_deleting_ends_a_reply_that_is_being_written(running: Program) -> None:
    me = await visit(running)
    await begin_story(running, me)
    await until(lambda: me.titles == ["Tell me a story"])
    me.choose_from_menu("Tell me a story", "Delete")
    await until(lambda: me.articles == [] and not me.is_busy and me.sees("Send") and not me.sees("Stop"))
    me.say("Something else")
    await me.sees_reply("Something else")
    await until(lambda: me.titles == ["Something else"])


async def test_deleting_another_conversation_leaves_the_open_one_open(running: Program) -> None:
    me = await visit(running)
    await say_in_new_chats(me, "One", "Two")
    me.choose_from_menu("One", "Delete")
    await until(lambda: me.titles == ["Two"])
    assert me.articles == [("You", "Two"), ("Assistant", "Two")]


async def test_a_conversation_that_somebody_else_deleted_says_so_when_it_is_used(running: Program) -> None:
    me = await visit(running)
    me.say("Hi there")
    await me.sees_reply("Hi there")
    friend = await visit(running, address_of(me))
    await until(lambda: me.titles == friend.titles == ["Hi there"])
    me.choose_from_menu("Hi there", "Delete")
    await until(lambda: me.titles == friend.titles == [])
    await until(lambda: friend.alerts)
    assert "deleted elsewhere" in friend.alerts[0]
    friend.say("Still there?")
    await until(lambda: 'localchat.composer.restore(...["Still there?", []])' in friend.scripts)
    assert "deleted" in friend.alerts[0]


async def test_a_conversation_is_renamed_everywhere(running: Program) -> None:
    me, friend = await visit(running), await visit(running)
    me.say("Hi there")
    await me.sees_reply("Hi there")
    await until(lambda: me.titles == ["Hi there"])
    me.rename("Hi there", "  Greetings ")
    await until(lambda: me.titles == friend.titles == ["Greetings"])
    await until(lambda: me.selected == ["Greetings"])
    await until(lambda: 'document.title = "Greetings · LocalChat"' in me.scripts)
    me.rename("Greetings", "   ")
    me.say("Go on")
    await me.sees_reply("Go on")
    await until(lambda: me.titles == ["Greetings"])


@pytest.mark.parametrize("texts", [("One", "Two", "Three"), ("One", "Two", "Three", "Four")])
async def test_the_newest_conversation_stands_first_and_more_are_shown_on_demand(
    running: Program, monkeypatch: pytest.MonkeyPatch, texts: tuple[str, ...]
) -> None:
    monkeypatch.setattr(conversation_list, "PAGE_SIZE", 2)
    me = await visit(running)
    await say_in_new_chats(me, *texts)
    newest_first = list(reversed(texts))
    friend = await visit(running)
    await until(lambda: friend.titles == newest_first[:2])
    friend.press("Show more")
    await until(lambda: friend.titles == newest_first)
    assert not friend.sees("Show more")


async def test_the_browsers_back_button_opens_the_conversation_before(running: Program) -> None:
    me = await visit(running)
    me.say("Hi")
    await me.sees_reply("Hi")
    address = address_of(me)
    me.press("New chat")
    await until(lambda: me.articles == [])
    navigate(me, address)
    await me.sees_reply("Hi")
    navigate(me, "/")
    await until(lambda: me.articles == [])


@pytest.mark.parametrize("address", ["/c/no-such-id", "/c/%3Cimg%20src=x%20onerror=alert(1)%3E"])
async def test_the_page_of_an_unknown_conversation_says_so_and_is_a_new_chat(running: Program, address: str) -> None:
    me = await visit(running, address)
    assert me.alerts == ["This conversation was not found. It may have been deleted."]
    assert me.articles == []
    me.say("Hi")
    await me.sees_reply("Hi")
    await until(lambda: me.titles == ["Hi"])
    assert me.alerts == []


# Models


async def test_choosing_another_model_answers_with_it(running: Program) -> None:
    me = await visit(running)
    await until(lambda: shown_model(me) == "first.gguf")
    choose_model(me, "second.gguf")
    await until(lambda: running.engine.model is not None and running.engine.model.path.name == "second.gguf")
    await until(lambda: shown_model(me) == "second.gguf")
    assert me.alerts == []


async def test_a_model_that_does_not_load_is_told_and_the_old_one_stays(running: Program) -> None:
    me, friend = await visit(running), await visit(running)
    await until(lambda: shown_model(me) == "first.gguf" and running.engine.model)
    running.engine.load_error = "second.gguf could not be loaded: it is corrupted or incomplete."
    choose_model(me, "second.gguf")
    await until(lambda: me.alerts == [running.engine.load_error])
    stranger = await visit(running)
    for visitor in (me, friend, stranger):
        await until(lambda visitor=visitor: shown_model(visitor) == "first.gguf")
    # Who did not choose it is not greeted by it.
    assert friend.alerts == stranger.alerts == []
    me.say("Still there?")
    await me.sees_reply("Still there?")

    running.engine.load_error = None
    choose_model(me, "second.gguf")
    for visitor in (me, friend):
        await until(lambda visitor=visitor: shown_model(visitor) == "second.gguf" and visitor.alerts == [])


async def test_a_choice_during_a_reply_says_what_will_happen(running: Program) -> None:
    me = await visit(running)
    await until(lambda: shown_model(me) == "first.gguf")
    await begin_story(running, me)
    choose_model(me, "second.gguf")
    await until(lambda: me.notices)
    [notice] = me.notices
    assert notice["kind"] == "info"
    assert notice["text"].startswith("This reply finishes with first")


async def test_a_file_that_cannot_be_read_says_why_each_time_it_is_chosen(program: Program) -> None:
    (program.models / UNREADABLE).write_bytes(b"GGUF")
    async with program.running():
        me = await visit(program)
        await until(lambda: shown_model(me) == "first.gguf")
        for _ in range(2):
            choose_model(me, UNREADABLE)
            await until(lambda: me.alerts)
            assert f"{UNREADABLE} could not be read" in me.alerts[0]
            assert shown_model(me) == "first.gguf"
            me.press("Dismiss")
            assert me.alerts == []


async def test_a_model_that_was_added_is_found_when_the_list_is_opened(running: Program) -> None:
    me = await visit(running)
    await until(lambda: shown_model(me) == "first.gguf")
    (running.models / "third.gguf").write_bytes(b"GGUF")
    me.trigger("Model", "popup-show", "")
    await until(lambda: any(path.endswith("third.gguf") for path in me.find("Model").options))
    assert shown_model(me) == "first.gguf"


@pytest.mark.parametrize("is_noticed", [True, False], ids=["noticed", "unnoticed"])
async def test_a_model_that_vanished_is_told_when_it_is_chosen(running: Program, is_noticed: bool) -> None:
    me = await visit(running)
    await until(lambda: shown_model(me) == "first.gguf")
    (running.models / "second.gguf").unlink()
    if is_noticed:
        # Another tab looked: this one still shows the list that was drawn before.
        box = me.find("Model")
        box.client.outbox.updates.clear()
        gone = next(path for path in box.options if path.endswith("second.gguf"))
        me.trigger("Model", "popup-show", "")
        await until(lambda: gone not in box.options)
        box.options[gone] = "second.gguf"
    choose_model(me, "second.gguf")
    await until(lambda: me.alerts)
    assert me.alerts == ["second.gguf is no longer there. It may have been moved, renamed or deleted."]
    await until(lambda: [path for path in me.find("Model").options if path.endswith("second.gguf")] == [])
    assert shown_model(me) == "first.gguf"


# Hostile text


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_text_is_shown_as_text_wherever_it_stands(running: Program, hostile: str) -> None:
    running.engine.enqueue(f"{hostile}\n\n~~~~{hostile}\n{hostile}\n~~~~")
    me = await visit(running)
    me.say(hostile)
    await until(lambda: len(me.articles) == 2 and not me.is_busy)
    assert me.articles[0] == ("You", hostile)
    await until(lambda: hostile in me.articles[1][1])
    title = title_of(hostile)
    await until(lambda: me.titles == [title])
    me.rename(title, f"Re: {title}")
    await until(lambda: me.titles == [f"Re: {title}"])
    assert_only_harmless_html(me)

    again = await visit(running, address_of(me))
    assert again.articles[0] == me.articles[0]
    assert "".join(again.articles[1][1].split()) == "".join(me.articles[1][1].split())
    await until(lambda: again.titles == me.titles)
    assert_only_harmless_html(again)
    response = await me.user.http_client.get(address_of(me))
    for dangerous in ("<script>alert", "<img src=x", "<b>bold", "</textarea>", "</title><b>", "</script><script>alert"):
        assert dangerous not in response.text


async def test_a_hostile_name_of_a_model_is_shown_as_text(program: Program, tmp_path: Path) -> None:
    (program.models / "<img src=x onerror=alert(1)>.gguf").write_bytes(b"GGUF")
    async with program.running():
        me = await visit(program)
        await until(lambda: shown_model(me) != "")
        response = await me.user.http_client.get("/")
    assert "onerror" in response.text
    assert "<img src=x" not in response.text


# Start and restart


async def test_a_page_arrives_with_its_messages_in_it(running: Program) -> None:
    """It is there at once, and not only when the socket has connected."""
    me = await visit(running)
    me.say("Hi there")
    await me.sees_reply("Hi there")
    response = await me.user.http_client.get(address_of(me))
    assert response.text.count("Hi there") > 2
    assert "<title>Hi there · LocalChat</title>" in response.text


async def test_everything_is_there_again_after_a_restart(program: Program) -> None:
    async with program.running():
        me = await visit(program)
        me.say("Hi there")
        await me.sees_reply("Hi there")
        await begin_story(program, me)
        before, address = me.articles, address_of(me)
    async with program.running():
        me = await visit(program, address)
        await until(lambda: me.titles == ["Hi there"])
        assert me.articles[:3] == before[:3]
        interrupted = me.articles[3][1]
        assert me.footer(3).startswith("Interrupted: the program ended while this was written.")
        assert interrupted.startswith("word0")
        program.engine.enqueue("Once upon a time.")
        me.act("Try again")
        await me.sees_reply("Once upon a time.")


async def visit(program: Program, path: str = "/") -> Visitor:
    visitor = program.visitor()
    await visitor.open(path)
    return visitor


def assert_only_harmless_html(visitor: Visitor) -> None:
    """Whatever is not plain text has been through the Markdown renderer."""
    for element in visitor.user.current_layout.descendants():
        if isinstance(element, ui.html) and not {"footer", "shortcuts"} & set(element.classes):
            assert_harmless(element.content)


async def say_in_new_chats(visitor: Visitor, *texts: str) -> None:
    for text in texts:
        visitor.press("New chat")
        await until(lambda: visitor.articles == [])
        visitor.say(text)
        await visitor.sees_reply(text)
        await until(lambda: visitor.titles[:1] == [text])  # noqa: B023


async def begin_story(program: Program, visitor: Visitor) -> None:
    """A long reply of which some words are there already."""
    program.engine.seconds_per_token = 0.003
    program.engine.enqueue(*STORY)
    visitor.say("Tell me a story")
    await until(lambda: visitor.articles and visitor.articles[-1][1].startswith("word0"))


def address_of(visitor: Visitor) -> str:
    """Where the visitor is, by what the browser was told last."""
    told = [script for script in visitor.scripts if script.startswith("history.")]
    return str(json.loads(told[-1].removesuffix(");").partition('"", ')[2]))


def navigate(visitor: Visitor, path: str) -> None:
    """The browser goes back or forward."""
    UserInteraction(visitor.user, {visitor.user.current_layout}, None).trigger("navigate", path)


def shown_model(visitor: Visitor) -> str:
    return Path(visitor.find("Model").value or "").name


def choose_model(visitor: Visitor, name: str) -> None:
    box = visitor.find("Model")
    box.set_value(next(path for path in box.options if path.endswith(name)))
