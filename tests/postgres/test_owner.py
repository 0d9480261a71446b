"""Whose conversations are whose, on PostgreSQL. In a file of its own, because these tests have a store of their own."""

from __future__ import annotations

from tests.history import test_owner
from tests.history.test_owner import annas, door, store

from .conftest import collected

__all__ = ["annas", "door", "store"]

globals().update(collected(test_owner))
