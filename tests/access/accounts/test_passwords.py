"""Hashing is slow on purpose: it holds up nothing but other hashing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from localchat_ui.access.accounts import Accounts
from localchat_ui.access.accounts.passwords import HASH_THREADS

PASSWORD = "correct horse"


@pytest.fixture
def full_executor() -> Iterator[ThreadPoolExecutor]:
    """One thread, which does nothing else until the test is over."""
    over = threading.Event()
    executor = ThreadPoolExecutor(1)
    executor.submit(over.wait)
    yield executor
    over.set()
    executor.shutdown()


async def test_a_login_waits_for_no_other_work_of_the_program(accounts: Accounts, full_executor: ThreadPoolExecutor):
    asyncio.get_running_loop().set_default_executor(full_executor)
    await asyncio.wait_for(accounts.users.add("alice", PASSWORD), 5)
    assert await asyncio.wait_for(accounts.sessions.log_in("alice", PASSWORD), 5)


async def test_a_flood_of_logins_takes_two_threads_that_say_what_they_do(accounts: Accounts):
    await accounts.users.add("alice", PASSWORD)
    seen: set[str] = set()
    verify = accounts.passwords._verify
    together = threading.Barrier(HASH_THREADS)

    def note(hashed: str, password: str) -> bool:
        together.wait(10)  # each hash has another one beside it
        seen.add(threading.current_thread().name)
        return verify(hashed, password)

    accounts.passwords._verify = note  # type: ignore[method-assign]
    found = await asyncio.gather(*(accounts.sessions.log_in("alice", PASSWORD) for _ in range(20)))
    assert all(found)
    assert seen == {f"password-hash_{n}" for n in range(HASH_THREADS)}
