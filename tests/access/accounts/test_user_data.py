"""What becomes of what somebody has written when the account goes: never anything that nobody has said."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from localchat_ui.access.accounts import AccountError, Accounts, UserDataError
from localchat_ui.access.visitor import User
from localchat_ui.conversation import PRESET_NAME_LENGTH, Conversation, Message, Role
from localchat_ui.history.database import Database
from localchat_ui.history.preferences import Preferences
from localchat_ui.history.presets import Presets
from localchat_ui.history.store import HistoryStore
from localchat_ui.history.user_data import UserData

PASSWORD = "correct horse"
LONG_NAME = "x" * PRESET_NAME_LENGTH


class House:
    """Alice and Bob have each one conversation about their name, and prompts of the same names."""

    def __init__(self, accounts: Accounts, store: HistoryStore) -> None:
        self.accounts = accounts
        self.store = store
        self.saved = Presets(store.database)
        self.preferences = Preferences(store.database)
        self.whose: str | None = None
        self.ids: dict[str, str] = {}

    async def move_in(self, user: User) -> None:
        self.ids[user.name] = self.whose = user.id
        conversation = Conversation(title=f"About {user.name}")
        await self.store.add_conversation(conversation)
        question = Message(conversation.id, Role.USER, f"Who is {user.name}?")
        await self.store.add_message(question, Message(conversation.id, Role.ASSISTANT, "Me.", parent_id=question.id))
        await self.store.add_conversation(Conversation())  # begun, and nothing said
        for name in ("Poet", LONG_NAME):
            await self.saved.save(name, f"You are {user.name}.")
        await self.preferences.set(f"chat.defaults.{user.id}", {"top_k": 3})

    async def titles(self, name: str) -> list[str]:
        self.whose = self.ids[name]
        return sorted(each.title for each in await self.store.conversations())

    async def presets(self, name: str) -> list[tuple[str, str]]:
        self.whose = self.ids[name]
        return [(each.name, each.text) for each in await self.saved.all()]


@pytest.fixture
async def house(accounts: Accounts) -> AsyncIterator[House]:
    house = House(accounts, HistoryStore(Database(accounts.database.url, current_owner=lambda: house.whose)))
    await house.store.database.open()
    for name in ("alice", "bob"):
        await house.move_in(await accounts.users.add(name, PASSWORD))
    yield house
    await house.store.database.close()


async def test_nobody_is_removed_while_it_is_not_said_what_becomes_of_it(house: House) -> None:
    assert await house.accounts.users.data("bob") == UserData(1, 2)
    with pytest.raises(UserDataError, match="bob has 1 conversation and 2 saved prompts"):
        await house.accounts.users.remove("bob")
    for heir, said in (("carol", "no user carol"), ("bob", "no user bob")):
        with pytest.raises(AccountError, match=said):
            await house.accounts.users.remove("bob", give_to=heir)
    assert await house.accounts.sessions.log_in("bob", PASSWORD)
    assert await house.titles("bob") == ["About bob"]
    assert len(await house.presets("bob")) == 2


async def test_what_is_erased_is_gone_and_nothing_else_is(house: House) -> None:
    assert await house.accounts.users.remove("bob", erase=True) == UserData(1, 2)
    assert await house.titles("bob") == []
    assert await house.presets("bob") == []
    assert await house.store.search("bob") == []
    assert await house.preferences.get(f"chat.defaults.{house.ids['bob']}") is None
    async with house.accounts.database.begin() as session:
        connection = await session.connection()
        assert (await connection.exec_driver_sql("SELECT count(*) FROM conversations")).scalar() == 2
        assert (await connection.exec_driver_sql("SELECT count(*) FROM messages")).scalar() == 2
    assert await house.titles("alice") == ["About alice"]
    assert await house.preferences.get(f"chat.defaults.{house.ids['alice']}") == {"top_k": 3}
    assert len(await house.presets("alice")) == 2


async def test_what_is_given_is_the_others_and_found_there(house: House) -> None:
    assert await house.accounts.users.remove("bob", give_to=" Alice ") == UserData(1, 2)
    assert await house.titles("alice") == ["About alice", "About bob"]
    [hit] = await house.store.search("bob")
    assert hit.conversation.title == "About bob"
    assert [each.text for each in await house.store.branch(hit.conversation.id)] == ["Who is bob?", "Me."]
    # Names that are taken get another one, and no prompt is lost.
    assert await house.presets("alice") == [
        ("Poet", "You are alice."),
        ("Poet (bob)", "You are bob."),
        (f"{LONG_NAME[:-6]} (bob)", "You are bob."),
        (LONG_NAME, "You are alice."),
    ]
    assert await house.titles("bob") == []


async def test_whoever_has_written_nothing_simply_goes(house: House) -> None:
    await house.accounts.users.add("carol", PASSWORD)
    assert await house.accounts.users.data("carol") == UserData()
    assert not await house.accounts.users.remove("carol")
    with pytest.raises(AccountError, match="no user carol"):
        await house.accounts.users.data("carol")
