"""Comparisons and votes in the database: each person's own, and their columns in no list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from localchat_ui.comparison import Choice, Column, Comparison, Contestant, Vote
from localchat_ui.conversation import Conversation, Message, Role
from localchat_ui.history import user_data
from localchat_ui.history.comparisons import ComparisonStore
from localchat_ui.history.database import Database
from localchat_ui.history.store import HistoryStore
from localchat_ui.history.user_data import UserData


class House:
    """Says who is there."""

    def __init__(self, database_url: str) -> None:
        self.owner: str | None = "anna"
        self.database = Database(database_url, current_owner=lambda: self.owner)
        self.history = HistoryStore(self.database)
        self.comparisons = ComparisonStore(self.database)

    async def compare(self) -> Comparison:
        columns = [Column(model, Conversation(title=f"Whales · {model}")) for model in ("tiny", "large")]
        comparison = Comparison(columns, "Whales", blind=True)
        await self.comparisons.save(comparison)
        await self.comparisons.save(comparison)
        for column in columns:
            question = Message(column.conversation.id, Role.USER, "Do whales sleep?")
            await self.history.add_message(question)
        return comparison


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    house = House(database_url)
    await house.database.open()
    yield house
    await house.database.close()


def vote(comparison: Comparison) -> Vote:
    return Vote(comparison.id, Choice.B, Contestant("tiny", 12.5, 6_000_000_000), Contestant("large"))


async def test_columns_come_back_in_order_and_stand_in_no_list(house: House) -> None:
    comparison = await house.compare()
    await house.comparisons.vote(vote(comparison))

    found = await house.comparisons.get(comparison.id)

    assert found is not None
    assert [column.model for column in found.columns] == ["tiny", "large"]
    assert (found.title, found.blind, found.vote) == ("Whales", True, Choice.B)
    assert await house.history.conversations() == []
    assert await house.history.search("whales") == []
    assert len(await house.history.conversations(with_columns=True)) == 2  # for exports
    [stored] = await house.comparisons.votes()
    assert (stored.choice, stored.a, stored.b) == (Choice.B, vote(comparison).a, vote(comparison).b)


async def test_there_is_one_vote_and_it_outlives_its_comparison(house: House) -> None:
    comparison = await house.compare()
    votes = (house.comparisons.vote(vote(comparison)) for _press in range(2))
    first, second = await asyncio.gather(*votes, return_exceptions=True)
    assert sorted(map(str, (first, second))) == ["None", "This duel was voted on already, perhaps in another tab."]

    await house.comparisons.delete(comparison.id)

    assert await house.comparisons.recent(9) == []
    assert await house.history.conversations(with_columns=True) == []
    assert len(await house.comparisons.votes()) == 1


@pytest.mark.parametrize("other", ["ben", None, ""])
async def test_nobody_else_sees_votes_on_or_deletes_them(house: House, other: str | None) -> None:
    comparison = await house.compare()
    await house.comparisons.vote(vote(comparison))

    house.owner = other
    assert await house.comparisons.get(comparison.id) is None
    assert await house.comparisons.recent(9) == []
    assert await house.comparisons.votes() == []
    await house.comparisons.delete(comparison.id)
    assert await house.comparisons.delete_votes() == 0

    house.owner = "anna"
    [found] = await house.comparisons.recent(9)
    assert (found.id, len(found.columns), len(await house.comparisons.votes())) == (comparison.id, 2, 1)


async def test_they_go_with_the_account_or_to_the_heir(house: House) -> None:
    comparison = await house.compare()
    await house.comparisons.vote(vote(comparison))
    async with house.database.transaction(of_all=True) as session:
        assert await user_data.user_data_of(session, "anna") == UserData(0, 0, 1, 1)
        await user_data.hand_over(session, "anna", "anna", "ben")
    house.owner = "ben"
    assert len((await house.comparisons.recent(9))[0].columns) == 2

    async with house.database.transaction(of_all=True) as session:
        assert str(await user_data.user_data_of(session, "ben")) == "1 comparison and 1 vote"
        await user_data.erase(session, "ben")
        assert not await user_data.user_data_of(session, "ben")
    assert await house.comparisons.recent(9) == []
    assert await house.history.conversations(with_columns=True) == []
