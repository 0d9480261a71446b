"""The history on PostgreSQL: what holds on SQLite holds there, as far as it does not look into the file."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from localchat_ui.history.database import Database, open_engine, parse_url
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.store import HistoryStore
from localchat_ui.history.tables import Base
from tests.history import test_comparisons, test_search, test_store, test_tree
from tests.history.conftest import open_store, start_conversation, store
from tests.history.test_comparisons import house
from tests.history.test_tree import see_that_the_tree_does_what_a_simple_model_of_it_does

from .conftest import collected

__all__ = ["house", "open_store", "store"]

SQLITE_ALONE = {
    "test_diacritics_do_not_count",  # as search.py says: ILIKE minds them
}

globals().update(collected(test_comparisons, test_search, test_store, test_tree))
for name in SQLITE_ALONE:
    del globals()[name]


@pytest.fixture
def _both_ways() -> None:
    """There is one way here."""


def test_the_tree_does_what_a_simple_model_of_it_does(database_url: str) -> None:
    see_that_the_tree_does_what_a_simple_model_of_it_does(database_url)


async def test_the_migrations_build_the_tables_of_the_program(database_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))

    engine = await open_engine(parse_url(database_url))
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_search_is_the_same_as_on_sqlite_apart_from_diacritics(store: HistoryStore) -> None:
    await start_conversation(store, "Crème brûlée", title="Dessert")
    assert await store.search("creme") == []
    assert [hit.conversation.title for hit in await store.search("CRÈME")] == ["Dessert"]


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql", "postgres"])
async def test_a_database_that_is_not_there_is_explained(database_url: str, driver: str) -> None:
    with pytest.raises(HistoryError, match='cannot be used: database "nowhere" does not exist'):
        await Database(f"{driver}://localchat@/nowhere?{database_url.partition('?')[2]}").open()


async def test_a_driver_that_is_not_there_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    class NotInstalled(MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            if name == "asyncpg":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.delitem(sys.modules, "asyncpg", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NotInstalled(), *sys.meta_path])
    with pytest.raises(HistoryError, match="pip install asyncpg"):
        await Database("postgresql://localchat@/nowhere").open()
