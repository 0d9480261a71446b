"""Passwords: which are allowed, and their Argon2 hashes, computed in threads of their own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from localchat_ui.access.accounts.errors import AccountError
from localchat_ui.text import Text

T = TypeVar("T")

MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 1024  # longer ones would only make the hash slow
HASH_THREADS = 2  # a hash takes 64 MiB and one core for some 50 ms


class Passwords:
    """Hashes wait for each other, never for other work of the process, and other work never waits for them."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._executor = ThreadPoolExecutor(HASH_THREADS, thread_name_prefix="password-hash")
        self._unknown_user_hash = ""

    async def hash(self, password: str) -> str:
        """Raises AccountError for a password that is not allowed."""
        check_password(password)
        return await self._in_thread(lambda: self._hasher.hash(password))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether this is the password. Without a hash (no such user) it takes as long, and the answer is False."""
        if hashed is None:
            self._unknown_user_hash = self._unknown_user_hash or await self.hash(secrets.token_hex())
        expected = hashed or self._unknown_user_hash
        return await self._in_thread(lambda: self._verify(expected, password[:MAX_PASSWORD_LENGTH])) and bool(hashed)

    async def rehash_if_needed(self, password: str, hashed: str) -> str:
        """The same hash, or a new one when its parameters are not today's."""
        if not self._hasher.check_needs_rehash(hashed):
            return hashed
        return await self._in_thread(lambda: self._hasher.hash(password))

    def close(self) -> None:
        """Whoever still waits for a hash gets CancelledError."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def check_password(password: str) -> None:
    """Raises AccountError for a password that is not allowed."""
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        raise AccountError(
            Text(
                "A password must have {least} to {most} characters.",
                least=MIN_PASSWORD_LENGTH,
                most=MAX_PASSWORD_LENGTH,
            )
        )
