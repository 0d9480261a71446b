"""Accounts, limits and what becomes of what people wrote, on PostgreSQL."""

from __future__ import annotations

from tests.access.accounts import test_accounts, test_administration, test_user_data
from tests.access.accounts.test_administration import access
from tests.access.accounts.test_user_data import house
from tests.access.conftest import accounts, door, open_door
from tests.access.quotas import test_quotas
from tests.access.quotas.test_quotas import office

from .conftest import collected

__all__ = ["access", "accounts", "door", "house", "office", "open_door"]

globals().update(collected(test_accounts, test_administration, test_user_data, test_quotas))
