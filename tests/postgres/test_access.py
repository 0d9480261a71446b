"""Accounts, limits and what becomes of what people wrote, on PostgreSQL."""

from __future__ import annotations

from tests.access import test_accounts, test_administration, test_belongings, test_quotas
from tests.access.conftest import accounts, door, open_door
from tests.access.test_administration import guard
from tests.access.test_belongings import house
from tests.access.test_quotas import office

from .conftest import collected

__all__ = ["accounts", "door", "guard", "house", "office", "open_door"]

globals().update(collected(test_accounts, test_administration, test_belongings, test_quotas))
