"""What the buttons of replies do in a comparison: the model of the column answers, not the one in use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from localchat_ui.chat import ComparisonService
from localchat_ui.comparison import Column, Comparison
from localchat_ui.ui.components.composer import Composer
from localchat_ui.ui.components.message import MessageView
from localchat_ui.ui.components.message_log import MessageLog
from localchat_ui.ui.components.notices import Notices
from localchat_ui.ui.message_actions import MessageActions


class ColumnActions(MessageActions):
    def __init__(
        self,
        service: ComparisonService,
        comparison: Comparison,
        column: Column,
        *,
        log: MessageLog,
        composer: Composer,
        notices: Notices,
        frame: ui.element,
        on_open: Callable[[str], Awaitable[None]],
    ) -> None:
        """`on_open` gets the id of a conversation to go to."""

        async def nothing() -> None:
            """Nothing waits to be saved."""

        super().__init__(
            service.chat,
            log=log,
            composer=composer,
            notices=notices,
            frame=frame,
            conversation=lambda: column.conversation,
            before=nothing,
            on_open=on_open,
        )
        self._service = service
        self._comparison = comparison
        self._column = column

    async def _do(self, action: str, view: MessageView, target: str | None) -> None:
        if action in ("regenerate", "retry", "continue"):
            await self._service.retry(self._comparison, self._column, goes_on=action == "continue")
        else:
            await super()._do(action, view, target)
