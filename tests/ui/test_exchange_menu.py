from __future__ import annotations

import gc
import weakref

from localchat_ui.ui.components.exchange_menu import ExchangeMenu
from tests.ui.conftest import Program, until


async def test_a_page_that_is_gone_leaves_nothing_of_its_menu_behind(running: Program) -> None:
    """FastAPI keeps the route to which a page uploads."""

    def menus() -> weakref.WeakSet[ExchangeMenu]:
        gc.collect()
        return weakref.WeakSet(each for each in gc.get_objects() if type(each).__name__ == ExchangeMenu.__name__)

    before = menus()
    me = running.visitor()
    await me.open()
    made = menus() - before
    assert len(made) == 1
    assert me.user.client is not None
    me.user.client.delete()
    me.user.client = None

    def are_gone() -> bool:
        gc.collect()
        return not made

    await until(are_gone)
