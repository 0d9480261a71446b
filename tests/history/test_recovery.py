# ruff: noqa: ASYNC240 - nothing else runs meanwhile
"""A damaged file: found at the start, named with what to do, backed up in time, and read as far as it can be."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from localchat_ui.history import backups, trash
from localchat_ui.history import maintenance as maintenance_module
from localchat_ui.history.database import Database, check
from localchat_ui.history.errors import HistoryError, backups_of
from localchat_ui.history.integrity import problem_in
from localchat_ui.history.maintenance import Maintenance
from localchat_ui.history.recovery import recover
from localchat_ui.history.store import HistoryStore
from localchat_ui.history.tables import ConversationRow

from .conftest import OpenStore, start_conversation, url_of

PAGE = 4096
N_CONVERSATIONS = 30
LONG = "a long answer " * 1000


@pytest.fixture
async def file(store: HistoryStore, database: Path) -> Path:
    """Thirty conversations of four messages, some longer than a page."""
    for number in range(N_CONVERSATIONS):
        texts = ("Question?", f"Answer {number}.", "And?", LONG if number % 3 == 0 else "Nothing.")
        await start_conversation(store, *texts, title=f"Conversation {number}")
    await store.database.close()
    return database


async def exists(store: HistoryStore, conversation_id: str) -> bool:
    async with store.database.transaction() as session:
        return await session.get(ConversationRow, conversation_id) is not None


async def contents(path: Path) -> dict[str, list[str]]:
    """The branch shown of each conversation that is listed, by title."""
    store = HistoryStore(await Database(url_of(path)).open())
    found = {c.title: [m.text for m in await store.branch(c.id)] for c in await store.conversations(limit=1000)}
    await store.database.close()
    return found


def root_page(path: Path, name: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        [page] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    return int(page)


def destroy(path: Path, *pages: int) -> None:
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE)
            file.write(random.Random(page).randbytes(PAGE))


async def test_a_whole_file_is_recovered_as_it_is(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    counts = recover(file, tmp_path / "new.sqlite3")
    assert (counts["conversations"], counts["messages"]) == (N_CONVERSATIONS, 4 * N_CONVERSATIONS)
    assert await contents(tmp_path / "new.sqlite3") == await contents(file)
    assert file.read_bytes() == before
    with pytest.raises(HistoryError, match="already"):
        recover(file, tmp_path / "new.sqlite3")


@pytest.mark.parametrize("table", ["messages", "conversations", "sqlite_autoindex_messages_1", "search_entries"])
async def test_when_the_top_of_a_table_is_lost_everything_below_it_is_found(
    file: Path, tmp_path: Path, table: str
) -> None:
    expected = await contents(file)
    destroy(file, root_page(file, table))

    recover(file, tmp_path / "new.sqlite3")

    found = await contents(tmp_path / "new.sqlite3")
    assert problem_in(tmp_path / "new.sqlite3") == ""
    if table == "conversations" and len(found) == N_CONVERSATIONS:
        assert sorted(found.values()) == sorted(expected.values())
    else:
        assert found == expected


async def test_of_a_file_whose_first_page_is_lost_the_conversations_are_found(file: Path, tmp_path: Path) -> None:
    expected = await contents(file)
    destroy(file, 1)
    recover(file, tmp_path / "new.sqlite3")
    assert await contents(tmp_path / "new.sqlite3") == expected


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_destroyed_the_new_file_is_whole_and_has_the_rest(
    file: Path, tmp_path: Path, seed: int
) -> None:
    expected = await contents(file)
    n_pages = file.stat().st_size // PAGE
    destroy(file, *random.Random(seed).sample(range(1, n_pages + 1), 3))

    recover(file, tmp_path / "new.sqlite3")

    assert problem_in(tmp_path / "new.sqlite3") == ""
    found = await contents(tmp_path / "new.sqlite3")
    known = {text for texts in expected.values() for text in texts}
    said = [text for texts in found.values() for text in texts]
    # The middle of a long text may be what was destroyed.
    assert {LONG if text.startswith(LONG[:500]) else text for text in said} <= known
    assert len(said) >= 0.6 * 4 * N_CONVERSATIONS


async def test_a_damaged_file_is_found_at_the_start_and_the_newest_backup_is_named(file: Path) -> None:
    check(url_of(file))
    made = backups.back_up(file)
    destroy(file, root_page(file, "messages"))
    with pytest.raises(HistoryError, match=r"the file is damaged.*database recover") as caught:
        check(url_of(file))
    assert str(made) in str(caught.value)


async def test_while_it_runs_a_damaged_file_is_named_with_what_to_do(file: Path, open_store: OpenStore) -> None:
    made = backups.back_up(file)
    store = await open_store()
    [conversation, *_] = await store.conversations()
    await store.database.close()
    destroy(file, root_page(file, "messages"))
    store = await open_store()
    with pytest.raises(HistoryError, match=r"damaged.*database recover") as caught:
        await store.branch(conversation.id)
    assert str(made) in str(caught.value)


async def test_a_backup_is_made_once_a_day_and_the_last_three_are_kept(file: Path, open_store: OpenStore) -> None:
    store = await open_store()
    folder = file.parent / "backups"
    folder.mkdir()
    for day in range(1, 5):
        (folder / f"{file.stem}-2024-01-0{day}{file.suffix}").touch()
        os.utime(folder / f"{file.stem}-2024-01-0{day}{file.suffix}", (1, 1))
    await Maintenance(store).run()
    newest, *rest = backups_of(file)
    assert [path.name[-18:] for path in rest] == ["2024-01-04.sqlite3", "2024-01-03.sqlite3"]
    assert newest.stat().st_mode & 0o077 == 0
    assert await contents(newest) == await contents(file)
    changed = newest.stat().st_mtime
    await Maintenance(store).run()
    assert newest.stat().st_mtime == changed


async def test_a_damaged_file_replaces_no_good_backup(file: Path) -> None:
    good = backups.back_up(file)
    before = good.read_bytes()
    destroy(file, root_page(file, "messages"))
    with pytest.raises(HistoryError, match="damaged"):
        backups.back_up(file)
    assert backups_of(file) == [good]
    assert good.read_bytes() == before
    assert [path.name for path in good.parent.iterdir()] == [good.name]


async def test_a_backup_that_is_ended_leaves_nothing_behind(file: Path) -> None:
    with pytest.raises(HistoryError, match="shutting down"):
        backups.back_up(file, is_stopped=lambda: True)
    assert not list((file.parent / "backups").iterdir())


async def test_a_backup_beside_a_writer_is_one_state_of_the_file(file: Path, open_store: OpenStore) -> None:
    store = await open_store()
    backups.PAGES_AT_A_TIME, pages = 1, backups.PAGES_AT_A_TIME
    looks = 0

    def write_meanwhile() -> bool:
        nonlocal looks
        looks += 1
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("UPDATE conversations SET title = title || '!'")
        return False

    made = backups.back_up(file, is_stopped=write_meanwhile)
    backups.PAGES_AT_A_TIME = pages
    assert looks > 10
    assert set(await contents(made)) == {f"Conversation {number}" for number in range(N_CONVERSATIONS)}
    assert len(await store.conversations()) == N_CONVERSATIONS


async def test_what_was_deleted_is_erased_while_the_program_runs(
    store: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash, "RETENTION", -trash.RETENTION)
    monkeypatch.setattr(maintenance_module, "INTERVAL_SECONDS", 0.01)
    failures = iter([HistoryError("The disk is full."), ZeroDivisionError()])
    purge = store.purge

    async def purge_at_last(older_than: object) -> int:
        for failure in failures:
            raise failure
        return await purge(older_than)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "purge", purge_at_last)
    conversation, _ = await start_conversation(store, "Hi")
    maintenance = Maintenance(store)
    maintenance.start()
    await store.delete(conversation.id)
    deadline = time.monotonic() + 10
    while await exists(store, conversation.id):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await maintenance.close()
