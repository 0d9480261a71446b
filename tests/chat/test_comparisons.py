"""One prompt to several models: at once or in turn, stopped, failed, voted on, and kept as versions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localchat_ui.access import AccessDatabase, User, Visitor, acting_as
from localchat_ui.access.quotas import Quotas
from localchat_ui.chat import ChatError, ComparisonService
from localchat_ui.chat import comparisons as module
from localchat_ui.comparison import Choice, Column, Comparison, standings
from localchat_ui.conversation import ChatOptions, Conversation, Message, MessageState, Role
from localchat_ui.engine.base import ModelLoadError
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.history.preferences import Preferences
from localchat_ui.inference import ModelRef
from localchat_ui.library.model_file import ModelFile
from localchat_ui.settings import Settings

from .house import MODEL, STORY, House, until

SMALL, LARGE = (
    ModelRef.of_file(ModelFile(Path(f"{name}.gguf"), name.title(), None, "", 1, 0, None, is_starter=False))
    for name in ("small", "large")
)
BROKEN = "Large does not fit into memory."


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """Each person may have three replies at a time."""
    engine = ScriptedEngine()
    engine.load(MODEL.path, lambda share: None)
    async with AccessDatabase(f"sqlite:///{tmp_path / 'chat.sqlite3'}") as database:
        quotas = Quotas(Settings(_env_file=None, generations_per_user=3), database)
        async with House(tmp_path, engine, quotas) as house:
            monkeypatch.setattr(type(house.models), "models", [SMALL, LARGE])

            async def prepare(file: ModelFile) -> None:
                if engine.load_error and file == LARGE.file:
                    raise ModelLoadError(engine.load_error)

            monkeypatch.setattr(house.local, "prepare", prepare)
            with acting_as(Visitor("session", "10.0.0.1", "one", User("anna", "anna"))):
                yield house


@pytest.fixture
async def service(house: House) -> AsyncIterator[ComparisonService]:
    preferences = Preferences(house.store.database)
    quotas = house.chat._replies._quotas
    service = ComparisonService(house.chat, house.store, house.models, house.local, preferences, quotas=quotas)
    yield service
    await service.runs.close()


def compare(*models: ModelRef, blind: bool = False) -> Comparison:
    columns = [
        Column(model.id, Conversation(options=ChatOptions(temperature=n / 10))) for n, model in enumerate(models)
    ]
    return Comparison(columns, blind=blind)


async def said(house: House, column: Column) -> list[Message]:
    return await house.store.branch(column.conversation.id)


async def ended(service: ComparisonService, comparison: Comparison) -> None:
    await until(lambda: not service.runs.is_running(comparison))


async def test_all_are_asked_with_their_own_settings_and_again(house: House, service: ComparisonService) -> None:
    comparison = compare(SMALL, LARGE, SMALL)
    for prompt in ("Hello there", "And again"):
        await service.ask(comparison, prompt)
        with pytest.raises(ChatError, match="still being written"):
            await service.ask(comparison, "Too soon")
        await ended(service, comparison)

    for column in comparison.columns:
        messages = await said(house, column)
        assert [message.text for message in messages] == ["Hello there", "Hello there", "And again", "And again"]
        assert messages[1].model == column.model
    assert sorted(request.sampling.temperature for request in house.engine.requests[:3]) == [0.0, 0.1, 0.2]
    again = await service.comparisons.get(comparison.id)
    assert again is not None
    assert [column.options.temperature for column in again.columns] == [0.0, 0.1, 0.2]


async def test_models_that_do_not_fit_together_write_in_turn(
    house: House, service: ComparisonService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.local, "fit_together", lambda files: len(files) < 2)
    house.engine.seconds_per_token = 0.002
    house.engine.enqueue(*STORY)
    comparison = compare(SMALL, LARGE, SMALL)
    await service.ask(comparison, "Go")
    small, large, same = comparison.columns

    await until(
        lambda: service.chat.is_writing(small.conversation.id) and service.chat.is_writing(same.conversation.id)
    )
    assert service.runs.reason_to_wait(comparison, small) is None
    assert "do not fit into memory together" in str(service.runs.reason_to_wait(comparison, large))
    service.runs.stop(comparison, small)
    await ended(service, comparison)

    assert [(await said(house, column))[-1].state for column in comparison.columns] == [
        MessageState.STOPPED,
        MessageState.COMPLETE,
        MessageState.COMPLETE,
    ]


async def test_the_limit_of_replies_at_a_time_lets_columns_wait_and_stop_all_ends_them(
    house: House, service: ComparisonService
) -> None:
    house.engine.seconds_per_token = 0.002
    for _ in range(3):
        house.engine.enqueue(*STORY)
    comparison = compare(SMALL, LARGE, SMALL, LARGE)
    await service.ask(comparison, "Go")
    last = comparison.columns[3]
    await until(lambda: service.runs.reason_to_wait(comparison, last) == "Waits: 3 replies may be written at a time.")
    service.runs.stop(comparison)
    await ended(service, comparison)
    assert [message.role for message in await said(house, last)] == [Role.USER]

    await service.ask(comparison, "Short")
    await ended(service, comparison)

    # The columns stay side by side.
    assert [len(await said(house, column)) for column in comparison.columns] == [4, 4, 4, 4]


async def test_a_reply_in_the_chat_counts_as_well(house: House, service: ComparisonService) -> None:
    house.engine.seconds_per_token = 0.002
    for _ in range(3):
        house.engine.enqueue(*STORY)
    chatting = house.chat.new_conversation()
    await house.chat.send(chatting, "Go")
    comparison = compare(SMALL, LARGE, SMALL)
    await service.ask(comparison, "Go")

    last = comparison.columns[2]
    await until(lambda: service.runs.reason_to_wait(comparison, last) == "Waits: 3 replies may be written at a time.")
    service.runs.stop(comparison)
    await ended(service, comparison)
    house.chat.stop(chatting.id)


async def test_a_model_that_cannot_be_loaded_says_so_in_its_column(house: House, service: ComparisonService) -> None:
    house.engine.load_error = BROKEN
    comparison = compare(SMALL, LARGE, blind=True)
    await service.ask(comparison, "Go")
    await ended(service, comparison)

    failed = next(column for column in comparison.columns if column.model == LARGE.id)
    assert [(message.state, message.error) for message in await said(house, failed)][1:] == [
        (MessageState.FAILED, BROKEN)
    ]
    with pytest.raises(ChatError, match="Vote when"):
        await service.vote(comparison, Choice.A)
    house.engine.load_error = None
    await service.retry(comparison, failed)
    await ended(service, comparison)
    assert await service.may_vote(comparison)


async def test_a_blind_duel_is_shuffled_and_its_vote_adds_up(
    house: House, service: ComparisonService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.random, "shuffle", lambda columns: columns.reverse())
    comparison = compare(SMALL, LARGE, blind=True)
    await service.ask(comparison, "Go")
    await ended(service, comparison)
    assert [column.model for column in comparison.columns] == [LARGE.id, SMALL.id]

    await service.vote(comparison, Choice.B)

    assert not comparison.is_secret
    first, _last = standings(await service.comparisons.votes())
    assert (first.name, first.wins) == ("Small · Temperature 0", 1)
    with pytest.raises(ChatError, match="are the same"):
        await service.ask(Comparison([Column(SMALL.id), Column(SMALL.id)], blind=True), "Go")


async def test_a_page_that_was_opened_before_any_model_was_found_asks_the_first(
    house: House, service: ComparisonService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(house.models), "current", None)
    comparison = Comparison([Column(""), Column("")])
    await service.ask(comparison, "Go")
    await ended(service, comparison)
    assert {column.model for column in comparison.columns} == {SMALL.id}
    monkeypatch.setattr(type(house.models), "models", [])
    with pytest.raises(ChatError, match="Choose a model"):
        await service.ask(Comparison([Column(""), Column("")]), "Go")


async def test_what_was_deleted_in_another_tab_does_not_come_back(house: House, service: ComparisonService) -> None:
    comparison = compare(SMALL, LARGE)
    await service.ask(comparison, "Go")
    await ended(service, comparison)
    await service.delete(comparison)

    for attempt in (
        service.ask(comparison, "Again"),
        service.retry(comparison, comparison.columns[0]),
        service.keep(comparison),
    ):
        with pytest.raises(ChatError, match="may have been deleted"):
            await attempt

    assert await house.store.conversations(with_columns=True) == []


async def test_replies_are_kept_as_versions_of_one_turn(house: House, service: ComparisonService) -> None:
    comparison = compare(SMALL, LARGE)
    for prompt in ("One", "Two"):
        await service.ask(comparison, prompt)
        await ended(service, comparison)

    kept = await service.keep(comparison)

    assert [each.id for each in await house.store.conversations()] == [kept.id]
    messages = await house.store.branch(kept.id)
    assert [(message.text, message.model) for message in messages if message.role is Role.ASSISTANT] == [
        ("One", SMALL.id),
        ("Two", SMALL.id),
    ]
    version = (await house.store.versions(messages))[messages[1].id]
    assert (version.number, version.count) == (1, 2)
    await house.store.select_version(kept.id, version.next_id or "")
    assert [message.model for message in await house.store.branch(kept.id)][1::2] == [LARGE.id, LARGE.id]
