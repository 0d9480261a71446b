"""The fixtures of the history and of access, on PostgreSQL instead of a SQLite file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from inspect import signature
from types import ModuleType
from typing import Any

import asyncpg
import pytest

from localchat_ui.access import tables  # noqa: F401 - part of what is emptied
from localchat_ui.history.database import Database
from localchat_ui.history.tables import Base

from .cluster import Cluster

SHARED = "shared"
EMPTY = f"TRUNCATE {', '.join(Base.metadata.tables)}"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """With a database whose tables are made."""
    with Cluster() as cluster:
        cluster.run("createdb", SHARED)
        asyncio.run(_make_tables(cluster.url(SHARED)))
        yield cluster


@pytest.fixture
async def database_url(cluster: Cluster) -> str:
    """In the place of the fixture of the same name in the rooms whose tests run here. Nothing is in its tables."""
    # A database for each test would be a copy of three hundred files.
    server = await asyncpg.connect(cluster.url(SHARED).replace("+asyncpg", ""))
    await server.execute(EMPTY)
    await server.close()
    return cluster.url(SHARED)


def collected(*modules: ModuleType) -> dict[str, Callable[..., Any]]:
    """The tests of these modules that need a database, whichever; those that open SQLite's file are for it alone."""
    found: dict[str, Callable[..., Any]] = {}
    for module in modules:
        for name, test in vars(module).items():
            if name.startswith("test_") and asyncio.iscoroutinefunction(test):
                assert name not in found, name
                if not {"database", "tmp_path"} & set(signature(test).parameters):
                    found[name] = test
    return found


async def _make_tables(url: str) -> None:
    database = await Database(url).open()
    await database.close()
