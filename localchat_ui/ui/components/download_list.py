"""The downloads of this process: how far each is, and how to hold it or give it up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from nicegui import ui

from localchat_ui.i18n import _, translated
from localchat_ui.inference import ModelLibrary
from localchat_ui.library.download import progress_text
from localchat_ui.library.queue import Job, State
from localchat_ui.ui.components.element import text_button
from localchat_ui.ui.components.progress_bar import ProgressBar
from localchat_ui.ui.page_layout import Outcome, section
from localchat_ui.ui.words import data_size

LOOK_SECONDS = 0.5


class DownloadList:
    """Not to be seen while there are none."""

    def __init__(self, library: ModelLibrary) -> None:
        self._library = library
        self._rows: dict[str, _Row] = {}
        with section(_("Downloads")) as self._card:
            self._list = ui.element("ul").classes("downloads")
            self._outcome = Outcome()
        library.queue.changed.subscribe(self._draw)
        ui.timer(LOOK_SECONDS, self._draw)
        self._draw()

    def _draw(self) -> None:
        jobs = self._library.queue.jobs
        for gone in self._rows.keys() - {job.id for job in jobs}:
            self._rows.pop(gone).remove()
        for job in jobs:
            if job.id not in self._rows:
                with self._list:
                    self._rows[job.id] = _Row(job, self._library, self._outcome)
            self._rows[job.id].draw(job)
        self._card.set_visibility(bool(jobs))


class _Row:
    def __init__(self, job: Job, library: ModelLibrary, outcome: Outcome) -> None:
        self._job = job
        self._library = library
        self._outcome = outcome
        with ui.element("li").classes("download") as self._item:
            with ui.element("div").classes("download-words"):
                ui.label(job.name).classes("strong").props("dir=auto")
                self._text = ui.label().classes("hint")
            with ui.element("div").classes("page-row") as buttons:
                self._pause = self._button(_("Pause"), _("Pause {name}"), library.pause)
                self._resume = self._button(_("Resume"), _("Resume {name}"), library.resume)
                self._cancel = text_button(_("Cancel"), self._give_up)
            buttons.set_visibility(library.may_manage)
            self._bar = ProgressBar(job.name)

    def _button(self, label: str, name: str, act: Callable[[Job], None]) -> ui.button:
        button = text_button(label, partial(self._act, act))
        button.props["aria-label"] = name.format(name=self._job.name)
        return button

    def remove(self) -> None:
        self._item.delete()

    def draw(self, job: Job) -> None:
        self._job = job
        progress = self._library.queue.progress(job)
        self._bar.show(progress)
        self._bar.set_visibility(job.state is not State.DONE)
        self._pause.set_visibility(job.is_open)
        self._resume.set_visibility(job.state in (State.PAUSED, State.FAILED))
        self._resume.set_text(_("Retry") if job.state is State.FAILED else _("Resume"))
        is_done = job.state is State.DONE
        self._cancel.set_text(_("Dismiss") if is_done else _("Cancel"))
        name = (_("Dismiss {name}") if is_done else _("Cancel {name}")).format(name=job.name)
        if self._cancel.props.get("aria-label") != name:
            self._cancel.props["aria-label"] = name
            self._cancel.update()
        failed = job.state is State.FAILED
        self._item.classes(add="failed" if failed else "", remove="" if failed else "failed")
        done, total = data_size(progress.done), data_size(progress.total or 0)
        error = translated(job.error or "")
        texts = {
            State.QUEUED: _("Waiting for its turn"),
            State.RUNNING: _("{error} It goes on by itself.").format(error=error)
            if error
            else translated(progress_text(progress)),
            State.PAUSED: _("Paused · {done} of {total}").format(done=done, total=total)
            if progress.total
            else _("Paused"),
            State.FAILED: error,
            State.DONE: _("{size} · complete").format(size=total),
        }
        self._text.set_text(texts[job.state])

    async def _give_up(self) -> None:
        with self._outcome.telling():
            await self._library.cancel(self._job)

    def _act(self, act: Callable[[Job], None]) -> None:
        with self._outcome.telling():
            act(self._job)
